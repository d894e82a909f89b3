"""How far a command is, on standard error: programs read the other one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click


@contextmanager
def progress(label: str) -> Iterator[Callable[[float], None]]:
    """A bar from the first news on: a refusal stands alone. It is told a share of the whole, in [0, 1]."""
    with ExitStack() as stack:
        bar: Any = None

        def show(done: float) -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(click.progressbar(length=100, label=label, file=sys.stderr))
            bar.update(int(done * 100) - bar.pos)

        yield show


@contextmanager
def byte_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """The same, told bytes and how many there will be; while that is 0 a terminal is shown how many have come."""
    with progress(label) as show:
        counted = -1

        def told(done: int, of: int) -> None:
            nonlocal counted
            if of:
                show(done / of)
            elif sys.stderr.isatty() and done >> 20 != counted:
                counted = done >> 20
                click.echo(f"\r{label}: {counted} MiB", nl=False, err=True)

        try:
            yield told
        finally:
            if counted >= 0:
                click.echo(err=True)
