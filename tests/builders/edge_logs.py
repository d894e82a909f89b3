"""Log files as CloudFront delivers them: gzip, tab-separated, their fields named at the top."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

from zarrlink.links.edge_log import FIELDS

NOTHING = "-"


def row(
    link_id: str = NOTHING, time: str = "10:00:00", *, method: str = "GET", status: int = 200, date: str = "2026-11-23"
) -> tuple[str, ...]:
    """A request that the edge let through for a metadata document of this link; without an id: any other."""
    return (date, time, method, str(status), link_id)


def log_text(*rows: Sequence[str], fields: Sequence[str] = FIELDS) -> str:
    lines = ["#Version: 1.0", f"#Fields: {' '.join(fields)}", *("\t".join(cells) for cells in rows)]
    return "".join(f"{line}\n" for line in lines)


def log_file(*rows: Sequence[str], fields: Sequence[str] = FIELDS) -> bytes:
    return gzip.compress(log_text(*rows, fields=fields).encode(), mtime=0)
