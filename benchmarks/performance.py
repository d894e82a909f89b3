"""docs/performance.md and its plots, out of numbers that were kept: `python benchmarks/performance.py` makes them anew."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import report
from peers import PYTHON
from report import Aim, Measured

HERE = Path(__file__).parent
PARTS = ("peers", "bulk", "growth", "soak")
_HEAD = (
    '# Performance\n\nMade by `make bench` (a part of it by `BENCH="--only peers"`, or `bulk`, `growth`, `soak`) out of what it'
    " measured; all tables are in [the results](../benchmarks/results.md), the numbers behind the plots in"
    " `benchmarks/results.json`. Ratios are within one run, whose contestants took turns; absolute numbers are the named"
    " machine's, under the load that stands beside them.\n"
)


def write(known: Mapping[str, Measured], docs: Path) -> None:
    """The page of what is known, with its plots where the environment of the peers, which has matplotlib, is there."""
    found = _shown(known)
    if not found:
        return
    images = docs / "images"
    plots = [asdict(plot) for one in found.values() for plot in one.part.plots]
    if PYTHON.exists():
        images.mkdir(parents=True, exist_ok=True)
        command = [str(PYTHON), str(HERE / "plots.py"), str(images)]
        subprocess.run(command, input=json.dumps(plots), text=True, check=True)
    else:
        print("plots stay as they were: `make setup-peers` installs what draws them", file=sys.stderr)
    (docs / "performance.md").write_text(page(found, results()))


def results() -> str:
    """All tables, of all parts."""
    return (HERE / "results.md").read_text()


def _shown(known: Mapping[str, Measured]) -> dict[str, Measured]:
    return {name: known[name] for name in PARTS if name in known}


def page(known: Mapping[str, Measured], tables: str) -> str:
    """The page. `tables`: the whole file of results, in whose cells the aims of the other parts are."""
    found = _shown(known)
    aims = [aim for one in found.values() for aim in one.part.aims]
    rows = ["| aim | wished for | found | |", "| --- | --- | --- | --- |", *map(_row, aims)]
    pieces = [_HEAD, "## Aims\n", "\n".join(rows) + "\n"]
    missed: dict[str, list[Aim]] = {}
    for aim in aims:
        if not aim.met:
            missed.setdefault(aim.reason or "not found out yet", []).append(aim)
    if missed:
        pieces.append("Why some are missed:\n")
        pieces.append(
            "\n".join(f"* {'; '.join(aim.what for aim in those)}: {why}." for why, those in missed.items()) + "\n"
        )
    pieces.append(_aims_in(tables))
    for one in found.values():
        pieces += [f"## {one.part.title}\n", _listed(one.facts), one.part.intro + "\n"]
        pieces += [f"![{plot.title}](images/performance-{plot.name}.svg)\n" for plot in one.part.plots]
        pieces.append(_listed(one.part.notes))
    return "\n".join(pieces)


def _aims_in(tables: str) -> str:
    counted = report.aims_in(tables)
    every = [is_met for several in counted.values() for is_met in several]
    rows = ["| part of the results | column | wished for | met | **missed** |", "| --- | --- | --- | --- | --- |"]
    rows += [
        f"| {part} | {column} | {wished} | {sum(several)} | {len(several) - sum(several)} |"
        for (part, column, wished), several in counted.items()
    ]
    said = (
        f"[The results](../benchmarks/results.md) have {len(every)} aims more, of which {every.count(False)} are missed: each in"
        " its cell of a table.\n"
    )
    return "\n".join([said, *rows]) + "\n"


def _row(aim: Aim) -> str:
    wished = f"{'at least' if aim.least else 'at most'} {aim.limit:g}"
    return f"| {aim.what} | {wished} | {aim.found:.3g} | {'met' if aim.met else '**missed**'} |"


def _listed(sentences: list[str]) -> str:
    return "\n".join(f"* {sentence}" for sentence in sentences) + "\n"


if __name__ == "__main__":
    write(report.read(HERE / "results.json"), HERE.parent / "docs")
