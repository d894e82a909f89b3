"""One client in one process: `python session.py CLIENT v2|v3`, asked in JSON lines on stdin, answering each with one on stdout.

    {"do": "versions"}                                        {"versions": "zarr 3.4.2, ..."}
    {"do": "open", "address": A, "levels": N, "out": PREFIX}  {}: PREFIX0.npy, PREFIX1.npy, ... are what was read
    {"do": "held"}                                            {"nonzero": bool}: read with what was open before
    {"do": "fresh"}                                           {"nonzero": bool}: opened anew, then read

Where the client raises: {"error": its text, "stage": "open" or "read"}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
from python_clients import CLIENTS, versions


class Session:
    """What one client has open."""

    def __init__(self, client: str, version: str) -> None:
        self.opener, self.packages = CLIENTS[client]
        self.version = version
        self.address = ""
        self.held: Any = None
        self.stage = "open"

    def perform(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.stage = "open"
        if asked["do"] == "versions":
            return {"versions": versions(self.packages)}
        if asked["do"] == "open":
            self.held, self.address = None, asked["address"]
            held = self.opener(self.address, self.version)
            # Another one than is kept: what reads it later has no voxel of it yet.
            read = self.opener(self.address, self.version)
            self.stage = "read"
            for level in range(asked["levels"]):
                np.save(f"{asked['out']}{level}.npy", np.asarray(read(level)))
            self.held = held
            return {}
        if asked["do"] == "held" and self.held is None:
            return {"error": "nothing was open"}
        read = self.held if asked["do"] == "held" else self.opener(self.address, self.version)
        self.stage = "read"
        return {"nonzero": bool(np.asarray(read(0)).any())}


def main() -> None:
    session = Session(sys.argv[1], sys.argv[2])
    # Libraries print what they like; the answers have a channel of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer = session.perform(json.loads(line))
        except Exception as error:  # noqa: BLE001 (whatever a client raises is its answer)
            answer = {"error": _text(error), "stage": session.stage}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _text(error: BaseException) -> str:
    """Its words, after those of the one that caused it, which often says more."""
    own = f"{type(error).__name__}: {error}"
    return own if error.__cause__ is None else f"{_text(error.__cause__)}; {own}"


if __name__ == "__main__":
    main()
