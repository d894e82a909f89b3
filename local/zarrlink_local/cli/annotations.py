"""`zarrlink annotations`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from zarrlink_local.cli.options import OutputPath, print_json, print_table, shown, with_place
from zarrlink_local.cli.progress import byte_progress
from zarrlink_local.cli.sharing import add_sharing, print_facts
from zarrlink_local.verbs.annotations import WantedDownload, annotation_verbs
from zarrlink_local.verbs.datasets import dataset_verbs
from zarrlink_local.verbs.facts import Place
from zarrlink_local.verbs.imports import WantedImport, import_annotation
from zarrlink_local.verbs.links import OPERATOR


@click.group("annotations")
def annotation_commands() -> None:
    """Import, list, show, download, edit, share and remove annotations."""


@annotation_commands.command("list")
@click.option("--query", default="", help="Only those with these words in name, description, tags or owner.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag (may be repeated).")
@with_place
def list_annotations(query: str, tags: tuple[str, ...], place: Place, as_json: bool) -> None:
    """List the annotations that links can be made to."""
    found = annotation_verbs(place).all(query, tags)
    if as_json:
        print_json(found)
        return
    names = {facts["id"]: facts["name"] for facts in dataset_verbs(place).all()}
    rows = [
        (it["id"], it["name"], names.get(it["dataset"], "-"), it["owner"], it["visibility"], ", ".join(it["tags"]))
        for it in found
    ]
    print_table(("ID", "NAME", "DATASET", "OWNER", "VISIBILITY", "TAGS"), rows)


@annotation_commands.command()
@click.argument("annotation")
@with_place
def show(annotation: str, place: Place, as_json: bool) -> None:
    """Show ANNOTATION (name or id), its layers and the boxes that somebody drew in it."""
    facts = annotation_verbs(place).one(annotation)
    if as_json:
        print_json(facts)
        return
    print_facts("annotation", facts)
    print_table(("LAYER", "KIND"), [(layer["name"], layer["kind"]) for layer in facts["layers"]])
    boxes = [(found["name"] or "-", ",".join(map(str, found["box"]))) for found in facts["boundingBoxes"]]
    if boxes:
        print_table(("NAME", "BOX"), boxes)


@annotation_commands.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dataset", help="The dataset that it is of (name or id). [the one that its NML names]")
@click.option("--into", help="Make it a new revision of this annotation (name or id).")
@click.option("--new", "as_new", is_flag=True, help="Make it a new annotation even where it was imported before.")
@click.option("--owner", help=f"The user whose it is.  [default: {OPERATOR}; through an API yourself]")
@with_place
def import_file(
    file: Path, dataset: str | None, into: str | None, as_new: bool, owner: str | None, place: Place, as_json: bool
) -> None:
    """Import FILE, a download of WEBKNOSSOS: an .nml, or a .zip with one and its volumes.

    One that was imported before becomes the next revision of the same annotation; its links follow it as long as its
    geometry stays. Through an API it is always a new one.
    """
    wanted = WantedImport(file, dataset, into, as_new, owner)
    with byte_progress(f"importing {file.name}") as told:
        made = import_annotation(place, wanted, told)
    facts = made.facts
    if as_json:
        print_json(facts)
        return
    names = [found["name"] for found in dataset_verbs(place).all() if found["id"] == facts["dataset"]]
    over = f"over dataset {shown(names[0])}" if names else "its dataset is not registered here"
    click.echo(f"{'new revision of' if made.revised else 'imported'} {shown(facts['name'])} ({facts['id']}), {over}")


@annotation_commands.command("download")
@click.argument("annotation")
@click.option(
    "--output",
    "-o",
    type=OutputPath(),
    help="A file, or a folder to put it in. [the annotation's name, in this folder]",
)
@click.option("--volume-format", type=click.Choice(["wkw", "zarr3"]), default="wkw", show_default=True)
@click.option("--skip-volume-data", is_flag=True, help="Leave the volumes' data out.")
@with_place
def download_file(
    annotation: str,
    output: Path | None,
    volume_format: Literal["wkw", "zarr3"],
    skip_volume_data: bool,
    place: Place,
    as_json: bool,
) -> None:
    """Download ANNOTATION (name or id) as WEBKNOSSOS does: an .nml, or a .zip with volumes."""
    wanted = WantedDownload(None if skip_volume_data else volume_format, output)
    with byte_progress(f"downloading {annotation}") as told:
        path = annotation_verbs(place).download(annotation, wanted, told)
    length = path.stat().st_size
    if as_json:
        print_json({"annotation": annotation, "file": str(path), "bytes": length})
    else:
        click.echo(f"{path} ({length} bytes)")


add_sharing(annotation_commands, "annotation", annotation_verbs)


@annotation_commands.command()
@click.argument("annotation")
@with_place
def remove(annotation: str, place: Place, as_json: bool) -> None:
    """Remove ANNOTATION (name or id) with all that it holds: its links end."""
    facts = annotation_verbs(place).remove(annotation)
    if as_json:
        print_json({"id": facts["id"], "removed": True})
    else:
        click.echo(f"removed {shown(facts['name'])} ({facts['id']})")
