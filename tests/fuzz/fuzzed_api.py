"""A server for fuzzing: requests as text go in, and what comes out must be an answer that the API's description has."""

from __future__ import annotations

import asyncio
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from builders.annotation_zips import TREE, Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.annotations.shelf import Upload
from zarrlink.geometry import Mag
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.jobs.engine import local_engine
from zarrlink_local.machine import open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app

FORM_BORDER: Final = "frontier"
_KINDS: Final = ("application/json", f"multipart/form-data; boundary={FORM_BORDER}", "text/plain", "")
# Of addresses that no operation has.
_NOWHERE: Final = {200, 204, 304, 307, 400, 401, 404, 405, 410, 413, 416, 422}
_PLACES: Final = {"layer": "em", "mag": "1", "key": "0.0.0.0", "organization": "zarrlink", "level": "0", "document": ".zattrs",
                  "z": "0", "y": "0", "x": "0"}  # fmt: skip


class Site:
    """One machine with a dataset, an annotation, a link and a job that waits. `operations`: statuses that each may answer with,
    by method and a pattern of addresses."""

    def __init__(self) -> None:
        home = Path(tempfile.mkdtemp(prefix="zarrlink-fuzz-"))
        layers = (
            LayerFiles("em", {Mag(1, 1, 1): ramp((40, 16, 16))}),
            LayerFiles("seg", {Mag(1, 1, 1): ramp((40, 16, 16), "uint32")}, category="segmentation"),
        )
        write_tree(dataset(*layers), home / "data" / "mouse")
        machine = open_machine(home / "state.sqlite")
        (record,) = register_below(home / "data", machine.catalogue, 1, print)
        machine.users.add(User("ann", 1, is_admin=True), hash_user_token("ann-token"))
        painted = annotation_zip(
            Volume(data=zip_of(wkw_data({"1": {(0, 0, 0): voxels(1)}})), fallback_layer="seg"), skeleton=TREE
        )
        upload = Upload(io.BytesIO(painted), "cells.zip", "ann", home, record)
        annotation = machine.shelf.add(upload, 1, lambda _done, _of: None)
        # Nobody works on the jobs that are asked for.
        self.app = create_app(machine, "http://127.0.0.1", local_engine(machine))
        self.loop = asyncio.new_event_loop()
        self.known = {**_PLACES, "dataset_id": record.id, "source_id": record.id, "name": record.name,
                      "annotation_id": annotation.id}  # fmt: skip
        link = self._json("POST /api/zarrPrivateLinks", json.dumps({"dataset": record.id}))
        job = self._json(
            "POST /api/jobs/run/exportTiff/{dataset_id}?layerName=em&mag=1&bbox=0,0,0,16,16,16&asOmeTiff=true", ""
        )
        self.known |= {"link_id": link["id"], "token": link["accessToken"], "job_id": job["id"]}
        described = self._json("GET /api/openapi.json", "")["paths"]
        self.operations = {
            (method.upper(), path): {int(status) for status in operation["responses"]}
            for path, methods in described.items()
            for method, operation in methods.items()
        }

    def _json(self, line: str, body: str) -> Any:
        status, _, answer = self.ask(line, body.encode(), kind=_KINDS[0], is_signed_in=True)
        assert status == 200, answer
        return json.loads(answer)

    def with_ids(self, method: str, body: bytes) -> bytes:
        return body if method == "DELETE" else body.replace(b"{dataset_id}", self.known["dataset_id"].encode())

    def filled(self, line: str) -> tuple[str, str, str]:
        """Method, path and query of a request line, with what there is in place of `{dataset_id}` and the like. What could
        not be there for the next input is not named to DELETE."""
        method, _, address = line.partition(" ")
        known = _PLACES if method == "DELETE" else self.known
        address = re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "0"), address)
        path, _, query = address.partition("?")
        return method, path, query

    def ask(self, line: str, body: bytes, *, kind: str, is_signed_in: bool) -> tuple[int, dict[str, str], bytes]:
        method, path, query = self.filled(line)
        headers = [(b"host", b"127.0.0.1"), (b"content-length", str(len(self.with_ids(method, body))).encode())]
        headers += [(b"content-type", kind.encode())] if kind else []
        headers += [(b"x-auth-token", b"ann-token")] if is_signed_in else []
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": unquote(path),
            "raw_path": path.encode("latin-1"), "query_string": query.encode("latin-1"), "headers": headers,
            "scheme": "http", "root_path": "", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9),
        }  # fmt: skip
        sent: list[Any] = []

        unread = [{"type": "http.request", "body": self.with_ids(method, body), "more_body": False}]

        async def receive() -> Any:
            # Whoever asks again waits for the client to go, which it never does.
            return unread.pop() if unread else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        self.loop.run_until_complete(self.app(scope, receive, send))
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return sent[0]["status"], given, b"".join(message.get("body", b"") for message in sent[1:])

    def is_described(self, method: str, path: str, status: int) -> bool:
        """Whether some operation at this address may answer so, HEAD as GET; every answer that no operation gives is one of
        nowhere."""
        allowed = set(_NOWHERE)
        asked = "GET" if method == "HEAD" else method
        for (known, template), statuses in self.operations.items():
            if known == asked and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]*", re.escape(template)), path):
                allowed |= statuses - {500}
        return status in allowed


