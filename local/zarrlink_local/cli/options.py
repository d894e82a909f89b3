"""Options and output forms that the commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from click.core import ParameterSource

from zarrlink.errors import InvalidRequest
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.remote import Api
from zarrlink_local.state import State

DEFAULT_STATE: Final = Path(".zarrlink") / "state.sqlite"
STATE_VARIABLE: Final = "ZARRLINK_STATE"
STACK_VARIABLE: Final = "ZARRLINK_STACK"
API_VARIABLE: Final = "ZARRLINK_API"
TOKEN_VARIABLE: Final = "ZARRLINK_TOKEN"  # noqa: S105 (a name)
# Where options that stand before the command wait for it.
STACK: Final = "zarrlink.stack"
API: Final = "zarrlink.api"
TOKEN: Final = "zarrlink.token"  # noqa: S105 (a name)
_OPTIONS: Final = {STATE_VARIABLE: "--state", STACK_VARIABLE: "--stack", API_VARIABLE: "--api"}


class OutputPath(click.Path):
    """A file, or a folder that is there. `results/` is a folder to whoever writes it, and never a file called so."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value).endswith(os.sep) and not Path(value).is_dir():
            self.fail(f"there is no folder {value}", param, ctx)
        return super().convert(value, param, ctx)


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
api_option: Final = click.option(
    "--api",
    metavar="URL",
    help="Work through the API of this server, as one of its users: what its addresses begin with."
    f"  [env var: {API_VARIABLE}]",
)
token_option: Final = click.option(
    "--token",
    metavar="TOKEN",
    help="Your personal token there; - reads it from standard input, since others of this machine see what commands are "
    f"called with.  [env var: {TOKEN_VARIABLE}]",
)
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def with_state(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --state, --stack and --json; the function gets the `state` that the first two choose, opened."""

    @wraps(command)
    def run(*, state: Path, stack: str | None, **others: Any) -> None:
        command(state=_opened(_choose(state, stack=stack)), **others)

    return state_option(stack_option(json_option(run)))


def with_new_state(command: Callable[..., None]) -> Callable[..., None]:
    """The same; a state file that is not there is made."""

    @wraps(command)
    def run(*, state: Path, stack: str | None, **others: Any) -> None:
        chosen = _choose(state, stack=stack)
        if isinstance(chosen, Path) and not chosen.exists():
            click.echo(f"making the state file {chosen}", err=True)
            open_machine(chosen)
        command(state=_opened(chosen), **others)

    return state_option(stack_option(json_option(run)))


def with_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --state, --stack, --api, --token and --json; the function gets the `place` that they choose."""

    @wraps(command)
    def run(*, state: Path, stack: str | None, api: str | None, token: str | None, **others: Any) -> None:
        chosen = _choose(state, stack=stack, api=api, token=token, takes=(STACK_VARIABLE, API_VARIABLE))
        command(place=chosen if isinstance(chosen, Api) else _opened(chosen), **others)

    return state_option(stack_option(api_option(token_option(json_option(run)))))


def with_machine_or_api(command: Callable[..., None]) -> Callable[..., None]:
    """The same without --stack: the function gets a `place` that is a state file's or a server's."""

    @wraps(command)
    def run(*, place: Path | Api, **others: Any) -> None:
        command(place=existing_file(place) if isinstance(place, Path) else place, **others)

    return with_file_or_api(run)


def with_file_or_api(command: Callable[..., None]) -> Callable[..., None]:
    """The same; the state file is not opened yet, and need not be there."""

    @wraps(command)
    def run(*, state: Path, api: str | None, token: str | None, **others: Any) -> None:
        command(place=_choose(state, api=api, token=token, takes=(API_VARIABLE,)), **others)

    return state_option(api_option(token_option(json_option(run))))


def with_api(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --api, --token and --json; the function gets the `api`."""

    @wraps(command)
    def run(*, api: str | None, token: str | None, **others: Any) -> None:
        context = click.get_current_context()
        address = api or context.meta.get(API) or os.environ.get(API_VARIABLE)
        if not address:
            raise click.UsageError(f"say which server: --api, or {API_VARIABLE}", context)
        command(api=_open_api(address, token, context), **others)

    return api_option(token_option(json_option(run)))


class StackName(NamedTuple):
    """A stack that was chosen."""

    name: str


def _choose(
    file: Path,
    *,
    stack: str | None = None,
    api: str | None = None,
    token: str | None = None,
    takes: tuple[str, ...] = (STACK_VARIABLE,),
) -> Path | StackName | Api:
    """What was said on the command line counts before what the environment says, and that before the default.

    `takes`: the variables beside the state file's that stand for something that the command can work on.
    """
    context = click.get_current_context()
    source = context.get_parameter_source("state")
    said: dict[str, str] = {}
    for variable, before, own in ((STACK_VARIABLE, STACK, stack), (API_VARIABLE, API, api)):
        value = own if own is not None else context.meta.get(before)
        if value is not None:
            said[variable] = value
    if len(said) + (source is ParameterSource.COMMANDLINE) > 1:
        names = [_OPTIONS[STATE_VARIABLE]] if source is ParameterSource.COMMANDLINE else []
        names += [_OPTIONS[variable] for variable in said]
        raise click.UsageError(f"{' and '.join(names)} exclude each other", context)
    if not said and source is not ParameterSource.COMMANDLINE:
        said = {name: os.environ[name] for name in (STACK_VARIABLE, API_VARIABLE) if os.environ.get(name)}
        said = {name: value for name, value in said.items() if name in takes or name == API_VARIABLE}
        found = [STATE_VARIABLE] * (source is ParameterSource.ENVIRONMENT) + list(said)
        if len(found) > 1:
            options = " or ".join(_OPTIONS[name] for name in found)
            raise click.UsageError(f"{' and '.join(found)} are both set: say {options}", context)
    if API_VARIABLE in said and API_VARIABLE not in takes:
        name = context.command_path
        raise click.UsageError(f"{name} does not work through an API: say --state or --stack", context)
    if API_VARIABLE in said:
        return _open_api(said[API_VARIABLE], token, context)
    if token is not None or context.meta.get(TOKEN) is not None:
        raise click.UsageError("--token goes with --api", context)
    return StackName(said[STACK_VARIABLE]) if STACK_VARIABLE in said else file


def _open_api(address: str, token: str | None, context: click.Context) -> Api:
    given = token if token is not None else context.meta.get(TOKEN)
    if given is None:
        given = os.environ.get(TOKEN_VARIABLE) or None
    return Api(address, _read_token() if given == "-" else given)


def _read_token() -> str:
    """From standard input, unseen where somebody types it."""
    if sys.stdin.isatty():
        return str(click.prompt("token", hide_input=True, err=True))
    return sys.stdin.readline().strip()


def _opened(chosen: Path | StackName | Api) -> State:
    if isinstance(chosen, Path):
        return existing_file(chosen)
    if isinstance(chosen, Api):
        raise TypeError("an API is no state")
    # boto3 takes a while, and may not be there.
    from zarrlink_local.cloud import open_stack

    return open_stack(chosen.name)


def existing_file(file: Path) -> Machine:
    """The state of a file that is there: a mistyped name must not make a new one."""
    if not file.is_file():
        raise InvalidRequest(f"there is no state file {file}; start `zarrlink serve --data DIR --state {file}` first")
    return open_machine(file)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def shown(text: str) -> str:
    """Words that somebody else chose, without what would command the terminal or forge a line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns for people."""
    rows = [tuple(map(shown, row)) for row in rows]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
