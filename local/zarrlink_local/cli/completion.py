"""`zarrlink completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from zarrlink.errors import InvalidRequest

_VARIABLE = "_ZARRLINK_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete zarrlink's commands and options.

    bash, in ~/.bashrc: eval "$(zarrlink completion bash)". zsh, in ~/.zshrc: eval "$(zarrlink completion zsh)".
    fish: zarrlink completion fish > ~/.config/fish/completions/zarrlink.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise InvalidRequest(f"there is no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "zarrlink", _VARIABLE).source())
