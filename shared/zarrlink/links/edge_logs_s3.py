"""The edge's log files in S3: counted into the link table, then deleted."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from gzip import BadGzipFile, GzipFile
from typing import Any, Final, TypeVar

from zarrlink.aws_errors import ask
from zarrlink.errors import CorruptFile
from zarrlink.links.edge_log import read_openings
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Uses

T = TypeVar("T")
# Far above what CloudFront puts into one file; what is larger is none of its.
MAX_BYTES: Final = 2**26


@dataclass(slots=True)
class Counted:
    """What became of the files. `spoilt`: those that are no logs of the edge; they stay for the bucket's rule to remove."""

    files: int = 0
    openings: int = 0
    spoilt: int = 0


def count_logs(client: Any, bucket: str, prefix: str, links: LinkStore, still_time: Callable[[], bool]) -> Counted:
    """Count the files below a prefix while there is time; the others wait for the next call.

    A file is deleted once it is counted. One whose deletion fails is counted again by the next call, so a count says "at most".
    `client`: boto3's of S3. Raises SourceUnavailable.
    """
    done = Counted()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    listed = ask(lambda: [entry for page in pages for entry in page.get("Contents", [])])
    for entry in listed:
        if not still_time():
            break
        uses = _read(client, bucket, entry)
        if uses is None:
            done.spoilt += 1
            continue
        links.count(uses)
        ask(lambda key=entry["Key"]: client.delete_object(Bucket=bucket, Key=key))  # type: ignore[misc]
        done.files += 1
        done.openings += sum(use.openings for use in uses.values())
    return done


def _read(client: Any, bucket: str, entry: dict[str, Any]) -> dict[str, Uses] | None:
    """The openings in a file; None where it is no log of the edge."""
    if entry["Size"] > MAX_BYTES:
        return None
    answer = ask(lambda: client.get_object(Bucket=bucket, Key=entry["Key"]))
    packed: bytes = ask(answer["Body"].read)
    try:
        with GzipFile(fileobj=io.BytesIO(packed)) as file, io.TextIOWrapper(file, encoding="utf-8") as lines:
            return read_openings(lines)
    except (CorruptFile, BadGzipFile, EOFError, zlib.error, UnicodeDecodeError):
        return None
