"""A file of one machine as an answer, whole or a range of it: large files, interrupted downloads, readers that seek."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from zarrlink.annotations.downloads import disposition
from zarrlink.byte_range import ByteRange, parse_range

_PIECE_BYTES: Final = 2**20
_TYPES: Final = {".zip": "application/zip", ".nml": "application/xml", ".tif": "image/tiff", ".csv": "text/csv"}


def file_response(request: Request, path: Path, etag: str) -> Response:
    """The file of a path, as an attachment. `etag`: without quotes, another one whenever the bytes are.

    Raises FileNotFoundError, RangeNotSatisfiable.
    """
    file = path.open("rb")
    try:
        length = os.fstat(file.fileno()).st_size
        headers = {
            "accept-ranges": "bytes",
            "etag": f'"{etag}"',
            "cache-control": "private, no-cache",
            "content-disposition": disposition(path.name),
            "x-content-type-options": "nosniff",
        }
        if f'"{etag}"' in _tags(request, "if-none-match"):
            file.close()
            return Response(status_code=304, headers=headers)
        # Of another file's bytes a range would be no continuation.
        continues = request.headers.get("if-range") in (None, f'"{etag}"')
        wanted = parse_range(request.headers.get("range")) if continues else None
        part = ByteRange(0, length) if length else None
        if wanted is not None:
            part = wanted.resolve(length)
            headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{length}"
        headers["content-length"] = str(len(part) if part else 0)
        status = 200 if wanted is None else 206
        media_type = _TYPES.get(path.suffix, "application/octet-stream")
        # What `ApiDoor` made a GET of: nothing is read.
        if part is None or request.scope.get("zarrlink.is_head"):
            file.close()
            return Response(status_code=status, headers=headers, media_type=media_type)
        return StreamingResponse(_pieces(file, part), status, headers, media_type)
    except BaseException:
        file.close()
        raise


async def _pieces(file: BinaryIO, part: ByteRange) -> AsyncIterator[bytes]:
    """The bytes of a range. A file that was cut short meanwhile breaks the answer off, below its announced length."""
    with _closed(file):
        for start in range(part.start, part.end, _PIECE_BYTES):
            wanted = min(_PIECE_BYTES, part.end - start)
            piece = await asyncio.to_thread(os.pread, file.fileno(), wanted, start)
            if len(piece) < wanted:
                raise OSError("a result was cut short while it was sent")
            yield piece


@contextmanager
def _closed(file: BinaryIO) -> Iterator[None]:
    try:
        yield
    finally:
        file.close()


def _tags(request: Request, name: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in request.headers.get(name, "").split(",")}
