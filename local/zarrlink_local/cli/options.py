"""Options and output forms that the commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import InvalidRequest
from zarrlink_local.machine import Machine, open_machine

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_STATE: Final = Path(".zarrlink") / "state.sqlite"

state_option: Final = click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_STATE,
    envvar="ZARRLINK_STATE",
    show_default=True,
    help="The SQLite file that holds links, datasets and users; FILE.key beside it holds the link keys.",
)
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def with_state(command: F) -> F:
    """Give a command --state and --json."""
    return state_option(json_option(command))


def existing_machine(state: Path) -> Machine:
    """The machine of a state file that is there: a mistyped name must not make a new one."""
    if not state.is_file():
        raise InvalidRequest(f"there is no state file {state}; start `zarrlink serve --data DIR --state {state}` first")
    return open_machine(state)


def find_dataset(machine: Machine, name_or_id: str) -> DatasetRecord:
    """The dataset of that id, or the only one of that name."""
    record = machine.catalogue.get(name_or_id)
    if record is not None:
        return record
    named = [record for record in machine.catalogue.all() if record.name == name_or_id]
    if len(named) > 1:
        raise InvalidRequest(
            f"{len(named)} datasets are called {name_or_id!r}; use an id: {', '.join(r.id for r in named)}"
        )
    if not named:
        raise InvalidRequest(f"there is no dataset {name_or_id!r}; `zarrlink datasets list` shows what there is")
    return named[0]


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns for people."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
