"""Where a step of an export reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zarrlink.exports.part_sink import PartSink
from zarrlink.exports.scratch import Scratch


def go_on() -> None:
    """A check that never ends the work."""


@dataclass(frozen=True, slots=True)
class Places:
    """`upload`: the sink's word. `disk`: a folder for what a worker puts aside, which cleans up after itself.

    `check` is called between slabs, and ends the work by raising: a cancelled job, a clock that runs out. `threads`:
    how many encode.
    """

    sink: PartSink
    upload: str
    scratch: Scratch
    disk: Path
    check: Callable[[], None] = go_on
    threads: int = 1
