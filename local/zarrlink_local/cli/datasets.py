"""`zarrlink datasets`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import click

from zarrlink.errors import InvalidRequest, ZarrlinkError
from zarrlink.links.model import iso_time
from zarrlink_local.cli.options import find_dataset, print_json, print_table, with_state
from zarrlink_local.failure import in_one_line
from zarrlink_local.machine import now_ms
from zarrlink_local.state import State
from zarrlink_local.verify import compare, verify_dataset


@click.group()
def datasets() -> None:
    """List, add, remove and verify datasets."""


@datasets.command("list")
@with_state
def list_datasets(state: State, as_json: bool) -> None:
    """List the datasets that links can be made to."""
    records = state.catalogue.all()
    if as_json:
        fields = [(record.id, record.name, record.location, iso_time(record.created_ms)) for record in records]
        print_json([dict(zip(("id", "name", "location", "created"), row, strict=True)) for row in fields])
    else:
        print_table(("ID", "NAME", "LOCATION"), [(record.id, record.name, record.location) for record in records])


@datasets.command()
@click.argument("place", metavar="FOLDER")
@with_state
def add(place: str, state: State, as_json: bool) -> None:
    """Register the dataset in FOLDER, where it lies.

    On this machine, every dataset at or below FOLDER: a folder with a datasource-properties.json, an OME-Zarr, N5 or
    Precomputed volume; FOLDER itself may be a single Zarr or N5 array as well. On a stack, FOLDER is s3://BUCKET/FOLDER, which holds a
    datasource-properties.json, in a bucket that the stack was deployed with (DataBucketArns).
    """
    records = state.add_datasets(place, now_ms(), lambda text: click.echo(f"left out: {text}", err=True))
    if as_json:
        print_json([{"id": record.id, "name": record.name} for record in records])
    else:
        print_table(("ID", "NAME"), [(record.id, record.name) for record in records])


@datasets.command()
@click.argument("dataset")
@with_state
def remove(dataset: str, state: State, as_json: bool) -> None:
    """Forget DATASET (name or id): its links end, its files stay."""
    record = find_dataset(state, dataset)
    state.catalogue.remove(record.id)
    if as_json:
        print_json({"id": record.id, "removed": True})
    else:
        click.echo(f"removed {record.name} ({record.id})")


@datasets.command()
@click.argument("dataset")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Checksums of every file: written if it is not there, else compared. WKW has none of its own, so flipped bits "
    "show only here.",
)
@with_state
def verify(dataset: str, manifest: Path | None, state: State, as_json: bool) -> None:
    """Read and decode every block of DATASET (name or id).

    Exit status 1 where anything is damaged or nothing could be verified. Of a stack's dataset every file is fetched.
    """
    record = find_dataset(state, dataset)
    # First, since verifying may take hours.
    known = None if manifest is None else _read_manifest(manifest)
    with click.progressbar(length=1, label=f"verifying {record.name}", file=sys.stderr) as bar:

        def show(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        try:
            report = asyncio.run(verify_dataset(state.library, state.tree(record), record, show))
        except ZarrlinkError as error:
            raise InvalidRequest(f"{record.name}: {in_one_line(error)}") from error
    damage = report.damage + ([] if known is None else compare(known, report.checksums))
    if manifest is not None and known is None and report.files and not damage:
        manifest.write_text(json.dumps(report.checksums, indent=0, sort_keys=True))
    if as_json:
        lists = {"damage": damage, "skipped": report.skipped, "notes": report.notes}
        print_json({"id": record.id, "files": report.files, "blocks": report.blocks, **lists})
    else:
        for kind, lines in (("damaged", damage), ("not verified", report.skipped), ("note", report.notes)):
            for line in lines:
                click.echo(f"{kind}: {line}")
        click.echo(f"{report.files} files, {report.blocks} blocks, {len(damage)} damaged")
        if not report.files:
            click.echo("nothing was verified")
    if damage or not report.files:
        raise click.exceptions.Exit(1)


def _read_manifest(manifest: Path) -> dict[str, str] | None:
    """The checksums of a manifest, None where it is still to be written. Raises InvalidRequest where it cannot be."""
    if not manifest.exists():
        if not (manifest.parent.is_dir() and os.access(manifest.parent, os.W_OK)):
            raise InvalidRequest(f"{manifest} cannot be written: {manifest.parent} is no folder, or not a writable one")
        return None
    try:
        return dict(json.loads(manifest.read_text()))
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{manifest} is not a manifest of ours") from error
