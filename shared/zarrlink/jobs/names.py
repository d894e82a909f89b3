"""What the files of results are called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

from zarrlink.annotations.download import safe_file_name

# With the date, the ending and that of a table of ids it stays below the 255 bytes of a file system.
_MOST_BYTES: Final = 90
_ENDINGS: Final = {"ome_tiff": ".ome.tif", "tiff_stack": ".zip"}
# What Windows takes in no name, beside what `safe_file_name` replaces.
_UNSAFE: Final = str.maketrans(dict.fromkeys("<>|?*%", "_"))


def export_file_name(now_ms: int, dataset: str, layer: str, kind: Literal["ome_tiff", "tiff_stack"]) -> str:
    """`2026-11-23_10-22__mouse__color.ome.tif`, as WEBKNOSSOS calls its exports; the time is UTC."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%d_%H-%M")
    return f"{moment}__{_part(dataset)}__{_part(layer)}{_ENDINGS[kind]}"


def annotation_file_name(name: str, *, has_volumes: bool) -> str:
    return safe_file_name(name).translate(_UNSAFE) + (".zip" if has_volumes else ".nml")


def _part(name: str) -> str:
    safe = safe_file_name(name).translate(_UNSAFE)
    return safe.encode()[:_MOST_BYTES].decode(errors="ignore").strip(" .")
