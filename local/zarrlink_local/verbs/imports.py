"""Importing an annotation: into a state, or by an upload to a server."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from zarrlink.annotations.shelf import Upload
from zarrlink.errors import InvalidRequest
from zarrlink.users.interface import check_any_user_name
from zarrlink_local.machine import now_ms
from zarrlink_local.remote import Api, ApiRefusal
from zarrlink_local.state import State
from zarrlink_local.verbs.annotations import RemoteAnnotations, of_record
from zarrlink_local.verbs.datasets import dataset_verbs
from zarrlink_local.verbs.facts import Facts, Place, Show, only_one, segment
from zarrlink_local.verbs.find import find_annotation, find_dataset
from zarrlink_local.verbs.links import OPERATOR

# What a deployed server takes in one request is less than this; what is larger goes there in parts, straight to S3.
_ONE_REQUEST_BYTES: Final = 4_000_000
_PIECE_BYTES: Final = 2**18
_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class WantedImport:
    """`dataset`: name or id, None for the one that the NML names. `into`: name or id of the annotation that it becomes a new
    revision of. `as_new`: never of one that was imported before. `owner` None: whoever asks."""

    file: Path
    dataset: str | None = None
    into: str | None = None
    as_new: bool = False
    owner: str | None = None

    def __post_init__(self) -> None:
        if self.into and self.as_new:
            raise InvalidRequest("--into and --new exclude each other")
        if self.file.suffix.lower() not in (".nml", ".zip"):
            raise InvalidRequest(f"{self.file} is neither an .nml nor a .zip")


class Imported(NamedTuple):
    """`revised`: whether it was there before."""

    facts: Facts
    revised: bool


def import_annotation(place: Place, wanted: WantedImport, show: Show) -> Imported:
    """Raises InvalidRequest for what cannot be imported."""
    return _upload(place, wanted, show) if isinstance(place, Api) else _import(place, wanted, show)


def _import(state: State, wanted: WantedImport, show: Show) -> Imported:
    owner = OPERATOR if wanted.owner is None else wanted.owner
    check_any_user_name(owner)
    shelf, now = state.shelf, now_ms()
    dataset = None if wanted.dataset is None else find_dataset(state, wanted.dataset)
    earlier = None if wanted.into is None else find_annotation(state, wanted.into)
    with wanted.file.open("rb") as opened:
        # What is put there has no name: a command that is killed leaves nothing.
        upload = Upload(opened, wanted.file.name, owner, Path(tempfile.gettempdir()), dataset)
        if earlier is None and not wanted.as_new:
            earlier = shelf.earlier(upload)
        record = shelf.add(upload, now, show) if earlier is None else shelf.revise(earlier, upload, now, show)
    return Imported(of_record(record), revised=earlier is not None)


def _upload(api: Api, wanted: WantedImport, show: Show) -> Imported:
    """Always as a new annotation of one's own: a server revises none."""
    if wanted.into or wanted.as_new or wanted.owner:
        raise InvalidRequest(
            "through the API a file becomes a new annotation of one's own: leave --into, --new, --owner out"
        )
    dataset = None
    if wanted.dataset is not None:
        dataset = only_one(dataset_verbs(api).all(), wanted.dataset, "dataset")["id"]
    length = wanted.file.stat().st_size
    with wanted.file.open("rb") as file:
        made = None
        if length > _ONE_REQUEST_BYTES:
            made = _in_parts(api, file, length, wanted.file.name, dataset, show)
        if made is None:
            made = _in_one_request(api, file, length, wanted.file.name, dataset, show)
    return Imported(RemoteAnnotations(api).of_id(made), revised=False)


def _in_one_request(api: Api, file: BinaryIO, length: int, name: str, dataset: str | None, show: Show) -> str:
    """The id of the annotation that a multipart form with the file became."""
    border = f"zarrlink-{secrets.token_hex(16)}"
    head = ""
    if dataset is not None:
        head += f'--{border}\r\nContent-Disposition: form-data; name="datasetId"\r\n\r\n{dataset}\r\n'
    shown = name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
    head += f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{shown}"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    start, end = head.encode(), f"\r\n--{border}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield start
        sent = 0
        while piece := file.read(_PIECE_BYTES):
            yield piece
            sent += len(piece)
            show(sent, length)
        yield end

    total = len(start) + length + len(end)
    answer = api.send_stream("/annotations/upload", body(), total, f"multipart/form-data; boundary={border}")
    return str(answer["annotation"]["id"])


def _in_parts(api: Api, file: BinaryIO, length: int, name: str, dataset: str | None, show: Show) -> str | None:
    """The same by parts that go straight to the store of a deployed server; None where there is no such way."""
    try:
        begun = api.send("POST", "/annotations/uploads", body={"name": name, "bytes": length, "datasetId": dataset})
    except ApiRefusal as error:
        if error.status in (404, 405):
            return None
        raise
    address = f"/annotations/uploads/{segment(begun['id'])}"
    try:
        tags = []
        for part in begun["parts"]:
            etag = api.put_elsewhere(part["url"], file.read(begun["partBytes"]))
            tags.append({"number": part["number"], "etag": etag})
            show(min(part["number"] * begun["partBytes"], length), length)
        found = api.send("POST", f"{address}/complete", body={"parts": tags})
    except BaseException:
        _give_up(api, address)
        raise
    while found["state"] == "pending":
        time.sleep(_LOOK_S)
        found = api.get(address)
    if found["state"] != "done":
        raise InvalidRequest(found["message"] or f"the import of {name} failed")
    return str(found["annotation"])


def _give_up(api: Api, address: str) -> None:
    try:
        api.send("DELETE", address)
    except InvalidRequest:
        return  # it ends by itself after a while