def check(site: Site, data: bytes) -> str:
    """What is wrong with the answer, "" for nothing. The first byte: who asks, and what the body is called; the first line:
    the request; the rest: the body."""
    line, _, body = data[1:].partition(b"\n")
    text = "".join(letter for letter in line.decode("latin-1") if letter.isprintable() and letter < "\x7f")
    method, _, address = text.partition(" ")
    if method not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") or not address.startswith("/"):
        return ""
    status, headers, answer = site.ask(text, body, kind=_KINDS[data[0] // 2 % 4], is_signed_in=data[0] % 2 == 1)
    _, path, _ = site.filled(text)
    if status == 503 and answer and json.loads(answer)["type"].endswith("#not-ready"):
        return ""
    if status >= 500 or not site.is_described(method, path, status):
        return f"{text!r} with {body[:200]!r} is answered with {status}: {answer[:300]!r}"
    if status >= 400 and method != "HEAD" and not headers.get("content-type", "").startswith(
        ("application/problem+json", "text/html")
    ):  # fmt: skip
        return f"{text!r}: {status} is no problem+json but {headers.get('content-type')!r}"
    return ""


def seeds() -> list[bytes]:
    """Requests as clients send them; of a form the shortest that there is."""
    scope = '{"dataset": "{dataset_id}"}'
    box = '{"dataset": "{dataset_id}", "expirationDateTime": null, "scope": {"layers": ["em"], "boundingBox": [0, 0, 0, 8, 8, 8]}}'
    form = (
        f'--{FORM_BORDER}\r\nContent-Disposition: form-data; name="files"; filename="a.nml"\r\n\r\n<things></things>\r\n'
        f"--{FORM_BORDER}--\r\n"
    )
    tiff = "layerName=em&mag=1&bbox=0,0,0,16,16,16&asOmeTiff=true"
    requests = [
        ("GET /api/datasets?query=mouse&tag=a&mine=true&visibility=private", ""),
        ("PATCH /api/datasets/{dataset_id}", '{"name": "rat", "tags": ["a"], "visibility": "private", "collaborators": []}'),
        ("POST /api/datasets", '{"name": "rat", "location": "/data/mouse"}'),
        ("POST /api/zarrPrivateLinks", scope),
        ("POST /api/zarrPrivateLinks", box),
        ("PUT /api/zarrPrivateLinks/{link_id}", '{"name": "n", "note": "", "expirationDateTime": null}'),
        ("DELETE /api/zarrPrivateLinks/x", ""),
        ("POST /api/annotations/upload", form),
        ("PATCH /api/annotations/{annotation_id}", '{"name": "a", "description": "b", "tags": []}'),
        ("GET /api/annotations/{annotation_id}/download?skipVolumeData=true&volumeDataZipFormat=zarr3&ids=uploaded", ""),
        (f"POST /api/jobs/run/exportTiff/{{dataset_id}}?{tiff}", ""),
        (f"GET /api/jobs/run/exportTiff/{{dataset_id}}/estimate?{tiff}&extra=t:3", ""),
        ("PATCH /api/jobs/{job_id}/retry", ""),
        ("GET /data/datasets/{dataset_id}/layers/em/data?x=0&y=0&z=0&width=8&height=8&depth=8&mag=1-1-1", ""),
        ("GET /data/zarr/{dataset_id}/em/1/0.0.0.0?token={token}", ""),
        ("GET /data/annotations/zarr/{token}/em/1/0.0.0.0", ""),
        ("GET /zarr/{token}/v3/em.zarr/0/c/0/0/0", ""),
        ("GET /zarr/{token}/", ""),
        ("GET /zarr/{token}?x", ""),
        ("HEAD /zarr/{token}", ""),
        ("GET /api/v10/datasets/disambiguate/zarrlink/{name}/toId", ""),
    ]  # fmt: skip
    return [bytes([3 if "upload" in line else 1]) + f"{line}\n{body}".encode() for line, body in requests]
