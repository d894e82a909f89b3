"""`zarrlink datasets`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import click

from zarrlink.errors import InvalidRequest, ZarrlinkError
from zarrlink_local.cli.options import print_json, print_table, shown, with_place, with_state
from zarrlink_local.cli.sharing import add_sharing, print_facts
from zarrlink_local.failure import in_one_line
from zarrlink_local.state import State
from zarrlink_local.verbs.datasets import dataset_verbs
from zarrlink_local.verbs.edit import Edit
from zarrlink_local.verbs.facts import Place
from zarrlink_local.verbs.find import find_dataset
from zarrlink_local.verify import compare, verify_dataset


@click.group()
def datasets() -> None:
    """List, show, add, edit, share, replace, remove and verify datasets."""


@datasets.command("list")
@click.option("--query", default="", help="Only those with these words in name, description, tags or owner.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag (may be repeated).")
@with_place
def list_datasets(query: str, tags: tuple[str, ...], place: Place, as_json: bool) -> None:
    """List the datasets that links can be made to."""
    found = dataset_verbs(place).all(query, tags)
    if as_json:
        print_json(found)
        return
    rows = [
        (it["id"], it["name"], it["owner"] or "-", it["visibility"], ", ".join(it["tags"]), it["location"] or "")
        for it in found
    ]
    print_table(("ID", "NAME", "OWNER", "VISIBILITY", "TAGS", "LOCATION"), rows)


@datasets.command()
@click.argument("dataset")
@with_place
def show(dataset: str, place: Place, as_json: bool) -> None:
    """Show DATASET (name or id) and its layers."""
    facts = dataset_verbs(place).one(dataset)
    if as_json:
        print_json(facts)
        return
    print_facts("dataset", facts)
    rows = [
        (it["name"], "-", "-", "-", it["unavailable"])
        if "unavailable" in it
        else (it["name"], it["category"], it["elementClass"], ",".join(map(str, it["box"])), " ".join(it["mags"]))
        for it in facts["layers"]
    ]
    if rows:
        print_table(("LAYER", "CATEGORY", "TYPE", "BOX", "MAGS"), rows)


@datasets.command()
@click.argument("folder", metavar="FOLDER")
@click.option("--name", help="What it is called. [as its folder]")
@click.option("--description", help="What it is about.")
@click.option("--tag", "tags", multiple=True, help="Give it this tag (may be repeated).")
@with_place
def add(
    folder: str, name: str | None, description: str | None, tags: tuple[str, ...], place: Place, as_json: bool
) -> None:
    """Register the dataset in FOLDER, where it lies.

    On this machine, every dataset at or below FOLDER: a folder with a datasource-properties.json, an OME-Zarr, N5 or
    Precomputed volume; FOLDER itself may be a single Zarr or N5 array as well. On a stack, FOLDER is s3://BUCKET/FOLDER, which holds a
    datasource-properties.json, in a bucket that the stack was deployed with (DataBucketArns). Through an API, FOLDER is one of the server's,
    and you are an admin there.
    """
    about = Edit(name=name, description=description, tags=tags)
    found = dataset_verbs(place).add(folder, about, lambda text: click.echo(f"left out: {text}", err=True))
    if as_json:
        print_json([{"id": facts["id"], "name": facts["name"]} for facts in found])
    else:
        print_table(("ID", "NAME"), [(facts["id"], facts["name"]) for facts in found])


add_sharing(datasets, "dataset", dataset_verbs)


@datasets.command()
@click.argument("dataset")
@with_place
def replaced(dataset: str, place: Place, as_json: bool) -> None:
    """Say that the files of DATASET (name or id) were exchanged, once all new ones are there.

    Its links show the new ones where these have the same geometry, and end where not. Without this, caches in front of the
    server keep what they have.
    """
    facts = dataset_verbs(place).replaced(dataset)
    if as_json:
        print_json({"id": facts["id"], "replaced": True})
    else:
        click.echo(f"the files of {shown(facts['name'])} ({facts['id']}) were replaced")


@datasets.command()
@click.argument("dataset")
@with_place
def remove(dataset: str, place: Place, as_json: bool) -> None:
    """Forget DATASET (name or id): its links end, its files stay."""
    facts = dataset_verbs(place).remove(dataset)
    if as_json:
        print_json({"id": facts["id"], "removed": True})
    else:
        click.echo(f"removed {shown(facts['name'])} ({facts['id']})")


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
