"""Files that are fetched: under their own name when they are whole, and not before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zarrlink.errors import InvalidRequest


@contextmanager
def draft_of(path: Path, *, replaces: bool = False) -> Iterator[BinaryIO]:
    """A file to write, which becomes `path` in the end; nothing is left of it where that is not reached."""
    check_free(path, replaces=replaces)
    draft = path.with_name(f".{path.name[:100]}.partial-{os.getpid()}")
    try:
        with draft.open("xb") as file:
            yield file
        put_in_place(draft, path, replaces=replaces)
    finally:
        draft.unlink(missing_ok=True)


def check_free(path: Path, *, replaces: bool = False) -> None:
    """Raises InvalidRequest where a file cannot be put there."""
    if path.is_dir():
        raise InvalidRequest(f"{path} is a folder: name the file that is to be written")
    if path.exists() and not replaces:
        raise InvalidRequest(f"{path} is there already")


def put_in_place(draft: Path, path: Path, *, replaces: bool) -> None:
    if replaces:
        draft.replace(path)
        return
    try:
        # Unlike a rename, a link never replaces.
        os.link(draft, path)
    except FileExistsError as error:
        raise InvalidRequest(f"{path} is there already") from error
    draft.unlink()
