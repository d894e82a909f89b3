"""Where datasets of a stack on AWS may be registered."""

from __future__ import annotations

from collections.abc import Callable

from zarrlink.errors import InvalidRequest
from zarrlink.sources.permission import parse_address


def bucket_places(own: frozenset[str]) -> Callable[[str], str]:
    """From a location as it was given to the one form that the catalogue knows it by: `s3://bucket/folder`.

    `own`: the stack's own buckets, where no dataset lies. Which others can be read, IAM decides. Raises InvalidRequest.
    """

    def place_of(text: str) -> str:
        address = parse_address(text)
        if address.scheme != "s3" or address.host in own:
            raise InvalidRequest(
                "a dataset of this zarrlink lies at s3://bucket/folder, in a bucket that it was told to read"
            )
        return address.text.removesuffix("/")

    return place_of
