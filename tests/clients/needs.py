"""What the clients need of this machine: who is left out where it is missing, and why."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from builders.browser import CHROMIUM
from clients import bundled_viewers
from clients.names import (
    ITK_VTK,
    JAVASCRIPT_CLIENTS,
    NAMES,
    NEUROGLANCER,
    PYTHON_CLIENTS,
    STATIC,
    VIZARR,
    WEBKNOSSOS,
    named,
)

ROOT = Path(__file__).parents[2]
NEWEST = ROOT / ".venv-clients" / "bin" / "python"
WEBKNOSSOS_PYTHON = ROOT / ".venv-webknossos" / "bin" / "python"
_CHROMIUM = "no Chromium here (chromium, chromium-browser or google-chrome)"


def missing() -> dict[str, str]:
    """Why a client, or the folder behind nginx, cannot be tried here, by name."""
    browser = "" if CHROMIUM else _CHROMIUM
    bundles = browser or ("" if bundled_viewers.fetched() else "no bundles here: `make setup-clients` fetches them")
    newest = "" if NEWEST.exists() else "no .venv-clients here: `make setup-clients` makes it"
    node = "" if shutil.which("node") else "no Node here"
    found = {
        **dict.fromkeys(PYTHON_CLIENTS, newest),
        WEBKNOSSOS: "" if WEBKNOSSOS_PYTHON.exists() else "no .venv-webknossos here: `make setup-webknossos` makes it",
        NEUROGLANCER: browser,
        **dict.fromkeys((VIZARR, ITK_VTK), bundles),
        **dict.fromkeys(JAVASCRIPT_CLIENTS, node),
        # Its files are written by the newest zarr.
        STATIC: newest if shutil.which("nginx") else "no nginx here",
    }
    return {name: why for name, why in found.items() if why}


def left_out(asked: str) -> tuple[dict[str, str], bool]:
    """Who of those that `asked` names ("" for all) is left out, and why; and whether anybody is left to try."""
    clients = named(asked, NAMES)
    found = {name: why for name, why in missing().items() if name == STATIC or name in clients}
    return found, any(name not in found for name in clients)


def told(found: dict[str, str]) -> Sequence[str]:
    """`Neuroglancer (Chromium), vizarr (Chromium): no Chromium here`: a line for each thing that is missing."""
    return [
        f"{', '.join(name for name in found if found[name] == why)}: {why}" for why in dict.fromkeys(found.values())
    ]
