"""Measure, and write results.md: `make bench`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import bulk
import cdn_hits
import frames
import growth
import lambda_functions
import peers
import performance
import report
import serving
import soak
import tiff
from data import write_dataset
from measure import FULL, QUICK

import sources

HERE = Path(__file__).parent
PARTS = {
    "frames": frames.run,
    "serving": serving.run,
    "edge": cdn_hits.run,
    "sources": sources.run,
    "lambda": lambda_functions.run,
    "tiff": tiff.run,
    "peers": peers.run,
    "bulk": bulk.run,
    "growth": growth.run,
    "soak": soak.run,
}
NEEDS = {"serving": serving.missing, "edge": cdn_hits.missing, "lambda": lambda_functions.missing} | dict.fromkeys(
    ("peers", "bulk", "growth", "soak"), serving.missing
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """What is wrong in one line, before anything is measured."""
        self.exit(2, f"{message}\n")


def main() -> None:
    parser = _Parser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; prints only")
    parser.add_argument("--out", type=Path, help="the file to write [benchmarks/results.md; with --quick: none]")
    parser.add_argument("--only", choices=PARTS, help="one part alone; the others stay in the file as they are")
    parser.add_argument("--rounds", type=int, help="fewer or more rounds than 5")
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1 round is measured")
    names = [options.only] if options.only else list(PARTS)
    if "soak" in names:
        try:
            soak.minutes()
        except ValueError as error:
            parser.error(str(error))
    if missing := [what for name in names for what in NEEDS.get(name, list)()]:
        sys.exit(f"benchmarks need {' and '.join(missing)}: install them, or use --only frames")
    scale = QUICK if options.quick else FULL
    if options.rounds:
        scale = replace(scale, rounds=options.rounds)
    # Without --out, which says where and not what.
    command = "python benchmarks/run.py" + " --quick" * options.quick + (f" --only {names[0]}" if options.only else "")
    command += f" --rounds {options.rounds}" if options.rounds else ""
    if "soak" in names and (minutes := os.environ.get("SOAK_MINUTES")):
        command = f"SOAK_MINUTES={minutes} {command}"
    sections, measured = [], {}
    with TemporaryDirectory() as scratch:
        print("making the dataset", file=sys.stderr)
        dataset = write_dataset(Path(scratch), scale.size_xyz)
        for name in names:
            print(f"measuring {name}", file=sys.stderr)
            load_before = report.load()
            part = PARTS[name](dataset, scale)
            facts = report.facts(command, load_before)
            sections.append(part.markdown(facts))
            measured[name] = report.Measured(part, facts)
    print("\n".join(sections))
    out = options.out or (None if options.quick else HERE / "results.md")
    if out:
        out.write_text(report.document(sections, out.read_text() if out.exists() else ""))
        numbers = out.with_suffix(".json")
        known = report.keep(numbers, measured)
        if options.out is None:
            performance.write(known, HERE.parent / "docs")


if __name__ == "__main__":
    main()
