"""`zarrlink links`: the operator's side of links, straight on the state."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import click

from zarrlink.errors import InvalidRequest
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.http.page import layer_paths
from zarrlink.links.interface import KEEP
from zarrlink.links.model import Link, default_expiry_ms, iso_time
from zarrlink.links.service import LinkRequest, change_link, create_link
from zarrlink.links.token import KeyRing
from zarrlink.users.interface import check_user_name
from zarrlink_local.cli.options import find_subject, print_json, print_table, with_state
from zarrlink_local.expiry import in_words, parse_expiry
from zarrlink_local.machine import now_ms
from zarrlink_local.state import State

OPERATOR = "operator"


@click.group()
def links() -> None:
    """Make, list, extend and revoke links."""


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
@click.option("--owner", default=OPERATOR, show_default=True, help="The user who sees it in the API.")
@with_state
def create(
    source: str,
    layers: tuple[str, ...],
    box: str | None,
    finest_mag: str | None,
    mappings: tuple[str, ...],
    expires: str | None,
    name: str,
    note: str,
    owner: str,
    state: State,
    as_json: bool,
) -> None:
    """Make a link to DATASET, a dataset or an annotation (name or id)."""
    now = now_ms()
    addresses = _Addresses.of(state)
    check_user_name(owner)
    wish = LinkRequest(
        layers=layers or None,
        box=None if box is None else BoundingBox.parse(box),
        finest=None if finest_mag is None else Mag.parse(finest_mag),
        mappings=_mappings(mappings),
        name=name,
        note=note,
        expires_ms=KEEP if expires is None else parse_expiry(expires, now),
    )
    subject = find_subject(state, source)
    new = asyncio.run(create_link(state.library, state.links, subject, owner, wish, now))
    for reason in new.left_out:
        click.echo(f"left out: {reason}", err=True)
    _print_link(addresses, new.link, as_json=as_json)


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
@with_state
def list_links(owner: str | None, state: State, as_json: bool) -> None:
    """List the links that are not revoked, newest first."""
    found = state.links.of_owner(owner)
    if as_json:
        addresses = _Addresses.of(state)
        print_json([_facts(addresses, link) for link in found])
        return
    now = now_ms()
    names = {record.id: record.name for record in state.catalogue.all()}
    names |= {record.id: record.name for record in state.shelf.annotations.all()}
    rows = [
        (
            link.id,
            names.get(link.view.annotation or link.view.dataset, link.view.dataset),
            link.name,
            link.owner,
            in_words(link.expires_ms, now),
        )
        for link in found
    ]
    print_table(("ID", "TO", "NAME", "OWNER", "EXPIRES"), rows)


@links.command()
@click.argument("link_id")
@with_state
def show(link_id: str, state: State, as_json: bool) -> None:
    """Show a link's addresses again."""
    link = state.links.get(link_id)
    found = _found(link_id, None if link is None or link.revoked_ms is not None else link)
    _print_link(_Addresses.of(state), found, as_json=as_json)


@links.command()
@click.argument("link_id")
@click.option("--expires", help="never, a day, a moment, or a span such as 12h, 30d, 2w. [in one month]")
@with_state
def extend(link_id: str, expires: str | None, state: State, as_json: bool) -> None:
    """Give a link another expiry: later, earlier, or none."""
    now, addresses = now_ms(), _Addresses.of(state)
    expires_ms = default_expiry_ms(now) if expires is None else parse_expiry(expires, now)
    changed = change_link(state.links, link_id, None, expires_ms=expires_ms)
    _print_link(addresses, _found(link_id, changed), as_json=as_json)


@links.command()
@click.argument("link_id")
@click.argument("name")
@with_state
def rename(link_id: str, name: str, state: State, as_json: bool) -> None:
    """Give a link another name."""
    addresses = _Addresses.of(state)
    _print_link(addresses, _found(link_id, change_link(state.links, link_id, None, name=name)), as_json=as_json)


@links.command()
@click.argument("link_id")
@with_state
def revoke(link_id: str, state: State, as_json: bool) -> None:
    """Revoke a link, at once and for good."""
    link = _found(link_id, state.links.revoke(link_id, None, now_ms()))
    if as_json:
        print_json({"id": link.id, "revoked": iso_time(link.revoked_ms or 0)})
    else:
        click.echo(f"revoked {link.id}")


def _found(link_id: str, link: Link | None) -> Link:
    if link is None:
        raise InvalidRequest(
            f"there is no link {link_id!r} (that is not revoked); `zarrlink links list` shows what there is"
        )
    return link


class _Addresses(NamedTuple):
    """What a link's addresses are made of. Had before anything is changed: a link that cannot be shown is not made."""

    start: str
    keys: KeyRing

    @classmethod
    def of(cls, state: State) -> _Addresses:
        return cls(state.links_address(), state.keys)


def _facts(addresses: _Addresses, link: Link) -> dict[str, Any]:
    token = addresses.keys.token(link.id)
    page = f"{addresses.start}/zarr/{token}/"
    return {
        "id": link.id,
        "token": token,
        "expires": None if link.expires_ms is None else iso_time(link.expires_ms),
        "page": page,
        "layers": [
            {"name": name, **{dialect: page + path for dialect, path in layer_paths(name).items()}}
            for name in link.view.layers
        ],
        "name": link.name,
        "note": link.note,
        "owner": link.owner,
        "dataset": link.view.dataset,
        "annotation": link.view.annotation or None,
        "mappings": dict(link.view.mappings),
        "box": None if link.view.box is None else link.view.box.to_list(),
        "finestMag": None if link.view.finest is None else link.view.finest.literal,
        "created": iso_time(link.created_ms),
    }


def _print_link(addresses: _Addresses, link: Link, *, as_json: bool) -> None:
    facts = _facts(addresses, link)
    if as_json:
        print_json(facts)
        return
    click.echo(f"link {link.id}, expires {in_words(link.expires_ms, now_ms())}")
    click.echo(f"  page   {facts['page']}")
    for layer in facts["layers"]:
        click.echo(f"  {layer['name']}\n    v3   {layer['v3']}\n    v2   {layer['v2']}")
