"""Keys of the OME-Zarr trees that we serve: one object, one address.

A chunk key counts only if writing its numbers again gives the very same string: `c/00/1`, `c/+0/1` and unicode
digits parse as integers, but would be other addresses of the same object: cache misses on demand for an attacker.
Words that no Zarr tree of ours knows are absent (readers probe for the other version's metadata); whatever is neither
word nor canonical chunk key is refused, since a reader takes absence of a chunk for fill value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from zarrlink.errors import InvalidRequest, UnknownKey

Dialect = Literal["v2", "v3"]

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,3999}", re.ASCII)
_CHUNKS: Final = {
    "v2": re.compile(rf"(?:{_NUMBER.pattern})(?:/(?:{_NUMBER.pattern}))+", re.ASCII),
    "v3": re.compile(rf"(?:{_NUMBER.pattern})/c(?:/(?:{_NUMBER.pattern}))+", re.ASCII),
}
_WORD: Final = re.compile(r"(?!c(?:[.\-]|$))[A-Za-z._][A-Za-z0-9._\-]{0,254}", re.ASCII)
_GROUP_DOCUMENTS: Final = {"v2": (".zgroup", ".zattrs", ".zmetadata"), "v3": ("zarr.json",)}
ARRAY_DOCUMENTS: Final = {"v2": (".zarray", ".zattrs"), "v3": ("zarr.json",)}


@dataclass(frozen=True, slots=True)
class GroupKey:
    """The layer itself: a metadata document, or "" for its listing."""

    document: str


@dataclass(frozen=True, slots=True)
class ArrayKey:
    """One level: a metadata document, or "" for its listing."""

    level: int
    document: str


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """A chunk (v2, unsharded v3) or shard (v3) by its grid position in array axis order."""

    level: int
    position: tuple[int, ...]


Key = GroupKey | ArrayKey | ChunkKey


def parse_key(dialect: Dialect, key: str) -> Key:
    """What a key below a layer means.

    Raises UnknownKey for a word that is not there, InvalidRequest for anything that is not a key.
    Whether the level and the number of axes exist is for the caller to tell.
    """
    chunk = _CHUNKS[dialect].fullmatch(key)
    if chunk:
        level, *numbers = map(int, key.replace("c/", "", 1).split("/"))
        return ChunkKey(level, tuple(numbers))
    first, slash, rest = key.partition("/")
    if not first and not slash:
        return GroupKey("")
    if not _NUMBER.fullmatch(first):
        if key in _GROUP_DOCUMENTS[dialect]:
            return GroupKey(key)
        raise _not_a_chunk(key)
    level = int(first)
    if not rest:
        return ArrayKey(level, "")
    if rest in ARRAY_DOCUMENTS[dialect]:
        return ArrayKey(level, rest)
    raise _not_a_chunk(rest)


def chunk_key(dialect: Dialect, level: int, position: tuple[int, ...]) -> str:
    """The one key of a chunk or shard: the inverse of `parse_key`."""
    numbers = "/".join(map(str, position))
    return f"{level}/{numbers}" if dialect == "v2" else f"{level}/c/{numbers}"


def _not_a_chunk(key: str) -> InvalidRequest | UnknownKey:
    words = key.removesuffix("/").split("/")
    if all(_WORD.fullmatch(word) and word not in (".", "..") for word in words):
        return UnknownKey("there is no such key in this Zarr tree")
    return InvalidRequest("not a canonical key; accepted: metadata names and chunk numbers as the metadata gives them")
