"""Which addresses outside of a dataset's own folder may be read.

A description may be written by an enemy, who would have the server read `/etc`, another customer's bucket or a service
of the inner network (SSRF). So nothing outside of the dataset's folder is read unless the operator allowed its prefix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from zarrlink.errors import InvalidRequest, UnsupportedLayer
from zarrlink.formats.datasource_mags import SCHEMES
from zarrlink.formats.json_values import is_text

VARIABLE: Final = "ZARRLINK_ALLOWED_SOURCES"
OPTION: Final = "zarrlink serve --allow-source PREFIX"
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.\-]*[a-z0-9_])?|\[[0-9a-f:.]+\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """An address taken apart, in the one form in which it is compared and read.

    `host`: host and port, or bucket; "" for `file`. `segments`: of the path, decoded.
    """

    scheme: str
    host: str
    segments: tuple[str, ...]

    @property
    def text(self) -> str:
        """As `file:` an absolute path, else scheme, host and path, decoded."""
        path = "/".join(self.segments)
        return f"/{path}" if self.scheme == "file" else f"{self.scheme}://{self.host}/{path}"

    @property
    def parent(self) -> Address:
        return Address(self.scheme, self.host, self.segments[:-1])

    @property
    def shown(self) -> str:
        """What a sentence may tell of it: nothing of its path."""
        return "a folder of the server" if self.scheme == "file" else f"{self.scheme}://{self.host}"


@dataclass(frozen=True, slots=True)
class AllowedSources:
    """The prefixes that the operator allows; by default none, so that only a dataset's own folder is read."""

    prefixes: tuple[Address, ...] = ()

    @classmethod
    def of(cls, prefixes: list[str] | tuple[str, ...]) -> AllowedSources:
        """From prefixes as an operator writes them. Raises InvalidRequest for one that is no address."""
        return cls(tuple(parse_address(prefix) for prefix in prefixes))

    @classmethod
    def from_text(cls, text: str) -> AllowedSources:
        """From the value of ZARRLINK_ALLOWED_SOURCES: prefixes apart by commas, spaces or line breaks."""
        return cls.of(text.replace(",", " ").split())

    def check(self, address: str) -> Address:
        """The address taken apart, if it may be read.

        Raises UnsupportedLayer, naming scheme and host and how it is allowed.
        """
        try:
            found = parse_address(address)
        except InvalidRequest as error:
            raise UnsupportedLayer(f"it lies at an address that zarrlink does not read: {error}") from error
        if not self.permits(found):
            raise UnsupportedLayer(
                f"it lies outside the dataset's folder, at {found.shown}, which zarrlink was not told to read; "
                f"the operator allows it by {OPTION} or in the environment variable {VARIABLE}"
            )
        return found

    def permits(self, address: Address) -> bool:
        return any(_is_below(address, prefix) for prefix in self.prefixes)


def parse_address(text: str) -> Address:
    """An absolute folder or a URL, taken apart. Raises InvalidRequest with what is wrong."""
    if len(text) > 4096 or not is_text(text) or "\\" in text:
        raise InvalidRequest("an address has printable characters and no backslash")
    if text.startswith("/"):
        return Address("file", "", _segments(text, encoded=False))
    scheme, separator, _ = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        raise InvalidRequest(f"an address is an absolute folder or begins with one of {', '.join(SCHEMES)}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest("an address has a host and port that can be read") from error
    if "@" in parts.netloc:
        raise InvalidRequest("an address holds no user name or password")
    if "?" in text or "#" in text:
        raise InvalidRequest("an address has neither query nor fragment")
    # Object stores take keys as they are; URLs of the web and of files have percent-encoding.
    segments = _segments(parts.path, encoded=scheme in ("http", "https", "file"))
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise InvalidRequest("a file address names no other host")
        return Address(scheme, "", segments)
    host = parts.netloc.lower().rpartition(":")[0] if port is not None else parts.netloc.lower().removesuffix(":")
    if not _HOST.fullmatch(host) or (port is not None and scheme not in _PORTS):
        raise InvalidRequest("an address has a plain host name, or a bucket, after its scheme")
    return Address(scheme, host if port in (None, _PORTS.get(scheme)) else f"{host}:{port}", segments)


def _segments(path: str, *, encoded: bool) -> tuple[str, ...]:
    segments = [segment for segment in path.split("/") if segment]
    if encoded:
        try:
            segments = [unquote(segment, errors="strict") for segment in segments]
        except UnicodeDecodeError as error:
            raise InvalidRequest("an address has percent-encoded text, not other bytes") from error
    # A second round of decoding, by whatever lies behind, must not find a way out either.
    for segment in segments:
        if segment in (".", "..") or "/" in segment or "\\" in segment or not is_text(segment):
            raise InvalidRequest("an address goes its way without . and ..")
        if unquote(segment) != segment and {"/", "\\"} & set(unquote(segment)) | {unquote(segment)} & {".", ".."}:
            raise InvalidRequest("an address goes its way without . and ..")
    return tuple(segments)


def _is_below(address: Address, prefix: Address) -> bool:
    return (address.scheme, address.host, address.segments[: len(prefix.segments)]) == (
        prefix.scheme,
        prefix.host,
        prefix.segments,
    )
