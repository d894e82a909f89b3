"""`edit`, `share` and `tag`, of datasets and of annotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import click

from zarrlink.access import VISIBILITIES, Visibility
from zarrlink.errors import InvalidRequest
from zarrlink.users.interface import check_any_user_name
from zarrlink_local.cli.options import print_json, shown, with_place
from zarrlink_local.verbs.edit import Edit
from zarrlink_local.verbs.facts import Facts, Place


class Changing(Protocol):
    """What is asked of the verbs of datasets or annotations."""

    def change(self, name: str, edit: Edit) -> Facts: ...


def add_sharing(group: click.Group, noun: str, verbs: Callable[[Place], Changing]) -> None:
    """Add the commands to those of a group."""
    named = click.argument("name", metavar=noun.upper())

    def change(place: Place, name: str, edit: Edit, *, as_json: bool) -> None:
        facts = verbs(place).change(name, edit)
        if as_json:
            print_json(facts)
        else:
            print_facts(noun, facts)

    @group.command(help=f"Rename, describe or tag {noun.upper()} (name or id).")
    @named
    @click.option("--name", "new_name", help="What it is called from now on.")
    @click.option("--description", help="What it is about; an empty text takes it away.")
    @click.option("--tag", "tags", multiple=True, help="Give it this tag (may be repeated).")
    @click.option("--untag", "untags", multiple=True, help="Take this tag away (may be repeated).")
    @with_place
    def edit(
        name: str,
        new_name: str | None,
        description: str | None,
        tags: tuple[str, ...],
        untags: tuple[str, ...],
        place: Place,
        as_json: bool,
    ) -> None:
        wanted = Edit(name=new_name, description=description, tags=tags, without_tags=untags)
        if wanted == Edit():
            raise InvalidRequest("say what to change: --name, --description, --tag or --untag")
        change(place, name, wanted, as_json=as_json)

    @group.command(help=f"Say who may read {noun.upper()} (name or id).")
    @named
    @click.option(
        "--visibility",
        type=click.Choice(list(VISIBILITIES)),
        help="private: owner, collaborators and admins; organization: whoever is signed in; public: anybody.",
    )
    @click.option("--with", "people", multiple=True, metavar="USER", help="Share it with this user (may be repeated).")
    @click.option("--without", "others", multiple=True, metavar="USER", help="Not any more (may be repeated).")
    @with_place
    def share(
        name: str,
        visibility: str | None,
        people: tuple[str, ...],
        others: tuple[str, ...],
        place: Place,
        as_json: bool,
    ) -> None:
        for user in people:
            check_any_user_name(user)
        wanted = Edit(visibility=cast("Visibility | None", visibility), people=people, without_people=others)
        if wanted == Edit():
            raise InvalidRequest("say with whom: --visibility, --with or --without")
        change(place, name, wanted, as_json=as_json)

    @group.command(help=f"Give {noun.upper()} (name or id) tags, or take them away.")
    @named
    @click.argument("tags", nargs=-1, required=True)
    @click.option("--remove", "removes", is_flag=True, help="Take them away.")
    @with_place
    def tag(name: str, tags: tuple[str, ...], removes: bool, place: Place, as_json: bool) -> None:
        change(place, name, Edit(without_tags=tags) if removes else Edit(tags=tags), as_json=as_json)


def print_facts(noun: str, facts: Facts) -> None:
    """For people: what is said of a dataset or annotation, and who may read it."""
    click.echo(f"{noun} {shown(facts['name'])} ({facts['id']})")
    lines = {
        "location": facts.get("location"),
        "dataset": facts.get("dataset"),
        "owner": facts["owner"],
        "readable": ", ".join([_WHO[facts["visibility"]], *facts["collaborators"]]),
        "tags": ", ".join(facts["tags"]),
        "about": facts["description"],
        "created": facts["created"],
        "modified": facts.get("modified"),
    }
    for name, text in lines.items():
        if text:
            click.echo(f"  {name:<9} " + "\n            ".join(map(shown, text.split("\n"))))


_WHO = {
    "private": "for its owner and admins",
    "organization": "for whoever is signed in",
    "public": "for anybody",
}
