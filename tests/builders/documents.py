"""Commands of documents: found, taken apart, and held against what they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
import click
from botocore import xform_name

from builders.template import ROOT
from zarrlink_local.cli import cli

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[a-z]+) -->\n)?^```(?P<kind>[a-z]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
_INNER = re.compile(r"\$\(([^()]*)\)")
# Words of AWS's command line beside what its services take.
_EVERYWHERE = {
    "--query",
    "--output",
    "--region",
    "--profile",
    "--no-cli-pager",
    "--cli-binary-format",
    "--cli-read-timeout",
}
# Commands that it has made itself, with the options that documents use.
_OWN = {
    ("logs", "tail"): {"--since", "--filter-pattern", "--follow"},
    ("cloudformation", "deploy"): {"--stack-name", "--template-file", "--parameter-overrides"},
    ("cloudformation", "wait"): {"--stack-name"},
    ("dynamodb", "wait"): {"--table-name"},
    ("cloudfront", "create-invalidation"): {"--distribution-id", "--paths"},
}
# Its short forms of flags.
_FLAGS = re.compile(r"--(no-)?")


class Block(NamedTuple):
    """`mark`: what is said above it, empty for nothing; `kind`: of what its text is."""

    mark: str
    kind: str
    text: str


def blocks(document: Path) -> list[Block]:
    return [Block(it["mark"] or "", it["kind"], it["text"]) for it in _BLOCK.finditer(document.read_text())]


def commands(block: Block) -> Iterator[list[str]]:
    """Each command's words, those within others too; without comments, and with a word for what others print."""
    text = block.text.replace("\\\n", " ")
    if block.kind == "console":
        text = "\n".join(line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ "))
    while inner := _INNER.search(text):
        yield from _of_line(inner[1])
        text = text[: inner.start()] + "PRINTED" + text[inner.end() :]
    for line in text.splitlines():
        yield from _of_line(line)


def _of_line(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word and set(word) <= set(";|&"):
            if words:
                yield words
            words = []
        elif word not in ("do", "done", "then", "fi"):
            words.append(word.removeprefix(".venv/bin/"))


def inline_commands(document: Path, program: str) -> Iterator[list[str]]:
    """Those that stand in a sentence, with an option at least: what has none is only named."""
    text = _BLOCK.sub("", document.read_text())
    for found in re.findall(rf"`({program} [^`]*)`", text):
        words = shlex.split(found)
        if any(word.startswith("--") for word in words):
            yield words


def verbs_of_make() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def faults_of_zarrlink(words: list[str]) -> list[str]:
    """What of `zarrlink ...` is no command or option of it."""
    found: click.Command = cli
    options: set[str] = {"--help"}
    rest = words[1:]
    while rest:
        options |= {
            name for it in found.params if isinstance(it, click.Option) for name in (*it.opts, *it.secondary_opts)
        }
        word = rest.pop(0)
        if word.startswith("-"):
            if word not in options:
                return [f"{' '.join(words)}: no option {word}"]
            taken = next((it for it in found.params if word in it.opts), None)
            if isinstance(taken, click.Option) and not taken.is_flag and rest:
                rest.pop(0)
        elif isinstance(found, click.Group):
            inner = found.commands.get(word)
            if inner is None:
                return [f"{' '.join(words)}: no command {word}"]
            found = inner
    return []


@cache
def _services() -> Any:
    return botocore.session.get_session()


def faults_of_aws(words: list[str]) -> list[str]:
    """What of `aws ...` is no service, operation or option of it. Of values those are looked at that were wrong before."""
    _, service, operation, *rest = words
    values = _faults_of_values(service, operation, dict(pairwise(rest)))
    if values:
        return values
    # Its `s3` is for people, and `s3api` what the service has.
    service = {"s3api": "s3"}.get(service, service)
    said = [word for word in rest if word.startswith("--")]
    if (service, operation) in _OWN:
        known = _OWN[service, operation]
        if operation == "wait":
            waiters = _services().get_waiter_model(service).waiter_names
            if rest[0] not in {xform_name(name, "-") for name in waiters}:
                return [f"no waiter {rest[0]}"]
    else:
        model = _services().get_service_model(service)
        names = {xform_name(name, "-"): name for name in model.operation_names}
        if operation not in names:
            return [f"no operation {service} {operation}"]
        shape = model.operation_model(names[operation]).input_shape
        members = [] if shape is None else shape.members
        known = {f"--{xform_name(member, '-')}" for member in members}
        required = {f"--{xform_name(member, '-')}" for member in (shape.required_members if shape is not None else ())}
        lacking = required - set(said)
        if lacking:
            return [f"{service} {operation} needs {', '.join(sorted(lacking))}"]
    plain = {_FLAGS.sub("", name, count=1) for name in known}
    return [
        f"{service} {operation} has no option {name}"
        for name in said
        if name not in known | _EVERYWHERE and _FLAGS.sub("", name, count=1) not in plain
    ]


def _faults_of_values(service: str, operation: str, given: dict[str, str]) -> list[str]:
    """`given`: each word with the one after it."""
    found = []
    # Names of functions are made by CloudFormation.
    if service == "lambda" and not given.get("--function-name", "$").startswith(("$", "PRINTED")):
        found.append(f"no function is called {given['--function-name']}")
    # Without it the present command line takes text for base64.
    if operation == "invoke" and "--payload" in given and given.get("--cli-binary-format") != "raw-in-base64-out":
        found.append("lambda invoke with a payload needs --cli-binary-format raw-in-base64-out")
    # CloudWatch takes a word of letters and digits; others have to be quoted, or are a pattern.
    if not re.fullmatch(r"[A-Za-z0-9]+|\{.*\}|(\??(\w+|\"[^\"]+\") ?)+", given.get("--filter-pattern", "a")):
        found.append(f"{given['--filter-pattern']} has to be quoted")
    return found
