"""`zarrlink links`: all of them on a state, one's own through an API."""

from __future__ import annotations

from datetime import datetime

import click

from zarrlink.errors import InvalidRequest
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.links.interface import KEEP
from zarrlink.links.model import default_expiry_ms
from zarrlink.links.service import LinkRequest
from zarrlink_local.cli.options import print_json, print_table, shown, with_place
from zarrlink_local.expiry import in_words, parse_expiry
from zarrlink_local.machine import now_ms
from zarrlink_local.verbs.facts import Facts, Place
from zarrlink_local.verbs.links import OPERATOR, link_verbs


@click.group()
def links() -> None:
    """Make, list, show, rename, extend and revoke links."""


@links.command()
@click.argument("source", metavar="DATASET")
@click.option("--layer", "layers", multiple=True, help="Open only this layer (may be repeated). [every one]")
@click.option("--box", help="Open only x,y,z,width,height,depth (mag-1 voxels).")
@click.option("--finest-mag", help="Open no finer mag than this one, such as 2-2-1.")
@click.option(
    "--mapping",
    "mappings",
    multiple=True,
    metavar="LAYER=NAME",
    help="Show a layer's segment ids by this mapping, an agglomerate file of the dataset (may be repeated).",
)
@click.option("--expires", help="never, a day, a moment, or a span such as 12h, 30d, 2w. [in one month]")
@click.option("--name", default="", help="What the link is for.")
@click.option("--note", default="")
@click.option("--owner", help=f"The user whose it is.  [default: {OPERATOR}; through an API yourself]")
@with_place
def create(
    source: str,
    layers: tuple[str, ...],
    box: str | None,
    finest_mag: str | None,
    mappings: tuple[str, ...],
    expires: str | None,
    name: str,
    note: str,
    owner: str | None,
    place: Place,
    as_json: bool,
) -> None:
    """Make a link to DATASET, a dataset or an annotation (name or id)."""
    wish = LinkRequest(
        layers=layers or None,
        box=None if box is None else BoundingBox.parse(box),
        finest=None if finest_mag is None else Mag.parse(finest_mag),
        mappings=_mappings(mappings),
        name=name,
        note=note,
        expires_ms=KEEP if expires is None else parse_expiry(expires, now_ms()),
    )
    made = link_verbs(place).create(source, wish, owner)
    for reason in made.left_out:
        click.echo(f"left out: {reason}", err=True)
    _print_link(made.facts, as_json=as_json)


def _mappings(given: tuple[str, ...]) -> dict[str, str]:
    """Layer -> mapping of `LAYER=NAME`, where a layer's name may hold the sign as well."""
    found: dict[str, str] = {}
    for text in given:
        layer, sign, mapping = text.rpartition("=")
        if not sign or not layer or not mapping:
            raise InvalidRequest(f"{text!r} is not LAYER=NAME")
        if layer in found:
            raise InvalidRequest(f"layer {layer!r} is given two mappings")
        found[layer] = mapping
    return found


@links.command("list")
@click.option("--owner", help="Only this user's links.")
@click.option(
    "--to",
    "source",
    help="Only those to this dataset or annotation (name or id); through an API everybody's, if it is yours.",
)
@with_place
def list_links(owner: str | None, source: str | None, place: Place, as_json: bool) -> None:
    """List the links that are not revoked, newest first; through an API your own."""
    verbs = link_verbs(place)
    found = verbs.all(owner, source, addresses=as_json)
    if as_json:
        print_json(found)
        return
    names = verbs.names()
    rows = [
        (
            link["id"],
            names.get(link["annotation"] or link["dataset"]) or str(link["dataset"]),
            link["name"],
            link["owner"],
            link["state"],
            _expiry(link),
            _uses(link),
        )
        for link in found
    ]
    print_table(("ID", "TO", "NAME", "OWNER", "STATE", "EXPIRES", "OPENED"), rows)


@links.command()
@click.argument("link_id")
@with_place
def show(link_id: str, place: Place, as_json: bool) -> None:
    """Show a link's addresses again."""
    _print_link(link_verbs(place).one(link_id), as_json=as_json)


@links.command()
@click.argument("link_id")
@click.option("--expires", help="never, a day, a moment, or a span such as 12h, 30d, 2w. [in one month]")
@with_place
def extend(link_id: str, expires: str | None, place: Place, as_json: bool) -> None:
    """Give a link another expiry: later, earlier, or none."""
    now = now_ms()
    expires_ms = default_expiry_ms(now) if expires is None else parse_expiry(expires, now)
    _print_link(link_verbs(place).change(link_id, expires_ms=expires_ms), as_json=as_json)


@links.command()
@click.argument("link_id")
@click.argument("name")
@with_place
def rename(link_id: str, name: str, place: Place, as_json: bool) -> None:
    """Give a link another name."""
    _print_link(link_verbs(place).change(link_id, name=name), as_json=as_json)


@links.command()
@click.argument("link_id")
@with_place
def revoke(link_id: str, place: Place, as_json: bool) -> None:
    """Revoke a link, at once and for good."""
    facts = link_verbs(place).revoke(link_id)
    if as_json:
        print_json(facts)
    else:
        told = "; the CDN is being told, which takes some seconds" if facts["state"] == "revoking" else ""
        click.echo(f"revoked {facts['id']}{told}")


def _print_link(facts: Facts, *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    if facts["state"] == "revoking":
        click.echo(f"link {facts['id']} is revoked; the CDN is being told, which takes some seconds")
        return
    name = f" ({shown(facts['name'])})" if facts["name"] else ""
    click.echo(f"link {facts['id']}{name}, expires {_expiry(facts)}, opened {_uses(facts)}")
    if not facts["page"]:
        click.echo("  to something that you may not read: its addresses are not shown")
        return
    click.echo(f"  page   {facts['page']}")
    for layer in facts["layers"]:
        click.echo(f"  {shown(layer['name'])}\n    v3   {layer['v3']}\n    v2   {layer['v2']}")
        click.echo(f"    WEBKNOSSOS {layer['webknossos']}")


def _expiry(facts: Facts) -> str:
    given = facts["expires"]
    return in_words(None if given is None else int(datetime.fromisoformat(given).timestamp() * 1000), now_ms())


def _uses(facts: Facts) -> str:
    """A program that opens a link once may ask for several documents, each of which is counted."""
    if not facts["uses"]:
        return "never"
    times = "once" if facts["uses"] == 1 else f"{facts['uses']} times"
    return f"up to {times}, last {facts['lastUsed'][:10]}"
