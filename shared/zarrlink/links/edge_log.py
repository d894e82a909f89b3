"""Openings of links out of CloudFront's standard log files (version 2, format `w3c`).

The token is a secret and stands in the address, so the log is to have these fields and no other:

    date  time  cs-method  sc-status  viewer-request-log-data

The edge function writes a link's id into the last (`cf.logCustomData`) where it lets through a request for a metadata
document of a layer, and nothing otherwise. Source: CloudFront developer guide, "Standard logging reference", read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from zarrlink.errors import CorruptFile
from zarrlink.links.model import Uses

FIELDS: Final = ("date", "time", "cs-method", "sc-status", "viewer-request-log-data")
_HEAD: Final = "#Fields:"
_LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]{16}", re.ASCII)
# Answered as a reader wants it: whole, a range, not changed.
_ANSWERED: Final = frozenset({"200", "206", "304"})


def read_openings(lines: Iterable[str]) -> dict[str, Uses]:
    """By link id, the openings in one file; requests of other kinds, and failed ones, are passed over.

    Raises CorruptFile for what is no such log.
    """
    places: dict[str, int] | None = None
    found: dict[str, Uses] = {}
    for line in lines:
        if line.startswith("#"):
            if line.startswith(_HEAD):
                places = {name: at for at, name in enumerate(line.removeprefix(_HEAD).split())}
            continue
        if places is None or not places.keys() >= set(FIELDS):
            raise CorruptFile("a log file of the edge has other fields than are read", expected=" ".join(FIELDS))
        if line.strip():
            _count(found, _row(line, places))
    return found


def _row(line: str, places: Mapping[str, int]) -> dict[str, str]:
    cells = line.rstrip("\r\n").split("\t")
    if len(cells) != len(places):
        raise CorruptFile("a line of a log file of the edge", expected=len(places), found=len(cells))
    return {name: cells[places[name]] for name in FIELDS}


def _count(found: dict[str, Uses], row: Mapping[str, str]) -> None:
    link_id = row["viewer-request-log-data"]
    if row["cs-method"] != "GET" or row["sc-status"] not in _ANSWERED or not _LINK_ID.fullmatch(link_id):
        return
    try:
        moment = datetime.fromisoformat(f"{row['date']}T{row['time']}").replace(tzinfo=UTC)
    except ValueError as error:
        raise CorruptFile("the time in a log file of the edge") from error
    before = found.get(link_id, Uses(0, 0))
    found[link_id] = Uses(before.openings + 1, max(before.last_ms, int(moment.timestamp()) * 1000))
