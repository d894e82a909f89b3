"""`make deploy-local` where there is nothing to deploy with, and what LocalStack's log is open to. The rest: tests/localstack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from builders.template import ROOT
from zarrlink.errors import InvalidRequest
from zarrlink_local import emulated_aws
from zarrlink_local.emulated_aws import EmulatedAws, Programs

# In place of LocalStack: says who may read where it was started, and ends.
_LOOKS = """#!{python}
import os, sys
print(*(oct(os.stat(name).st_mode & 0o777) for name in ("localstack.log", ".")))
sys.exit(1)
"""


def test_what_it_needs_is_said(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "local" / "deploy_local.py"), "--home", str(tmp_path / "home")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    last = run.stderr.splitlines()[-1]
    assert last.endswith("needs --localstack, --sam, --build, --function, --emulator: make deploy-local names them")
    assert not (tmp_path / "home").exists()


def test_its_log_is_for_nobody_else_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses of links stand in it."""
    program = tmp_path / "looks"
    program.write_text(_LOOKS.format(python=sys.executable))
    program.chmod(0o755)
    # Where nothing listens, whatever runs on this machine.
    monkeypatch.setattr(emulated_aws, "PORT", 1)
    monkeypatch.setattr(emulated_aws, "DOOR_PORT", 1)
    with pytest.raises(InvalidRequest, match=r"LocalStack ended when it started: 0o600 0o700$"):
        EmulatedAws(tmp_path / "home").start(Programs(program, program, program))
