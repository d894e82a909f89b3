"""`zarrlink serve` and `zarrlink sample`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from zarrlink.http import cors
from zarrlink.http.edge_door import EdgeDoor, FileSecrets
from zarrlink.users.configured import SignInChoice
from zarrlink_local import server
from zarrlink_local.cli.options import state_option
from zarrlink_local.cli.sign_in import sign_in_options
from zarrlink_local.jobs.engine import local_engine
from zarrlink_local.jobs.queue import RESULT_DAYS
from zarrlink_local.machine import now_ms, open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.use_counter import UseCounter


@click.command()
@click.option(
    "--data",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder: every dataset at or below it (a folder with datasource-properties.json, an OME-Zarr, N5 or Precomputed volume) is registered.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@state_option
@click.option(
    "--public-url",
    envvar="PUBLIC_URL",
    help="What addresses begin with, where a proxy stands in front. [http://127.0.0.1:PORT]",
)
@click.option(
    "--viewer-max-age",
    type=click.IntRange(0, 86400),
    default=300,
    show_default=True,
    envvar="LINK_VIEWER_MAX_AGE",
    help="Seconds for which a browser may keep a chunk (also after revocation); 0: it must ask each time.",
)
@click.option(
    "--check-blocks",
    is_flag=True,
    help="Decode each block before it is sent, so that one that is damaged is an error in every client; about doubles the "
    "work per chunk.",
)
@click.option(
    "--allow-source",
    "allow",
    multiple=True,
    metavar="PREFIX",
    help="Datasets may have mags, or symbolic links to what lies, elsewhere: below this folder or address such as s3://bucket/folder or "
    "https://host/folder (may be repeated). [only what lies in a dataset's own folder]",
)
@click.option(
    "--ui-origin",
    "ui_origins",
    multiple=True,
    metavar="ORIGIN",
    envvar=cors.VARIABLE,
    help="Pages of this origin, such as https://ui.example.org, may call the API (may be repeated). [only its own pages]",
)
@sign_in_options
@click.option(
    "--neuroglancer",
    metavar="URL",
    envvar="ZARRLINK_NEUROGLANCER",
    help="The Neuroglancer that the pages open links in. [the client of the package neuroglancer, else the public one]",
)
@click.option(
    "--behind-cdn",
    "cdn_secrets",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Answer nothing but what the CDN in front sends, with the secret in FILE (mode 0600; the one before it may stand in a "
    "second line).",
)
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that work on exports. [one for each core]")
@click.option(
    "--result-days",
    type=click.IntRange(1, 3650),
    default=RESULT_DAYS,
    show_default=True,
    help="How long the files of exports are kept.",
)
def serve(
    data: tuple[Path, ...],
    port: int,
    state: Path,
    public_url: str | None,
    viewer_max_age: int,
    check_blocks: bool,
    allow: tuple[str, ...],
    ui_origins: tuple[str, ...],
    choice: SignInChoice,
    neuroglancer: str | None,
    cdn_secrets: Path | None,
    workers: int | None,
    result_days: int,
) -> None:
    """Serve the datasets below DIR: Zarr links, their pages and the API, on loopback."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    may_call, vouchers = cors.UiOrigins.from_text(" ".join(ui_origins)), choice.vouchers()
    edge = None if cdn_secrets is None else edge_of(cdn_secrets)
    machine = open_machine(state, allow, data)
    machine.sweep()
    for folder in data:
        for record in register_below(
            folder, machine.catalogue, now_ms(), lambda text: click.echo(f"left out: {text}", err=True), machine.reach
        ):
            click.echo(f"dataset {record.name} ({record.id})")
    listener = server.listen(port)
    address = (public_url or f"http://{server.LOOPBACK}:{listener.getsockname()[1]}").rstrip("/")
    machine.set_address(address)
    click.echo(f"serving on {address} (state {state}); make a link with: zarrlink links create DATASET --state {state}")
    with (
        local_engine(machine, workers=workers, result_days=result_days) as engine,
        UseCounter(machine.links, now_ms) as uses,
    ):
        app = server.create_app(
            machine,
            address,
            engine,
            viewer_max_age_s=viewer_max_age,
            check_blocks=check_blocks,
            ui_origins=may_call,
            vouchers=vouchers,
            opened=uses.opened,
            served=data,
            neuroglancer=neuroglancer,
            edge=edge,
            is_named=public_url is not None,
        )
        server.run(app, listener)


def edge_of(file: Path) -> EdgeDoor:
    """The door behind a CDN with the secrets in a file. Raises InvalidRequest for a file that is none."""
    secrets = FileSecrets(file)
    secrets.current()
    return EdgeDoor(secrets, scheme="http")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--size", nargs=3, type=click.IntRange(64, 4096), default=(512, 512, 256), show_default=True, help="Voxels x y z."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=7, show_default=True)
def sample(folder: Path, size: tuple[int, int, int], seed: int) -> None:
    """Make a sample dataset in FOLDER: EM-like neuropil with its segmentation, as WKW."""
    # NumPy is needed here alone.
    from zarrlink_local.sample import write_sample

    with click.progressbar(length=100, label="making the sample", file=sys.stderr) as bar:
        write_sample(folder, size_xyz=size, seed=seed, progress=lambda done: bar.update(int(done * 100) - bar.pos))
    click.echo(f"sample dataset in {folder}")
