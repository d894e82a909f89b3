"""A job, and the states that it goes through.

PENDING -> STARTED -> SUCCESS | FAILURE; PENDING or STARTED -> CANCELLED; FAILURE or CANCELLED -> PENDING by a retry,
which is another attempt of the same job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["ome_tiff", "tiff_stack", "annotation_wkw", "annotation_import"]
# WEBKNOSSOS's words.
State = Literal["PENDING", "STARTED", "SUCCESS", "FAILURE", "CANCELLED"]
RUNNING: Final[tuple[State, ...]] = ("PENDING", "STARTED")
ENDED: Final[tuple[State, ...]] = ("SUCCESS", "FAILURE", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Job:
    """`id`: 24 hex digits. `submission`: the same for the same request sent twice by the same owner.

    `args`: JSON of what was asked, read by the job's kind. `attempt`: from 1; whatever an earlier one left behind or
    still does has another number, and does not count. `upload`: the sink's word, once there is one. `units`: 0 until
    the job is planned. `result_bytes`: of the finished file, None until there is one. `expires_ms`: when the
    result is removed. `sentence`: why it failed, for the owner. Times in milliseconds since 1970.
    """

    id: str
    owner: str
    kind: Kind
    dataset: str
    annotation: str
    args: str
    file_name: str
    submission: str
    created_ms: int
    state: State = "PENDING"
    attempt: int = 1
    started_ms: int | None = None
    ended_ms: int | None = None
    upload: str = ""
    units: int = 0
    units_done: int = 0
    result_bytes: int | None = None
    expires_ms: int | None = None
    sentence: str = ""

    @property
    def progress(self) -> float:
        """In [0, 1]; 1 only once the result is there."""
        if self.state == "SUCCESS":
            return 1.0
        return min(self.units_done / (self.units + 1), 0.99) if self.units else 0.0
