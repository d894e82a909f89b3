"""What a request for streamed data read and was answered, as metrics: alike in `stream`, and in `api` for what lies below /data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from zarrlink.answers import Served
from zarrlink.errors import CorruptFile
from zarrlink.http import problems
from zarrlink.storage.metered import Meter

if TYPE_CHECKING:
    from aws_lambda_powertools import Metrics

_READS: Final = "/tensorstore/kvstore/"
_REMOTE: Final = ("s3", "gcs", "http")


class Reads(NamedTuple):
    """Requests to stores, and bytes of their answers."""

    requests: int
    bytes: int


class Tally:
    """Of the request at hand, of which a function has one at a time. `meter`: what its sources count on."""

    def __init__(self) -> None:
        self.meter = Meter()
        self._answered: list[Served | None] = []
        self._before = Reads(0, 0)

    def begin(self) -> None:
        """Forget the request before."""
        self.meter.reset()
        self._answered.clear()
        self._before = _by_tensorstore()

    def answered(self, served: Served | None) -> None:
        """To be told what a key of a layer was answered with, None for a chunk that holds nothing."""
        self._answered.append(served)

    def reads(self) -> Reads:
        """What was read for the request up to now."""
        others = _by_tensorstore()
        return Reads(
            self.meter.requests + others.requests - self._before.requests,
            self.meter.bytes + others.bytes - self._before.bytes,
        )

    def add_to(self, metrics: Metrics, status: int, body_bytes: int) -> None:
        """What the dashboard and the alarms look at (infra/watching.yaml). `body_bytes`: of what goes to the reader."""

        def count(name: str, value: int = 1, unit: str = "Count") -> None:
            metrics.add_metric(name=name, unit=unit, value=value)

        reads = self.reads()
        outcome = "Failed" if status >= 500 else "Refused" if status >= 400 else "Served"
        count("Absent" if status == 404 else outcome)
        count("Damaged", int(status == problems.TABLE[CorruptFile].status))
        count("BytesSent", body_bytes, "Bytes")
        count("SourceBytes", reads.bytes, "Bytes")
        count("SourceRequests", reads.requests)
        for served in self._answered:
            if served is not None and served.kind == "chunk":
                count("Chunks")
                count("BlocksFramed", served.framed)
                count("BlocksDecoded", served.decoded)
                count("ChunkSourceRequests", reads.requests)


def _by_tensorstore() -> Reads:
    """What it has read from other machines by itself, since it was loaded, past every source that is metered."""
    tensorstore = sys.modules.get("tensorstore")
    if tensorstore is None:
        return Reads(0, 0)
    found = {
        entry["name"].removeprefix(_READS): sum(value["value"] for value in entry["values"])
        for entry in tensorstore.experimental_collect_matching_metrics(_READS)
        if entry["name"].endswith(("/read", "/bytes_read"))
    }
    return Reads(*(sum(found.get(f"{name}/{what}", 0) for name in _REMOTE) for what in ("read", "bytes_read")))
