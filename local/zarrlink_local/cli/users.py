"""`zarrlink users`: who may use the API."""

from __future__ import annotations

import click

from zarrlink.errors import InvalidRequest
from zarrlink.links.model import iso_time
from zarrlink.users.interface import User, check_user_name, hash_user_token, new_user_token
from zarrlink_local.cli.options import print_json, print_table, with_api, with_new_state, with_state
from zarrlink_local.machine import Machine, now_ms
from zarrlink_local.remote import Api
from zarrlink_local.state import State


@click.group()
def users() -> None:
    """Add, list and remove users of the API, renew their tokens, and say who you are."""


def _new_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    check_user_name(name)
    return name


@users.command()
@click.argument("name", callback=_new_name)
@click.option("--admin", "is_admin", is_flag=True, help="Somebody who may do everything that an owner may.")
@click.option("--inherits", is_flag=True, help="Give them what somebody of that name left behind.")
@with_new_state
def add(name: str, is_admin: bool, inherits: bool, state: State, as_json: bool) -> None:
    """Add a user and print the personal token, once: only its hash is kept."""
    is_new = not inherits and not state.users.has(name)
    if is_new and (left := _left_by(state, name)):
        raise InvalidRequest(f"a user {name} who is gone left {left}: choose another name, or say --inherits")
    token = new_user_token()
    state.users.add(User(name, now_ms(), is_admin), hash_user_token(token))
    _print_token(name, token, as_json=as_json)


@users.command("token")
@click.argument("name")
@with_state
def renew_token(name: str, state: State, as_json: bool) -> None:
    """Give a user another token and print it, once: the one before is refused from now on, links stay."""
    token = new_user_token()
    if not state.users.renew(name, hash_user_token(token)):
        raise InvalidRequest(f"there is no user {name!r}")
    _print_token(name, token, as_json=as_json)


@users.command("list")
@with_state
def list_users(state: State, as_json: bool) -> None:
    """List the users."""
    found = state.users.all()
    if as_json:
        print_json([{"name": it.name, "created": iso_time(it.created_ms), "isAdmin": it.is_admin} for it in found])
    else:
        rows = [(it.name, iso_time(it.created_ms), "yes" if it.is_admin else "") for it in found]
        print_table(("NAME", "CREATED", "ADMIN"), rows)


@users.command()
@click.argument("name")
@click.option("--no", "ends", is_flag=True, help="None any more.")
@with_state
def admin(name: str, ends: bool, state: State, as_json: bool) -> None:
    """Make a user an admin, who may do everything that an owner may."""
    if not state.users.set_admin(name, is_admin=not ends):
        raise InvalidRequest(f"there is no user {name!r}")
    if as_json:
        print_json({"name": name, "isAdmin": not ends})
    else:
        click.echo(f"{name} is {'no admin any more' if ends else 'an admin'}")


@users.command()
@with_api
def me(api: Api, as_json: bool) -> None:
    """Say who you are at a server (--api)."""
    body = api.get("/user")
    facts = {"name": body["firstName"], "isAdmin": body["isAdmin"], "server": api.address}
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{facts['name']}{', an admin,' if facts['isAdmin'] else ''} at {facts['server']}")


@users.command()
@click.argument("name")
@click.option(
    "--revoke-links", "links", flag_value="revoke", help="Revoke the links of that user, at once and for good."
)
@click.option("--keep-links", "links", flag_value="keep", help="Leave them open: whoever gets that name next has them.")
@with_state
def remove(name: str, links: str | None, state: State, as_json: bool) -> None:
    """Remove a user. One with links (also expired and damaged ones) goes only where it is said what becomes of them."""
    if not state.users.has(name):
        raise InvalidRequest(f"there is no user {name!r}")
    count = len(state.links.ids_of(name))
    if count and links is None:
        raise InvalidRequest(f"{name} has {_links(count)}; say --revoke-links or --keep-links")
    # First the token, so that no link is made meanwhile.
    if not state.users.remove(name):
        raise InvalidRequest(f"the user {name!r} was changed in the meantime: look again")
    changed = _revoke_links(state, name) if links == "revoke" else len(state.links.ids_of(name))
    if others := _left_by(state, name):
        click.echo(f"warning: {others} of {name} stay; a new user of that name would have them", err=True)
    if as_json:
        print_json({"name": name, "removed": True, "linksRevoked" if links == "revoke" else "linksKept": changed})
    else:
        click.echo(f"removed {name}" + (f" and revoked {_links(changed)}" if links == "revoke" else ""))


def _left_by(state: State, name: str) -> str:
    """What is a user's own by name, in words; "" for nothing. Who gets the name has it all, private or not."""
    mine = {
        "dataset": sum(record.owner == name for record in state.catalogue.all()),
        "annotation": sum(record.owner == name for record in state.shelf.annotations.all()),
        "link": len(state.links.ids_of(name)),
    }
    # Of a stack, jobs end by themselves after some days.
    if isinstance(state, Machine):
        mine["job"] = len(state.jobs.of_owner(name))
    return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in mine.items() if count)


def _print_token(name: str, token: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "token": token})
    else:
        click.echo(f"user {name}; token for the X-Auth-Token header, shown only now:\n{token}")


def _revoke_links(state: State, owner: str) -> int:
    """How many."""
    return sum(state.links.revoke(link_id, owner, now_ms()) for link_id in state.links.ids_of(owner))


def _links(count: int) -> str:
    return "1 link" if count == 1 else f"{count} links"
