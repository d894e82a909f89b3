"""Options and output forms that the commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import InvalidRequest
from zarrlink.library import Subject
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.state import State

DEFAULT_STATE: Final = Path(".zarrlink") / "state.sqlite"
STATE_VARIABLE: Final = "ZARRLINK_STATE"
STACK_VARIABLE: Final = "ZARRLINK_STACK"
# Where a --stack that stands before the command waits for it.
STACK: Final = "zarrlink.stack"

state_option: Final = click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_STATE,
    envvar=STATE_VARIABLE,
    show_default=True,
    help="The SQLite file that holds links, datasets and users; FILE.key beside it holds the link keys.",
)
# Its variable is looked at where it is weighed against --state.
stack_option: Final = click.option(
    "--stack",
    metavar="NAME",
    help="Work on this CloudFormation stack, with your own AWS credentials, instead of a state file."
    f"  [env var: {STACK_VARIABLE}]",
)
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def with_state(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --state, --stack and --json; the function gets the `state` that the first two choose, opened."""

    @wraps(command)
    def run(*, state: Path, stack: str | None, **others: Any) -> None:
        command(state=_choose(state, stack), **others)

    return state_option(stack_option(json_option(run)))


def _choose(file: Path, stack: str | None) -> State:
    """What was said on the command line counts before what the environment says, and that before the default."""
    context = click.get_current_context()
    said = stack if stack is not None else context.meta.get(STACK)
    source = context.get_parameter_source("state")
    if said is not None and source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--state and --stack exclude each other", context)
    if said is None and source is not ParameterSource.COMMANDLINE:
        said = os.environ.get(STACK_VARIABLE) or None
        if said is not None and source is ParameterSource.ENVIRONMENT:
            raise click.UsageError(
                f"{STATE_VARIABLE} and {STACK_VARIABLE} are both set: say --state or --stack", context
            )
    if said is None:
        return existing_file(file)
    # boto3 takes a while, and may not be there.
    from zarrlink_local.cloud import open_stack

    return open_stack(said)


def existing_file(file: Path) -> Machine:
    """The state of a file that is there: a mistyped name must not make a new one."""
    if not file.is_file():
        raise InvalidRequest(f"there is no state file {file}; start `zarrlink serve --data DIR --state {file}` first")
    return open_machine(file)


def find_dataset(state: State, name_or_id: str) -> DatasetRecord:
    """The dataset of that id, or the only one of that name."""
    record = state.catalogue.get(name_or_id)
    if record is not None:
        return record
    named = [record for record in state.catalogue.all() if record.name == name_or_id]
    if len(named) > 1:
        raise InvalidRequest(
            f"{len(named)} datasets are called {name_or_id!r}; use an id: {', '.join(r.id for r in named)}"
        )
    if not named:
        raise InvalidRequest(f"there is no dataset {name_or_id!r}; `zarrlink datasets list` shows what there is")
    return named[0]


def find_annotation(state: State, name_or_id: str) -> AnnotationRecord:
    """The annotation of that id, or the only one of that name."""
    record = state.shelf.annotations.get(name_or_id)
    if record is not None:
        return record
    named = [record for record in state.shelf.annotations.all() if record.name == name_or_id]
    if len(named) > 1:
        raise InvalidRequest(
            f"{len(named)} annotations are called {name_or_id!r}; use an id: {', '.join(r.id for r in named)}"
        )
    if not named:
        raise InvalidRequest(f"there is no annotation {name_or_id!r}; `zarrlink annotations list` shows what there is")
    return named[0]


def find_subject(state: State, name_or_id: str) -> Subject:
    """What a link can be made to: the dataset or annotation of that id, or the only one of that name."""
    annotations = state.shelf.annotations
    annotation = annotations.get(name_or_id)
    if annotation is None and state.catalogue.get(name_or_id) is None:
        named = any(record.name == name_or_id for record in annotations.all())
        if named and any(record.name == name_or_id for record in state.catalogue.all()):
            raise InvalidRequest(f"a dataset and an annotation are called {name_or_id!r}; use an id")
        annotation = find_annotation(state, name_or_id) if named else None
    if annotation is None:
        return Subject(find_dataset(state, name_or_id))
    return Subject(state.catalogue.get(annotation.dataset) if annotation.dataset else None, annotation)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns for people."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
