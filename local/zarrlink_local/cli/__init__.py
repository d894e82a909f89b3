"""The `zarrlink` command."""

from __future__ import annotations

import sys

import click

from zarrlink_local.cli.annotations import annotation_commands
from zarrlink_local.cli.datasets import datasets
from zarrlink_local.cli.export import export
from zarrlink_local.cli.jobs import jobs
from zarrlink_local.cli.links import links
from zarrlink_local.cli.options import STACK, stack_option
from zarrlink_local.cli.serve import sample, serve
from zarrlink_local.cli.users import users
from zarrlink_local.failure import FORESEEN, in_one_line


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="zarrlink")
@stack_option
@click.pass_context
def cli(context: click.Context, stack: str | None) -> None:
    """Private Zarr links to WEBKNOSSOS volumes, converted on the fly.

    `datasets`, `annotations`, `links` and `users` work on a state file of this machine (--state) or on a deployed stack (--stack).
    """
    if stack is not None and context.invoked_subcommand in ("serve", "sample", "export", "jobs"):
        raise click.UsageError(f"{context.invoked_subcommand} runs on this machine and takes no --stack", context)
    context.meta[STACK] = stack


for command in (serve, datasets, annotation_commands, links, export, jobs, users, sample):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Whatever was asked wrongly is said in one line, with exit status 2."""
    try:
        status = cli.main(arguments, prog_name="zarrlink", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        where = f" (see {error.ctx.command_path} --help)" if isinstance(error, click.UsageError) and error.ctx else ""
        _fail(error.format_message() + where)
    except click.Abort:
        sys.exit(130)
    except FORESEEN as error:
        _fail(in_one_line(error))
    sys.exit(status if isinstance(status, int) else 0)


def _fail(sentence: str) -> None:
    click.echo("zarrlink: " + " ".join(sentence.split()), err=True)
    sys.exit(2)
