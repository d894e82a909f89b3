"""Prints a Python that can stand in for Lambda's: of its version where there is one, else the one that runs this."""

from __future__ import annotations

import platform
import sys

from bundle import PYTHON_VERSION, find_python


def main() -> None:
    found = find_python()
    if found is None:
        print(
            f"no Python {PYTHON_VERSION} here: functions are built for and run on {platform.python_version()}, which is"
            " not what Lambda has",
            file=sys.stderr,
        )
    print(found or sys.executable)


if __name__ == "__main__":
    main()
