"""`make smoke` against the functions as built, as it will be run against a deployment."""

from __future__ import annotations

import subprocess
import sys

from builders.emulator import skip_unless_built
from builders.template import ROOT

skip_unless_built()


def test_every_check_holds(address: str, link: str) -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "infra" / "smoke.py"), f"{address}{link}/"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].endswith(" ok, 0 failed")
