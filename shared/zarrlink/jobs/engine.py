"""The `Engine` protocol: what runs jobs."""

from __future__ import annotations

from typing import Protocol

from zarrlink.jobs.model import Job


class Engine(Protocol):
    """A state machine on AWS, processes on one machine. Both raise SourceUnavailable where that cannot be reached."""

    def start(self, job: Job) -> None:
        """See to it that this attempt is run; again does no harm."""
        ...

    def stop(self, job: Job) -> None:
        """The attempt was cancelled: stop working on it and remove what it wrote. May be called at any time, and again."""
        ...

    def address(self, job: Job, suffix: str = "") -> str | None:
        """Where the result, or the file beside it whose name ends in `suffix`, can be fetched without signing in: presigned,
        for minutes. None: by `open`, from this process."""
        ...

    def discard(self, job: Job) -> None:
        """Remove a job's result and all else that it left."""
        ...
