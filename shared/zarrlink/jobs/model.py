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


def may_follow(end: State) -> tuple[State, ...]:
    """The states that a job can end from in this way."""
    return ("STARTED",) if end == "SUCCESS" else RUNNING


@dataclass(frozen=True, slots=True)
class Job:
    """`id`: 24 hex digits. `submission`: the same for the same request sent twice by the same owner.

    `args`: JSON of what was asked, read by the job's kind. `attempt`: from 1; whatever an earlier one left behind or
    still does has another number, and does not count. `upload`: the sink's word, once there is one. `units`: 0 until
    the job is planned. `result_bytes`: of the finished file, None until there is one. `expires_ms`: when the
    result is removed. `sentence`: why it failed, for the owner. `expected_bytes`, `expected_seconds`: about how large the
    result will be and how long it takes to make, None where nobody knows. Times in milliseconds since 1970.
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
    expected_bytes: int | None = None
    expected_seconds: int | None = None

    @property
    def progress(self) -> float:
        """In [0, 1]; 1 only once the result is there."""
        if self.state == "SUCCESS":
            return 1.0
        return min(self.units_done / (self.units + 1), 0.99) if self.units else 0.0

    def stands(self, now_ms: int) -> bool:
        """Whether there is no need to do the same again: it runs, or its result is there for some time yet."""
        lasts = self.expires_ms is None or self.expires_ms > now_ms
        return self.state in RUNNING or (self.state == "SUCCESS" and lasts)
