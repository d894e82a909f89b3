"""Which version of each file was read, for readers of many files who must know: a file may be another for a moment only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The ETags by the file's key, "" where it was not there.
Versions = dict[str, set[str]]
_watching: ContextVar[Versions | None] = ContextVar("watching", default=None)


@contextmanager
def watched() -> Iterator[Versions]:
    """What volumes read within, from here and from tasks that are begun here, fills what is given.

    Volumes of WKW tell all files that they read. Of other arrays no version is known: those in folders tell what was not
    there, and look again at what seemed never to have been written and is there.
    """
    versions: Versions = {}
    token = _watching.set(versions)
    try:
        yield versions
    finally:
        _watching.reset(token)


def tell(key: str, etag: str) -> None:
    """`etag`: "" for a file that was not there."""
    versions = _watching.get()
    if versions is not None:
        versions.setdefault(key, set()).add(etag)
