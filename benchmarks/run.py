"""Measure, and write results.md: `make bench`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import frames
import report
import serving
from data import write_dataset
from measure import FULL, QUICK

HERE = Path(__file__).parent
PARTS = {"frames": frames.run, "serving": serving.run}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; prints only")
    parser.add_argument("--out", type=Path, help="the file to write [benchmarks/results.md; with --quick: none]")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    options = parser.parse_args()
    names = [options.only] if options.only else list(PARTS)
    if "serving" in names and (missing := serving.missing()):
        sys.exit(f"benchmarks need {' and '.join(missing)}: install them, or use --only frames")
    scale, load_before = QUICK if options.quick else FULL, report.load()
    with TemporaryDirectory() as scratch:
        print("making the dataset", file=sys.stderr)
        dataset = write_dataset(Path(scratch), scale.size_xyz)
        parts = []
        for name in names:
            print(f"measuring {name}", file=sys.stderr)
            parts.append(PARTS[name](dataset, scale))
    # Without --out, which says where and not what.
    command = "python benchmarks/run.py" + " --quick" * options.quick + (f" --only {names[0]}" if options.only else "")
    text = report.document(command, parts, load_before)
    print(text)
    out = options.out or (None if options.quick else HERE / "results.md")
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
