"""`zarrlink jobs`: the operator's side of long jobs, straight on the state file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zarrlink.errors import InvalidRequest
from zarrlink.exports.store import IDS_SUFFIX
from zarrlink.jobs.model import Job
from zarrlink.links.model import iso_time
from zarrlink_local.cli.links import OPERATOR
from zarrlink_local.cli.options import existing_file, json_option, print_json, print_table, state_option
from zarrlink_local.jobs.queue import job_service
from zarrlink_local.machine import Machine

_id_argument = click.argument("job_id", metavar="ID")


@click.group()
def jobs() -> None:
    """List, show, cancel, retry and remove jobs; the server runs them."""


@jobs.command("list")
@click.option("--owner", help="Only this user's jobs.")
@state_option
@json_option
def list_jobs(owner: str | None, state: Path, as_json: bool) -> None:
    """List the jobs, newest first."""
    machine = existing_file(state)
    found = _all(machine) if owner is None else machine.jobs.of_owner(owner)
    if as_json:
        print_json([_facts(machine, job) for job in found])
        return
    rows = [(job.id, job.state, f"{job.progress:.0%}", job.kind, job.owner, job.file_name) for job in found]
    print_table(("ID", "STATE", "DONE", "KIND", "OWNER", "FILE"), rows)


@jobs.command()
@_id_argument
@state_option
@json_option
def show(job_id: str, state: Path, as_json: bool) -> None:
    """Show a job, and where its result lies."""
    machine = existing_file(state)
    _print(machine, _found(machine, job_id), as_json=as_json)


@jobs.command()
@_id_argument
@state_option
@json_option
def cancel(job_id: str, state: Path, as_json: bool) -> None:
    """Cancel a job: what it wrote is removed."""
    machine = existing_file(state)
    job = _found(machine, job_id)
    _print(machine, job_service(machine).cancel(job.owner, job.id), as_json=as_json)


@jobs.command()
@_id_argument
@state_option
@json_option
def retry(job_id: str, state: Path, as_json: bool) -> None:
    """Try a job again that failed or was cancelled: the server does, as soon as it runs."""
    machine = existing_file(state)
    job = _found(machine, job_id)
    _print(machine, job_service(machine).retry(job.owner, job.id), as_json=as_json)


@jobs.command()
@_id_argument
@state_option
@json_option
def remove(job_id: str, state: Path, as_json: bool) -> None:
    """Remove a job that has ended, and its result."""
    machine = existing_file(state)
    job = _found(machine, job_id)
    job_service(machine).remove(job.owner, job.id)
    if as_json:
        print_json({"id": job.id, "removed": True})
    else:
        click.echo(f"removed {job.id}")


def _all(machine: Machine) -> list[Job]:
    """Of all users, and those that still run of users who were removed."""
    owners = {user.name for user in machine.users.all()} | {OPERATOR}
    found = {job.id: job for job in machine.jobs.running()}
    found |= {job.id: job for owner in owners for job in machine.jobs.of_owner(owner)}
    return sorted(found.values(), key=lambda job: (-job.created_ms, job.id))


def _found(machine: Machine, job_id: str) -> Job:
    job = machine.jobs.get(job_id)
    if job is None:
        raise InvalidRequest(f"there is no job {job_id!r}; `zarrlink jobs list` shows what there is")
    return job


def _facts(machine: Machine, job: Job) -> dict[str, Any]:
    result, table = machine.results().path(job), machine.results().path(job, IDS_SUFFIX)
    return {
        "id": job.id,
        "state": job.state,
        "kind": job.kind,
        "owner": job.owner,
        "dataset": job.dataset or None,
        "annotation": job.annotation or None,
        "progress": round(job.progress, 4),
        "attempt": job.attempt,
        "created": iso_time(job.created_ms),
        "ended": None if job.ended_ms is None else iso_time(job.ended_ms),
        "expires": None if job.expires_ms is None else iso_time(job.expires_ms),
        "file": str(result) if job.state == "SUCCESS" and result.exists() else None,
        "ids": str(table) if job.state == "SUCCESS" and table.exists() else None,
        "bytes": job.result_bytes,
        "error": job.sentence or None,
    }


def _print(machine: Machine, job: Job, *, as_json: bool) -> None:
    facts = _facts(machine, job)
    if as_json:
        print_json(facts)
        return
    click.echo(f"job {job.id}: {job.state}")
    for name in ("kind", "owner", "created", "ended", "expires", "file", "ids", "bytes", "error"):
        if facts[name] is not None:
            click.echo(f"  {name:<8} {facts[name]}")
