"""`zarrlink export`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import click

from zarrlink.errors import InvalidRequest
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.request import Compression, Wide
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.library import Library
from zarrlink_local.cli.options import (
    existing_file,
    find_annotation,
    find_dataset,
    json_option,
    print_json,
    state_option,
)

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
@click.option("--workers", type=click.IntRange(1, 256), help="Processes. [one for each core]")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@state_option
@json_option
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
    state: Path,
    as_json: bool,
) -> None:
    """Write a box of LAYER of DATASET as one file: an OME-TIFF with a pyramid, or a ZIP of TIFFs, one a plane.

    DATASET is a dataset of the state file (name or id), or the address of a link: http://.../zarr/TOKEN/.
    """
    # NumPy is needed by a few commands alone.
    from zarrlink_local.direct_export import DirectExport, export_to
    from zarrlink_local.jobs.queue import usable_cores

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
    dataset, painted, open_library = _subject(source, annotation, state)
    wanted = DirectExport(_KINDS[kind], args, dataset, painted, open_library, workers or usable_cores(), force)
    with _ended_by_sigterm(), _progress(f"exporting {layer}") as show:
        written = export_to(output, wanted, show)
    if as_json:
        print_json({"files": [{"file": str(path), "bytes": path.stat().st_size} for path in written]})
    else:
        for path in written:
            click.echo(f"{path} ({path.stat().st_size} bytes)")


def _subject(source: str, annotation: str | None, state: Path) -> tuple[str, str, Callable[[], Library]]:
    """Ids of dataset and annotation, and the library that knows them."""
    if _is_link(source):
        from zarrlink_local.link_library import LinkLibrary, read_link

        if annotation is not None:
            raise InvalidRequest("a link shows an annotation where it was made to one: leave --annotation out")
        return "", "", partial(LinkLibrary, read_link(source))
    from zarrlink_local.jobs.engine import library_of_state

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
def _progress(label: str) -> Iterator[Callable[[float], None]]:
    """A bar from the first news on: a refusal stands alone."""
    with ExitStack() as stack:
        bar: Any = None

        def show(done: float) -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(click.progressbar(length=100, label=label, file=sys.stderr))
            bar.update(int(done * 100) - bar.pos)

        yield show


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """As by Ctrl-C, with everything put away: batch systems end jobs so."""

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
