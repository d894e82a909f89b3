"""What two processes do at the same time. Here, since spawned processes import it by name."""

from __future__ import annotations

from pathlib import Path

from builders.processes import meet
from zarrlink.links.token import KeyRing, load_or_create_keys


def create_rings(paths: list[Path]) -> list[KeyRing]:
    """The rings of key files that are not there yet, each asked for at the same moment as by the others."""
    rings = []
    for path in paths:
        meet()
        rings.append(load_or_create_keys(path))
    return rings
