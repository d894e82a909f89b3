"""Which names and kinds of entries a stranger's zip may have."""

from __future__ import annotations

import re
import stat
import unicodedata
from typing import Final

from zarrlink.errors import InvalidRequest, brief

MAX_NAME_BYTES: Final = 1024
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_UNIX: Final = 3
_UTF8: Final = 0x0800
_UNREADABLE_FLAGS: Final = {
    0x0001: "is encrypted",
    0x0040: "is encrypted",
    0x2000: "is encrypted",
    0x0020: "is a patch",
}
STORED: Final = 0
DEFLATED: Final = 8


def decode_name(raw: bytes, flags: int) -> str:
    """An entry's name, in the encoding that its flags say. Raises InvalidRequest for one that may not be."""
    if len(raw) > MAX_NAME_BYTES:
        raise InvalidRequest(f"the zip has a name of {len(raw)} bytes: at most {MAX_NAME_BYTES} are accepted")
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the zip has a name that is not UTF-8: {brief(raw)}") from error
    check_name(name)
    return name


def encode_name(name: str, flags: int) -> bytes:
    """The bytes that `decode_name` made it of."""
    return name.encode("utf-8" if flags & _UTF8 else "cp437")


def check_name(name: str) -> None:
    """Raises InvalidRequest unless it is a relative path without any tricks; folders end with a slash."""
    path = name.removesuffix("/")
    if "\\" in name or name.startswith("/") or _DRIVE.match(name) or not path:
        raise InvalidRequest(f"the zip's entry {brief(name)} is no relative path with forward slashes")
    if any(step in ("", ".", "..") for step in path.split("/")):
        raise InvalidRequest(f"the zip's entry {brief(name)} leaves its folder or is not in its simplest form")
    if not all(letter.isprintable() for letter in name):
        raise InvalidRequest(f"the zip's entry {brief(name)} has a name with control characters")


def name_key(name: str) -> str:
    """Equal for names that some file system or reader would take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.removesuffix("/")).casefold())


def check_kind(name: str, flags: int, method: int, made_by: int, attributes: int) -> None:
    """Raises InvalidRequest for what is neither a plain file nor a folder, or not packed in a way that we unpack."""
    for bit, meaning in _UNREADABLE_FLAGS.items():
        if flags & bit:
            raise InvalidRequest(f"the zip's entry {brief(name)} {meaning}, which cannot be read")
    if method not in (STORED, DEFLATED):
        raise InvalidRequest(
            f"the zip's entry {brief(name)} is packed by method {method}; accepted are stored (0) and deflated (8)"
        )
    mode = attributes >> 16
    if made_by == _UNIX and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidRequest(f"the zip's entry {brief(name)} is a link or a device, not a file")
