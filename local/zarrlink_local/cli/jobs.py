"""`zarrlink jobs`: all of them on a state file, one's own through an API."""

from __future__ import annotations

from pathlib import Path

import click

from zarrlink_local.cli.options import OutputPath, print_json, print_table, with_machine_or_api
from zarrlink_local.cli.progress import byte_progress
from zarrlink_local.machine import Machine
from zarrlink_local.remote import Api
from zarrlink_local.verbs.facts import Facts
from zarrlink_local.verbs.jobs import job_verbs

_id_argument = click.argument("job_id", metavar="ID")


@click.group()
def jobs() -> None:
    """List, show, cancel, retry, download and remove jobs; the server runs them."""


@jobs.command("list")
@click.option("--owner", help="Only this user's jobs.")
@with_machine_or_api
def list_jobs(owner: str | None, place: Machine | Api, as_json: bool) -> None:
    """List the jobs, newest first."""
    found = job_verbs(place).all(owner)
    if as_json:
        print_json(found)
        return
    rows = [(it["id"], it["state"], f"{it['progress']:.0%}", it["kind"], it["owner"], it["fileName"]) for it in found]
    print_table(("ID", "STATE", "DONE", "KIND", "OWNER", "FILE"), rows)


@jobs.command()
@_id_argument
@with_machine_or_api
def show(job_id: str, place: Machine | Api, as_json: bool) -> None:
    """Show a job, and where its result lies."""
    _print(job_verbs(place).one(job_id), as_json=as_json)


@jobs.command()
@_id_argument
@with_machine_or_api
def cancel(job_id: str, place: Machine | Api, as_json: bool) -> None:
    """Cancel a job: what it wrote is removed."""
    _print(job_verbs(place).cancel(job_id), as_json=as_json)


@jobs.command()
@_id_argument
@with_machine_or_api
def retry(job_id: str, place: Machine | Api, as_json: bool) -> None:
    """Try a job again that failed or was cancelled: the server does, as soon as it runs."""
    _print(job_verbs(place).retry(job_id), as_json=as_json)


@jobs.command()
@_id_argument
@click.option(
    "--output",
    "-o",
    type=OutputPath(),
    help="A file, or a folder to put it in. [the job's name for it, in this folder]",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@with_machine_or_api
def download(job_id: str, output: Path | None, force: bool, place: Machine | Api, as_json: bool) -> None:
    """Fetch the result of a job. What broke off is gone on with when it is asked for again."""
    with byte_progress(f"downloading {job_id}") as told:
        written = job_verbs(place).download(job_id, output, told, replaces=force)
    print_files(written, as_json=as_json)


@jobs.command()
@_id_argument
@with_machine_or_api
def remove(job_id: str, place: Machine | Api, as_json: bool) -> None:
    """Remove a job that has ended, and its result."""
    job_verbs(place).remove(job_id)
    if as_json:
        print_json({"id": job_id, "removed": True})
    else:
        click.echo(f"removed {job_id}")


def print_files(written: list[Path], *, as_json: bool) -> None:
    """What was written, with its length."""
    if as_json:
        print_json({"files": [{"file": str(path), "bytes": path.stat().st_size} for path in written]})
        return
    for path in written:
        click.echo(f"{path} ({path.stat().st_size} bytes)")


def _print(facts: Facts, *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    click.echo(f"job {facts['id']}: {facts['state']}")
    for name in ("kind", "owner", "created", "ended", "expires", "file", "ids", "bytes", "error"):
        if facts[name] is not None:
            click.echo(f"  {name:<8} {facts[name]}")
