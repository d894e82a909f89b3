"""`make run` and `make run-cdn`, as somebody starts them in a shell."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from builders.processes import take_signals
from builders.template import ROOT
from zarrlink_local.sample import MAGS, sample_layers

COMMAND = (sys.executable, "local/run.py")
SIZE = (224, 256, 160)


@dataclass
class Run:
    """One that has printed all that it prints."""

    process: subprocess.Popen[str]
    home: Path
    printed: str

    def page(self) -> str:
        """The address of the link's page."""
        found = re.search(r"http://\S+/zarr/\S+/(?=\n)", self.printed)
        assert found
        return found[0]

    def check_snippet(self) -> None:
        """The three lines of Python, run as they are, print the sample's voxels."""
        snippet = "\n".join(re.findall(r"^    ((?:import|em =|print).*)$", self.printed, re.MULTILINE))
        assert snippet.count("\n") == 2, "three lines"
        done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
        em = sample_layers(SIZE, 7)[0].volumes[MAGS[0]]
        assert done.stdout.strip() == str(em[128, 200:204, 200:210])

    def wait(self) -> None:
        """Until it has ended."""
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_run(home: Path, *options: str) -> Run:
    process = subprocess.Popen(
        [*COMMAND, *options, "--home", str(home), "--port", "0", "--size", *map(str, SIZE)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=take_signals,  # noqa: PLW1509 (nothing but that)
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Revoke it"):
            break
    return Run(process, home, "".join(lines))
