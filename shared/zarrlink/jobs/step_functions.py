"""The engine on AWS: one state machine (infra/export.asl.json), whose executions are attempts of jobs."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from zarrlink import errors
from zarrlink.annotations.downloads import disposition
from zarrlink.aws_errors import ask
from zarrlink.errors import ZarrlinkError
from zarrlink.exports.store_s3 import BucketStore
from zarrlink.jobs.model import Job

ADDRESS_S: Final = 300
_NAME: Final = re.compile(r"([0-9a-f]{24})-([1-9][0-9]{0,8})", re.ASCII)
_TOO_LONG: Final = "a step took longer than a function may run: choose a smaller box, or ask who runs this zarrlink"
_UNEXPECTED: Final = "something unexpected went wrong; the log of this zarrlink tells what"
# Names of errors that are not ours (Step Functions developer guide, "Error names"), and how an execution can end.
_SENTENCES: Final = {
    "States.Timeout": _TOO_LONG,
    "Sandbox.Timedout": _TOO_LONG,
    "Lambda.TooManyRequestsException": "too many functions were running at the same time: try it again later",
    "PartsDiffer": "what was written could not be put together, time and again: try it again later",
    "TIMED_OUT": "the job took longer than a job may: choose a smaller box or a coarser mag",
    "ABORTED": "the job was stopped by whoever runs this zarrlink",
}


class StepFunctionsEngine:
    """See `zarrlink.jobs.engine.Engine`. `client`: boto3's of Step Functions; `machine`: the state machine's ARN.

    `s3`: boto3's of S3, which signs; `bucket`: where results are kept.
    """

    def __init__(self, client: Any, machine: str, s3: Any, bucket: str) -> None:
        self._client = client
        self._machine = machine
        self._s3 = s3
        self._bucket = bucket
        self._store = BucketStore(s3, bucket, Path(tempfile.gettempdir()))

    def start(self, job: Job) -> None:
        self._execute(execution_name(job), {"kind": job.kind, "job": job.id, "attempt": job.attempt})

    def start_import(self, event: Mapping[str, str]) -> None:
        """Hand over an upload (`zarrlink.annotations.large_uploads`); again does no harm. Raises SourceUnavailable."""
        self._execute(f"import-{event['upload']}", {"kind": "annotation_import", "import": dict(event)})

    def stop(self, job: Job) -> None:
        # Functions that run at this moment go on until they look at the job's state.
        arn = f"{self._machine.replace(':stateMachine:', ':execution:')}:{execution_name(job)}"
        ask(lambda: self._client.stop_execution(executionArn=arn), or_none=("ExecutionDoesNotExist",), service="AWS")
        self._store.remove(job.id, job.attempt)

    def address(self, job: Job, suffix: str = "") -> str:
        wanted = {
            "Bucket": self._bucket,
            "Key": self._store.key(job, suffix),
            "ResponseContentDisposition": disposition(job.file_name + suffix),
            "ResponseCacheControl": "no-store",
        }
        sign = self._s3.generate_presigned_url
        return str(ask(lambda: sign("get_object", Params=wanted, ExpiresIn=ADDRESS_S), service="AWS"))

    def discard(self, job: Job) -> None:
        self._store.remove(job.id, job.attempt)

    def _execute(self, name: str, given: Mapping[str, Any]) -> None:
        request = {"stateMachineArn": self._machine, "name": name, "input": json.dumps(given, sort_keys=True)}
        ask(lambda: self._client.start_execution(**request), or_none=("ExecutionAlreadyExists",), service="AWS")


def execution_name(job: Job) -> str:
    """One execution for each attempt: a second start of the same name is refused, for 90 days."""
    return f"{job.id}-{job.attempt}"


def attempt_of(name: str) -> tuple[str, int] | None:
    """The job's id and its attempt, by the name of an execution; None for that of an import."""
    found = _NAME.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


def sentence_of(error: str, cause: str = "") -> str:
    """Why a job failed, for its owner, by the error's name and cause as Step Functions tells them, or an execution's
    status. What is not ours is not repeated."""
    kind = getattr(errors, error, None)
    if isinstance(kind, type) and issubclass(kind, ZarrlinkError) and (message := _message(cause)):
        return message
    return _SENTENCES.get(error, _UNEXPECTED)


def _message(cause: str) -> str:
    """What a Python function raised, of the JSON that Lambda makes of it; empty where it is none."""
    try:
        message = json.loads(cause)["errorMessage"]
    except (ValueError, TypeError, KeyError):
        return ""
    return message if isinstance(message, str) else ""
