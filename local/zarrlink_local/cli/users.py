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
@with_state
def remove(name: str, state: Path, as_json: bool) -> None:
    """Remove a user; links of that user stay until they expire or are revoked."""
    if not existing_machine(state).users.remove(name):
        raise InvalidRequest(f"there is no user {name!r}")
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        click.echo(f"removed {name}")
