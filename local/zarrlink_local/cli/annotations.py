"""`zarrlink annotations`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import click

from zarrlink.annotations.download import download
from zarrlink.annotations.shelf import Upload
from zarrlink.annotations.volume_zip import VolumeData
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.errors import InvalidRequest, ZarrlinkError
from zarrlink.library import Subject
from zarrlink.links.model import iso_time
from zarrlink.users.interface import check_user_name
from zarrlink_local.cli.links import OPERATOR
from zarrlink_local.cli.options import find_annotation, find_dataset, print_json, print_table, with_state
from zarrlink_local.machine import now_ms
from zarrlink_local.state import State


@click.group("annotations")
def annotation_commands() -> None:
    """Import, list, download and remove annotations."""


@annotation_commands.command("list")
@with_state
def list_annotations(state: State, as_json: bool) -> None:
    """List the annotations that links can be made to."""
    records = state.shelf.annotations.all()
    if as_json:
        print_json([_facts(record) for record in records])
        return
    names = {record.id: record.name for record in state.catalogue.all()}
    rows = [(record.id, record.name, names.get(record.dataset, "-"), record.owner) for record in records]
    print_table(("ID", "NAME", "DATASET", "OWNER"), rows)


@annotation_commands.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dataset", help="The dataset that it is of (name or id). [the one that its NML names]")
@click.option("--into", help="Make it a new revision of this annotation (name or id).")
@click.option("--new", "as_new", is_flag=True, help="Make it a new annotation even where it was imported before.")
@click.option("--owner", default=OPERATOR, show_default=True, help="The user who sees it in the API.")
@with_state
def import_file(
    file: Path, dataset: str | None, into: str | None, as_new: bool, owner: str, state: State, as_json: bool
) -> None:
    """Import FILE, a download of WEBKNOSSOS: an .nml, or a .zip with one and its volumes.

    One that was imported before becomes the next revision of the same annotation; its links follow it as long as its
    geometry stays.
    """
    check_user_name(owner)
    if into and as_new:
        raise InvalidRequest("--into and --new exclude each other")
    if file.suffix.lower() not in (".nml", ".zip"):
        raise InvalidRequest(f"{file} is neither an .nml nor a .zip")
    shelf, now = state.shelf, now_ms()
    given = None if dataset is None else find_dataset(state, dataset)
    earlier = None if into is None else find_annotation(state, into)
    with (
        file.open("rb") as opened,
        tempfile.TemporaryDirectory(prefix="zarrlink-import-") as scratch,
        click.progressbar(length=1, label=f"importing {file.name}", file=sys.stderr) as bar,
    ):

        def show(done: int, of: int) -> None:
            bar.length = max(of, 1)
            bar.update(done - bar.pos)

        upload = Upload(opened, file.name, owner, Path(scratch), given)
        if earlier is None and not as_new:
            earlier = shelf.earlier(upload)
        record = shelf.add(upload, now, show) if earlier is None else shelf.revise(earlier, upload, now, show)
    if as_json:
        print_json(_facts(record))
        return
    names = [found.name for found in state.catalogue.all() if found.id == record.dataset]
    over = f"over dataset {names[0]}" if names else "its dataset is not registered here"
    click.echo(f"{'new revision of' if earlier else 'imported'} {record.name} ({record.id}), {over}")


@annotation_commands.command("download")
@click.argument("annotation")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="A file, or a folder to put it in. [the annotation's name, in this folder]",
)
@click.option("--volume-format", type=click.Choice(["wkw", "zarr3"]), default="wkw", show_default=True)
@click.option("--skip-volume-data", is_flag=True, help="Leave the volumes' data out.")
@with_state
def download_file(
    annotation: str, output: Path | None, volume_format: str, skip_volume_data: bool, state: State, as_json: bool
) -> None:
    """Download ANNOTATION (name or id) as WEBKNOSSOS does: an .nml, or a .zip with volumes."""
    record = find_annotation(state, annotation)
    data_format: VolumeData | None = None if skip_volume_data else "zarr3" if volume_format == "zarr3" else "wkw"
    into = output if output is not None and output.is_dir() else None
    try:
        path, length = asyncio.run(_download(state, record, data_format, output, into))
    except ZarrlinkError as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(f"{record.name}: {error}") from error
    if as_json:
        print_json({"id": record.id, "file": str(path), "bytes": length})
    else:
        click.echo(f"{path} ({length} bytes)")


async def _download(
    state: State, record: AnnotationRecord, data_format: VolumeData | None, output: Path | None, folder: Path | None
) -> tuple[Path, int]:
    """Download into a folder under the annotation's own name, or to a file."""
    source, manifest = await state.library.manifest(Subject(None, record))
    found = download(manifest, source, volume_data=data_format, name=record.name)
    path = (folder or Path()) / found.file_name if folder is not None or output is None else output
    if path.exists():
        raise InvalidRequest(f"{path} is there already")
    # Under its own name only when it is whole.
    draft = path.with_name(f".{path.name}.partial-{os.getpid()}")
    written = 0
    try:
        with draft.open("xb") as file:
            async for piece in found.body:
                written += file.write(piece)
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    return path, written


@annotation_commands.command()
@click.argument("annotation")
@with_state
def remove(annotation: str, state: State, as_json: bool) -> None:
    """Remove ANNOTATION (name or id) with all that it holds: its links end."""
    record = find_annotation(state, annotation)
    state.shelf.remove(record.id)
    if as_json:
        print_json({"id": record.id, "removed": True})
    else:
        click.echo(f"removed {record.name} ({record.id})")


def _facts(record: AnnotationRecord) -> dict[str, str]:
    return {
        "id": record.id,
        "name": record.name,
        "dataset": record.dataset,
        "owner": record.owner,
        "revision": record.revision,
        "created": iso_time(record.created_ms),
        "modified": iso_time(record.modified_ms),
    }
