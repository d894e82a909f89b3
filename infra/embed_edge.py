"""Puts the functions of functions/edge into template.yaml, which is how CloudFormation takes them.

    embed_edge.py

CloudFront has no other way to deploy a function: its text is a property. `make edge` calls this, and a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TEMPLATE: Final = ROOT / "template.yaml"
# By logical name of the function in the template.
FUNCTIONS: Final = {
    "ViewerRequest": ROOT / "functions" / "edge" / "viewer_request.js",
    "ViewerResponse": ROOT / "functions" / "edge" / "viewer_response.js",
}
# CloudFront's limit for a function, comments counted (quota page, 2026-11).
MOST_BYTES: Final = 10 * 1024
_INDENT: Final = " " * 8


def main() -> None:
    before = TEMPLATE.read_text(encoding="utf-8")
    after = before
    for name, file in FUNCTIONS.items():
        text = file.read_text(encoding="utf-8")
        if fault := fault_of(text):
            sys.exit(f"{file.relative_to(ROOT)} {fault}")
        after = embed(after, name, text)
    if after != before:
        TEMPLATE.write_text(after, encoding="utf-8")


def fault_of(text: str) -> str:
    """Why a text cannot be deployed, or come out of YAML as it went in; empty where it can."""
    size = len(text.encode())
    if size >= MOST_BYTES:
        return f"has {size:,} bytes, and CloudFront takes fewer than {MOST_BYTES:,}"
    lines = text.split("\n")
    if lines.pop() or not lines or not lines[-1].strip():
        return "has to end in one line feed"
    if lines[0].startswith((" ", "\t")) or any(line and not line.strip() for line in lines) or not text.isascii():
        return "has a blank line with spaces, an indented first line, or a character that is not ASCII"
    return ""


def embed(template: str, name: str, text: str) -> str:
    """The template with another text in the `FunctionCode` of a function.

    Raises ValueError for a template without it.
    """
    lines = template.splitlines(keepends=True)
    if f"  {name}:\n" not in lines:
        raise ValueError(f"the template has no function {name}")
    resource = lines.index(f"  {name}:\n")
    start = lines.index("      FunctionCode: |\n", resource) + 1
    end = start
    while end < len(lines) and (lines[end].startswith(_INDENT) or not lines[end].strip()):
        end += 1
    # Blank lines before the next resource are the template's own.
    while not lines[end - 1].strip():
        end -= 1
    code = [f"{_INDENT}{line}\n" if line else "\n" for line in text.split("\n")[:-1]]
    return "".join([*lines[:start], *code, *lines[end:]])


if __name__ == "__main__":
    main()
