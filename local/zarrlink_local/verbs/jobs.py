"""Verbs of jobs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from zarrlink.annotations.download import safe_file_name
from zarrlink.errors import InvalidRequest
from zarrlink.exports.store import IDS_SUFFIX
from zarrlink.jobs.model import Job
from zarrlink_local.jobs.queue import job_service
from zarrlink_local.machine import Machine
from zarrlink_local.remote import Api, ApiRefusal
from zarrlink_local.verbs.facts import Facts, Show, iso, segment
from zarrlink_local.verbs.fetch import Result, fetch
from zarrlink_local.verbs.links import OPERATOR
from zarrlink_local.verbs.received import check_free, draft_of


class JobVerbs(Protocol):
    """Jobs are named by their id. Every verb raises InvalidRequest for one that is not there."""

    def all(self, owner: str | None) -> list[Facts]:
        """Newest first. `owner` None: all that one may see."""
        ...

    def one(self, job_id: str) -> Facts: ...

    def cancel(self, job_id: str) -> Facts: ...

    def retry(self, job_id: str) -> Facts: ...

    def remove(self, job_id: str) -> None: ...

    def download(self, job_id: str, output: Path | None, show: Show, *, replaces: bool) -> list[Path]:
        """The result, and the table of renumbered ids beside it where there is one.

        `output`: a file, or a folder to put it in under its own name; None: this folder. `replaces`: files may be there.
        """
        ...


def job_verbs(place: Machine | Api) -> JobVerbs:
    return RemoteJobs(place) if isinstance(place, Api) else MachineJobs(place)


def _path(output: Path | None, file_name: str) -> Path:
    return output if output is not None and not output.is_dir() else (output or Path()) / file_name


class MachineJobs:
    """Jobs of a state file, all of them: its keeper is the operator."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._service = job_service(machine)

    def all(self, owner: str | None) -> list[Facts]:
        jobs = self._machine.jobs
        if owner is not None:
            return [self._facts(job) for job in jobs.of_owner(owner)]
        # Those that still run of users who were removed as well.
        owners = {user.name for user in self._machine.users.all()} | {OPERATOR}
        found = {job.id: job for job in jobs.running()}
        found |= {job.id: job for owner in owners for job in jobs.of_owner(owner)}
        return [self._facts(job) for job in sorted(found.values(), key=lambda job: (-job.created_ms, job.id))]

    def one(self, job_id: str) -> Facts:
        return self._facts(self._found(job_id))

    def cancel(self, job_id: str) -> Facts:
        return self._facts(self._service.cancel(self._found(job_id).owner, job_id))

    def retry(self, job_id: str) -> Facts:
        return self._facts(self._service.retry(self._found(job_id).owner, job_id))

    def remove(self, job_id: str) -> None:
        self._service.remove(self._found(job_id).owner, job_id)

    def download(self, job_id: str, output: Path | None, show: Show, *, replaces: bool) -> list[Path]:
        job = self._service.result(self._found(job_id).owner, job_id)
        path, store = _path(output, job.file_name), self._machine.results()
        made = []
        for suffix in ("", IDS_SUFFIX):
            source, target = store.path(job, suffix), path.with_name(path.name + suffix)
            if suffix and not source.exists():
                continue
            with source.open("rb") as reading, draft_of(target, replaces=replaces) as writing:
                shutil.copyfileobj(reading, writing, 2**20)
            made.append(target)
        show(1, 1)
        return made

    def _found(self, job_id: str) -> Job:
        job = self._machine.jobs.get(job_id)
        if job is None:
            raise _no_job(job_id)
        return job

    def _facts(self, job: Job) -> Facts:
        result, table = self._machine.results().path(job), self._machine.results().path(job, IDS_SUFFIX)
        return {
            "id": job.id,
            "state": job.state,
            "kind": job.kind,
            "owner": job.owner,
            "dataset": job.dataset or None,
            "annotation": job.annotation or None,
            "progress": round(job.progress, 4),
            "attempt": job.attempt,
            "created": iso(job.created_ms),
            "ended": iso(job.ended_ms),
            "expires": iso(job.expires_ms),
            "fileName": job.file_name,
            "file": str(result) if job.state == "SUCCESS" and result.exists() else None,
            "ids": str(table) if job.state == "SUCCESS" and table.exists() else None,
            "bytes": job.result_bytes,
            "error": job.sentence or None,
        }


def _no_job(job_id: str) -> InvalidRequest:
    return InvalidRequest(f"there is no job {job_id!r}; `zarrlink jobs list` shows what there is")


class RemoteJobs:
    """One's own jobs at a server."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def all(self, owner: str | None) -> list[Facts]:
        found = [_of_body(body) for body in self._api.get("/jobs")]
        return [facts for facts in found if owner in (None, facts["owner"])]

    def one(self, job_id: str) -> Facts:
        return _of_body(self.body(job_id))

    def body(self, job_id: str) -> Facts:
        """As the API tells it."""
        return self._ask("GET", job_id)

    def cancel(self, job_id: str) -> Facts:
        return _of_body(self._ask("PATCH", job_id, "/cancel"))

    def retry(self, job_id: str) -> Facts:
        return _of_body(self._ask("PATCH", job_id, "/retry"))

    def remove(self, job_id: str) -> None:
        self._ask("DELETE", job_id)

    def download(self, job_id: str, output: Path | None, show: Show, *, replaces: bool) -> list[Path]:
        body = self.body(job_id)
        if not body["resultLink"]:
            raise InvalidRequest(f"job {job_id} has no result (any more): it is {body['state']}")
        path = _path(output, safe_file_name(_of_body(body)["fileName"]))
        result = Result(f"/jobs/{segment(job_id)}/export", body["latestRunId"], body["resultBytes"])
        fetch(self._api, result, path, show, replaces=replaces)
        if not body.get("idsLink"):
            return [path]
        ids = path.with_name(path.name + IDS_SUFFIX)
        check_free(ids, replaces=replaces)
        with self._api.open("GET", f"/jobs/{segment(job_id)}/ids") as reply, draft_of(ids, replaces=replaces) as file:
            file.writelines(reply.pieces())
        return [path, ids]

    def _ask(self, method: str, job_id: str, what: str = "") -> Facts:
        try:
            answer: Facts = self._api.send(method, f"/jobs/{segment(job_id)}{what}")
        except ApiRefusal as error:
            if error.status == 404:
                raise _no_job(job_id) from error
            raise
        return answer


def _of_body(body: Facts) -> Facts:
    given = body["commandArgs"]
    is_stack = body["command"] == "export_tiff" and given["export_file_name"].endswith(".zip")
    kinds = {"export_tiff": "ome_tiff", "export_annotation": "annotation_wkw", "import_annotation": "annotation_import"}
    return {
        "id": body["id"],
        "state": body["state"],
        "kind": "tiff_stack" if is_stack else kinds.get(body["command"], body["command"]),
        "owner": body["owner"]["firstName"],
        "dataset": given["dataset_id"],
        "annotation": given["annotation_id"],
        "progress": round(body["progress"], 4),
        "attempt": body["attempt"],
        "created": iso(body["created"]),
        "ended": iso(body["ended"]),
        "expires": iso(body["resultExpires"]),
        "fileName": given["export_file_name"],
        # Of the server's disk nothing is told.
        "file": None,
        "ids": None,
        "bytes": body["resultBytes"],
        "error": body["message"],
    }
