"""`zarrlink users`: who may use the API."""

from __future__ import annotations

from pathlib import Path

import click

from zarrlink.errors import InvalidRequest
from zarrlink.links.model import iso_time
from zarrlink.users.interface import User, check_user_name, hash_user_token, new_user_token
from zarrlink_local.cli.options import existing_machine, print_json, print_table, with_state
from zarrlink_local.machine import now_ms


@click.group()
def users() -> None:
    """Add, list and remove users of the API."""


@users.command()
@click.argument("name")
@with_state
def add(name: str, state: Path, as_json: bool) -> None:
    """Add a user and print the personal token, once: only its hash is kept."""
    check_user_name(name)
    token = new_user_token()
    existing_machine(state).users.add(User(name, now_ms()), hash_user_token(token))
    if as_json:
        print_json({"name": name, "token": token})
    else:
        click.echo(f"user {name}; token for the X-Auth-Token header, shown only now:\n{token}")


@users.command("list")
@with_state
def list_users(state: Path, as_json: bool) -> None:
    """List the users."""
    found = existing_machine(state).users.all()
    if as_json:
        print_json([{"name": user.name, "created": iso_time(user.created_ms)} for user in found])
    else:
        print_table(("NAME", "CREATED"), [(user.name, iso_time(user.created_ms)) for user in found])


@users.command()
@click.argument("name")
@click.option(
    "--revoke-links", "links", flag_value="revoke", help="Revoke the links of that user, at once and for good."
)
@click.option("--keep-links", "links", flag_value="keep", help="Leave them open: whoever gets that name next has them.")
@with_state
def remove(name: str, links: str | None, state: Path, as_json: bool) -> None:
    """Remove a user. One with links (also expired ones) goes only where it is said what becomes of them."""
    machine = existing_machine(state)
    if name not in {user.name for user in machine.users.all()}:
        raise InvalidRequest(f"there is no user {name!r}")
    count = len(machine.links.of_owner(name))
    if count and links is None:
        raise InvalidRequest(f"{name} has {_links(count)}; say --revoke-links or --keep-links")
    # First the token, so that no link is made meanwhile.
    machine.users.remove(name)
    left = machine.links.of_owner(name)
    if links == "revoke":
        for link in left:
            machine.links.revoke(link.id, name, now_ms())
    elif left:
        click.echo(f"warning: {_links(len(left))} of {name} stay; a new user of that name would have them", err=True)
    if as_json:
        print_json({"name": name, "removed": True, "linksRevoked" if links == "revoke" else "linksKept": len(left)})
    else:
        click.echo(f"removed {name}" + (f" and revoked {_links(len(left))}" if links == "revoke" else ""))


def _links(count: int) -> str:
    return "1 link" if count == 1 else f"{count} links"
