"""The command among other commands: pipes, completion, JSON everywhere, a state file that is not there yet."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from builders.commands import Result
from zarrlink_local.cli import cli
from zarrlink_local.cli.options import print_table
from zarrlink_local.machine import open_machine

COMMAND = [sys.executable, "-c", "from zarrlink_local.cli import main; main()"]
# Unbuffered, Python itself does not notice that a long text was written in part.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
ENVIRONMENT |= {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
# They make files or run until they are ended.
WITHOUT_JSON = {"serve", "sample", "completion"}


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_answers_programs() -> None:
    without = {" ".join(path) for path, command in commands() if "as_json" not in {it.name for it in command.params}}
    assert without == WITHOUT_JSON


def test_every_command_says_what_it_does(capsys: Any) -> None:
    for path, command in commands():
        result = Result(capsys, *path, "--help")
        assert result.status == 0
        assert command.help, path


def test_output_that_nobody_reads_ends_it_quietly(tmp_path: Path) -> None:
    machine = open_machine(tmp_path / "state.sqlite")
    # Their list is far longer than what a pipe holds.
    with machine.file.write() as connection:
        rows = [(f"{number:024x}", f"dataset {number}", f"/nowhere/{number}") for number in range(3000)]
        connection.executemany("INSERT INTO datasets (id, name, location, created_ms) VALUES (?, ?, ?, 1)", rows)
    arguments = ["datasets", "list", "--state", str(tmp_path / "state.sqlite")]
    for options in ([], ["--json"]):
        with subprocess.Popen(
            [*COMMAND, *arguments, *options], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            said = process.stderr.read()
        assert (process.returncode, said) == (-signal.SIGPIPE, b"")


def test_words_of_others_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "TAGS"), [("box\x9b2J\u202eevil\nFAKE", "ä \x1b[2Jb")])
    out = capsys.readouterr().out
    assert out.splitlines() == ["NAME              TAGS", "box\ufffd2J\ufffdevil\ufffdFAKE  ä \ufffd[2Jb"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys: Any, shell: str) -> None:
    script = Result(capsys, "completion", shell).out
    assert "_ZARRLINK_COMPLETE" in script
    assert "zarrlink" in script
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def test_completion_knows_the_verbs() -> None:
    words = {"COMP_WORDS": "zarrlink datasets s", "COMP_CWORD": "2", "_ZARRLINK_COMPLETE": "bash_complete"}
    found = subprocess.run(COMMAND, env={**ENVIRONMENT, **words}, capture_output=True, text=True, check=False).stdout
    assert found.split() == ["plain,share", "plain,show"]


def test_the_first_user_makes_the_state_file(capsys: Any, tmp_path: Path) -> None:
    state = tmp_path / "new" / "state.sqlite"
    made = Result(capsys, "users", "add", "ann", "--state", state)
    assert made.status == 0
    assert str(state) in made.err
    again = Result(capsys, "users", "add", "ben", "--admin", "--state", state)
    assert (again.status, again.err) == (0, "")
    found = {it["name"]: it["isAdmin"] for it in Result(capsys, "users", "list", "--state", state, "--json").json}
    assert found == {"ann": False, "ben": True}
    assert Result(capsys, "users", "admin", "ann", "--state", state, "--json").json == {"name": "ann", "isAdmin": True}
    assert Result(capsys, "users", "admin", "ben", "--no", "--state", state).status == 0
    assert Result(capsys, "users", "admin", "nobody", "--state", state).refusal
    assert not Result(capsys, "users", "list", "--state", tmp_path / "typo.sqlite").out
    assert not (tmp_path / "typo.sqlite").exists()


def test_a_user_that_cannot_be_makes_no_state_file(capsys: Any, tmp_path: Path) -> None:
    assert Result(capsys, "users", "add", "a b", "--state", tmp_path / "s.sqlite").refusal
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_in_the_documents() -> None:
    text = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    named = set(re.findall(r"`zarrlink ([a-z ]+)`", text))
    there = {" ".join(path) for path, _ in commands()}
    assert there <= named
    # Nor is one in there that does not exist.
    groups = {path.split()[0] for path in there if " " in path}
    assert {words for words in named if words.split()[0] in groups} <= there
