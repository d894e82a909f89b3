"""The `zarrlink` command."""

from __future__ import annotations

import logging
import os
import signal
import sys

import click

from zarrlink_local.cli.annotations import annotation_commands
from zarrlink_local.cli.completion import completion
from zarrlink_local.cli.datasets import datasets
from zarrlink_local.cli.export import export
from zarrlink_local.cli.jobs import jobs
from zarrlink_local.cli.links import links
from zarrlink_local.cli.options import API, STACK, TOKEN, api_option, stack_option, token_option
from zarrlink_local.cli.serve import sample, serve
from zarrlink_local.cli.users import users
from zarrlink_local.failure import FORESEEN, in_one_line


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="zarrlink")
@stack_option
@api_option
@token_option
@click.pass_context
def cli(context: click.Context, stack: str | None, api: str | None, token: str | None) -> None:
    """Private Zarr links to WEBKNOSSOS volumes, converted on the fly.

    Commands work on a state file of this machine (--state), on a deployed stack with your own AWS credentials (--stack), or through
    the API of a running server, as one of its users (--api, --token).
    """
    if stack is not None and context.invoked_subcommand in ("serve", "sample", "export", "jobs"):
        raise click.UsageError(f"{context.invoked_subcommand} runs on this machine and takes no --stack", context)
    if api is not None and context.invoked_subcommand in ("serve", "sample"):
        raise click.UsageError(f"{context.invoked_subcommand} runs on this machine and takes no --api", context)
    context.meta.update({STACK: stack, API: api, TOKEN: token})


for command in (serve, datasets, annotation_commands, links, export, jobs, users, sample, completion):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Whatever was asked wrongly is said in one line, with exit status 2."""
    output = sys.stdout
    _say_once()
    try:
        status = cli.main(arguments, prog_name="zarrlink", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        where = f" (see {error.ctx.command_path} --help)" if isinstance(error, click.UsageError) and error.ctx else ""
        _fail(error.format_message() + where)
    except click.Abort:
        sys.exit(130)
    except SystemExit:
        if sys.stdout is not output:
            # Click puts another in its place where the pipe is broken, and ends with status 1, as after a failure.
            _end_by_pipe(output.fileno())
        raise
    except BrokenPipeError:
        _end_by_pipe(output.fileno())
    except FORESEEN as error:
        _fail(in_one_line(error))
    sys.exit(status if isinstance(status, int) else 0)


def _say_once() -> None:
    """What is logged by a command comes out on stderr, and the rows of a table may be read several times. `serve` has its own log."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        sentence = record.getMessage()
        known = sentence in said
        said.add(sentence)
        return not known

    if logging.lastResort is not None:
        logging.lastResort.addFilter(is_new)


def _end_by_pipe(output: int) -> None:
    """Whoever read our output has seen enough, as `head` does: end as other programs do."""
    # What is still to be written must not be tried once more at the end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)


def _fail(sentence: str) -> None:
    click.echo("zarrlink: " + " ".join(sentence.split()), err=True)
    sys.exit(2)
