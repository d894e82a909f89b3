"""Results as Markdown, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_HEAD = (
    "# Benchmarks\n\nRatios are against a peer in the same run: contestants take turns, and medians of the rounds are"
    " shown. Absolute numbers are the named machine's on that day.\n\n"
)


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Aim:
    """Something wished for, and what was found. `found` and `limit` are of one unit, which `what` names; the limit is the
    least where `least`, else the most. `reason`: why it was missed, where that is known."""

    what: str
    found: float
    limit: float
    least: bool
    reason: str = ""

    @property
    def met(self) -> bool:
        return self.found >= self.limit if self.least else self.found <= self.limit


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of some numbers: `series` of (x, y), as lines, or as bars where x is text. `log`: the axes that are
    logarithmic ("", "x", "y", "xy"). `name`: of its file, in words with hyphens."""

    name: str
    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float | str, float]]]
    log: str = ""


@dataclass(slots=True)
class Part:
    """One part of the results; `intro` says what was done."""

    title: str
    intro: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)

    def markdown(self, facts: Sequence[str]) -> str:
        """The part as a section; `facts`: when, how and on what it was measured."""
        pieces = [f"## {self.title}", _listed(facts), self.intro]
        for table in self.tables:
            lines = ["| " + " | ".join(row) + " |" for row in (table.head, ["---"] * len(table.head), *table.rows)]
            pieces += [f"**{table.caption}**", "\n".join(lines)]
        if self.notes:
            pieces.append(_listed(self.notes))
        return "\n\n".join(pieces) + "\n"


@dataclass(frozen=True, slots=True)
class Measured:
    """A part, and when, how and on what it was measured."""

    part: Part
    facts: Sequence[str]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Measured:
        part = {name: found["part"][name] for name in Part.__slots__}
        for name, kind in (("tables", Table), ("aims", Aim), ("plots", Plot)):
            part[name] = [kind(**one) for one in part[name]]
        return cls(Part(**part), found["facts"])


def keep(file: Path, measured: Mapping[str, Measured]) -> dict[str, Measured]:
    """Write the numbers of parts into a file of JSON, where those of others stay; all of them by name."""
    earlier = json.loads(file.read_text()) if file.exists() else {}
    found = earlier | {name: asdict(one) for name, one in measured.items()}
    file.write_text(json.dumps(found, indent=1) + "\n")
    return read(file)


def read(file: Path) -> dict[str, Measured]:
    """What `keep` has kept."""
    return {name: Measured.from_json(one) for name, one in json.loads(file.read_text()).items()}


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"* {sentence}" for sentence in sentences)


def at_least(ratio: float, aim: float) -> str:
    """A ratio beside the aim that it should reach."""
    return f"{ratio:.3g} (aim {aim:g}: {'met' if ratio >= aim else 'missed'})"


def at_most(ratio: float, aim: float) -> str:
    """A ratio beside the aim that it should not exceed."""
    return f"{ratio:.3g} (aim {aim:g}: {'met' if ratio <= aim else 'missed'})"


_CELL = re.compile(r"([\d.e+-]+) \(aim ([\d.e+-]+): (met|missed)\)")


def aims_in(results: str) -> dict[tuple[str, str, str], list[bool]]:
    """The aims in the cells of a whole results file, as `at_least` and `at_most` wrote them: whether each was met, by part,
    column, and aim (`at least 3`)."""
    found: dict[tuple[str, str, str], list[bool]] = {}
    part, head = "", []
    for line in results.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if line.startswith("## "):
            part = line.removeprefix("## ")
        if not cells:
            head = []
        head = head or cells
        for column, cell in zip(head, cells, strict=True):
            if aim := _CELL.fullmatch(cell):
                is_met = aim[3] == "met"
                limit = "at least" if (float(aim[1]) >= float(aim[2])) == is_met else "at most"
                found.setdefault((part, column, f"{limit} {aim[2]}"), []).append(is_met)
    return found


def load() -> str:
    """The load averages over 1, 5 and 15 minutes."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def facts(command: str, load_before: str) -> list[str]:
    """When and how something was measured, and on what."""
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, by `{command}`",
        f"{_cpu()}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}; {_versions()}",
        f"load average before {load_before}, after {load()}",
    ]


def document(sections: Sequence[str], earlier: str = "") -> str:
    """The whole results file: of `earlier`, a whole file too, what was not measured anew stays where it was."""
    titles = {section.partition("\n")[0]: section for section in re.split(r"^(?=## )", earlier, flags=re.MULTILINE)[1:]}
    titles = {title: section.rstrip("\n") + "\n" for title, section in titles.items()}
    titles |= {section.partition("\n")[0]: section for section in sections}
    return _HEAD + "\n".join(titles.values())


def _cpu() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _versions() -> str:
    known = []
    for package in ("uvicorn", "uvloop", "httptools", "granian", "numcodecs", "lz4"):
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            known.append(f"no {package}")
    for program, pattern in (("nginx", r"nginx/([\d.]+)"), ("wrk", r"wrk (?:debian/)?([\d.]+)")):
        if path := shutil.which(program):
            said = subprocess.run([path, "-v"], capture_output=True, text=True, check=False)
            found = re.search(pattern, said.stderr + said.stdout)
            known.append(f"{program} {found[1] if found else '?'}")
    return ", ".join(known)
