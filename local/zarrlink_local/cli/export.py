"""`zarrlink export`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, cast

import click

from zarrlink.errors import InvalidRequest
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.request import Compression, Wide
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.library import Library
from zarrlink_local.cli.jobs import print_files
from zarrlink_local.cli.options import existing_file, with_file_or_api
from zarrlink_local.cli.progress import byte_progress, progress
from zarrlink_local.remote import Api
from zarrlink_local.verbs.exports import RemoteExport, submit, wait
from zarrlink_local.verbs.find import find_annotation, find_dataset
from zarrlink_local.verbs.jobs import RemoteJobs

_KINDS: dict[str, Literal["ome_tiff", "tiff_stack"]] = {"ome-tiff": "ome_tiff", "tiff-stack": "tiff_stack"}


@click.command()
@click.argument("kind", type=click.Choice(list(_KINDS)))
@click.argument("source", metavar="DATASET")
@click.argument("layer")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--bbox", help="Only x,y,z,width,height,depth (mag-1 voxels). [the whole layer]")
@click.option("--mag", help="Such as 2-2-1. [the finest]")
@click.option("--compression", type=click.Choice(["deflate", "zstd", "none"]), default="deflate", show_default=True)
@click.option(
    "--wide",
    type=click.Choice(["narrow", "renumber", "keep"]),
    help="What becomes of 64-bit numbers: 32 bits (fails where one does not fit), numbers of a table that is written "
    "beside the file, or 64 bits in a TIFF that few programs read. [narrow where all are known to fit, else renumber]",
)
@click.option("--levels", type=click.IntRange(1, 32), help="Of an OME-TIFF's pyramid. [until one fits a screen]")
@click.option(
    "--axis",
    "axes",
    multiple=True,
    metavar="NAME=N",
    help="At this coordinate of an additional axis, as t=3 (may be repeated). [its first]",
)
@click.option("--mapping", help="Show segment ids by this mapping, an agglomerate file of the dataset.")
@click.option("--annotation", help="The layer as it is with this annotation (name or id) over DATASET.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes of this machine. [one for each core]")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@with_file_or_api
def export(
    kind: str,
    source: str,
    layer: str,
    output: Path,
    bbox: str | None,
    mag: str | None,
    compression: str,
    wide: str | None,
    levels: int | None,
    axes: tuple[str, ...],
    mapping: str | None,
    annotation: str | None,
    workers: int | None,
    force: bool,
    place: Path | Api,
    as_json: bool,
) -> None:
    """Write a box of LAYER of DATASET as one file: an OME-TIFF with a pyramid, or a ZIP of TIFFs, one a plane.

    DATASET is a dataset of the state file (name or id), or the address of a link: http://.../zarr/TOKEN/. Through an API the
    server makes the file, as a job: where this command is ended meanwhile, the job goes on (zarrlink jobs).
    """
    args = ExportArgs(
        layer=layer,
        box=None if bbox is None else BoundingBox.parse(bbox),
        mag=None if mag is None else Mag.parse(mag),
        compression=cast("Compression", compression),
        wide=cast("Wide | None", wide),
        levels=levels,
        extra=_coordinates(axes),
        mapping=mapping,
    )
    if isinstance(place, Api) and not _is_link(source):
        if workers is not None:
            raise InvalidRequest("the server has workers of its own: leave --workers out")
        wanted = RemoteExport(_KINDS[kind], args, source, annotation, force)
        written = _by_server(place, wanted, output)
    else:
        written = _here(_KINDS[kind], args, source, annotation, place, output, workers, replaces=force)
    print_files(written, as_json=as_json)


def _here(
    kind: Literal["ome_tiff", "tiff_stack"],
    args: ExportArgs,
    source: str,
    annotation: str | None,
    state: Path | Api,
    output: Path,
    workers: int | None,
    *,
    replaces: bool,
) -> list[Path]:
    # NumPy is needed by a few commands alone.
    from zarrlink_local.direct_export import DirectExport, export_to
    from zarrlink_local.jobs.queue import usable_cores

    dataset, painted, open_library = _subject(source, annotation, state)
    wanted = DirectExport(kind, args, dataset, painted, open_library, workers or usable_cores(), replaces)
    with _ended_by_signals(), progress(f"exporting {args.layer}") as show:
        return export_to(output, wanted, show)


def _by_server(api: Api, wanted: RemoteExport, output: Path) -> list[Path]:
    job_id = submit(api, wanted, output)
    try:
        with _ended_by_signals():
            with progress(f"exporting {wanted.args.layer}") as show:
                wait(api, job_id, show)
            with byte_progress(f"downloading {output.name}") as told:
                return RemoteJobs(api).download(job_id, output, told, replaces=wanted.replaces)
    except (KeyboardInterrupt, SystemExit):
        click.echo(f"\njob {job_id} goes on: zarrlink jobs download {job_id}, or jobs cancel {job_id}", err=True)
        raise


def _subject(source: str, annotation: str | None, state: Path | Api) -> tuple[str, str, Callable[[], Library]]:
    """Ids of dataset and annotation, and the library that knows them."""
    if _is_link(source):
        from zarrlink_local.link_library import LinkLibrary, read_link

        if annotation is not None:
            raise InvalidRequest("a link shows an annotation where it was made to one: leave --annotation out")
        return "", "", partial(LinkLibrary, read_link(source))
    from zarrlink_local.jobs.engine import library_of_state

    if isinstance(state, Api):
        raise TypeError("the datasets of a server are read by the server")
    opened = existing_file(state)
    record = find_dataset(opened, source)
    painted = None if annotation is None else find_annotation(opened, annotation)
    if painted is not None and painted.dataset != record.id:
        raise InvalidRequest(f"annotation {painted.name!r} is not of dataset {record.name!r}")
    return record.id, "" if painted is None else painted.id, partial(library_of_state, state.absolute())


def _is_link(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _coordinates(axes: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    for text in axes:
        name, sign, number = text.rpartition("=")
        if not (sign and name and number.isascii() and number.isdigit()):
            raise InvalidRequest(f"{text!r} is not NAME=N, such as t=3")
        if name in found:
            raise InvalidRequest(f"axis {name!r} is given twice")
        found[name] = int(number)
    return tuple(sorted(found.items()))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """As by Ctrl-C, with everything put away: batch systems end jobs so, and terminals that are closed."""

    def end(number: int, _frame: object) -> None:
        # What comes next, as both do where a session is ended, must not disturb the putting away.
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    found = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    # What whoever started this has it ignore, as nohup does, stays so.
    before = {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
