"""What the steps of one export tell each other: small results, and voxels handed over to coarser levels."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from zarrlink.aws_errors import NO_OBJECT, ask
from zarrlink.errors import SourceUnavailable
from zarrlink.exports.spill import Spill, disk_errors

T = TypeVar("T")


class Scratch(Protocol):
    """Objects of one export alone, by key, with `/`. Raises SourceUnavailable where the store refuses or fails,
    ExportFailed where a disk is full."""

    def put(self, key: str, data: bytes | Spill) -> None:
        """Write an object, or replace it; nobody sees a half of it."""
        ...

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes | None:
        """An object or a part of it, None where there is none."""
        ...

    def keys(self, prefix: str = "") -> set[str]:
        """All that begin so."""
        ...

    def clear(self) -> None:
        """Remove all; may be called twice."""
        ...


class ScratchFolder:
    """A folder, which may not be there yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, data: bytes | Spill) -> None:
        import secrets

        path = self._folder / key
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("xb") as file:
                    for piece in _pieces(data):
                        file.write(piece)
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes | None:
        try:
            with (self._folder / key).open("rb") as file:
                file.seek(start)
                return file.read(-1 if length is None else length)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SourceUnavailable("reading what was put aside failed", key=key) from error

    def keys(self, prefix: str = "") -> set[str]:
        # Not by `rglob`, which fails where the folder is cleared meanwhile.
        paths = [Path(place, name) for place, _, names in os.walk(self._folder) for name in names if name[0] != "."]
        return {key for path in paths if (key := path.relative_to(self._folder).as_posix()).startswith(prefix)}

    def clear(self) -> None:
        import shutil

        shutil.rmtree(self._folder, ignore_errors=True)


class ScratchBucket:
    """A prefix of an S3 bucket, which nobody else writes to: it must hold the job's id, or old results would be taken
    for new ones. `client`: boto3's of S3."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix.rstrip("/") + "/"

    def put(self, key: str, data: bytes | Spill) -> None:
        body = data.rewound() if isinstance(data, Spill) else data
        ask(lambda: self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body))

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes | None:
        wanted = {} if not start and length is None else {"Range": f"bytes={start}-{_last(start, length)}"}

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **wanted)
            return bytes(answer["Body"].read())

        return ask(read, or_none=NO_OBJECT)

    def keys(self, prefix: str = "") -> set[str]:
        pages = self._client.get_paginator("list_objects_v2")
        listed = pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
        found = ask(lambda: [found["Key"] for page in listed for found in page.get("Contents", [])])
        return {key.removeprefix(self._prefix) for key in found}

    def clear(self) -> None:
        keys = sorted(self.keys())
        for start in range(0, len(keys), 1000):
            objects = [{"Key": self._prefix + key} for key in keys[start : start + 1000]]
            wanted = {"Objects": objects, "Quiet": True}
            answer = ask(lambda: self._client.delete_objects(Bucket=self._bucket, Delete=wanted))  # noqa: B023
            # It answers 200 where it refuses some of them, or all.
            if refused := answer.get("Errors"):
                raise SourceUnavailable(f"S3 answered {refused[0].get('Code', 'error')}")


def _last(start: int, length: int | None) -> str:
    return "" if length is None else str(start + length - 1)


def _pieces(data: bytes | Spill) -> Iterable[bytes]:
    return data.pieces() if isinstance(data, Spill) else (data,)
