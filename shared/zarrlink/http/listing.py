"""Folders as small HTML pages with relative links: what is there, chunks apart."""

from __future__ import annotations

import html
from urllib.parse import quote

from zarrlink.errors import LinkGone
from zarrlink.formats.zarr_keys import ARRAY_DOCUMENTS, Dialect
from zarrlink.layer import Layer
from zarrlink.links.model import Link

HTML = "text/html; charset=utf-8"


def of_dialect(link: Link, dialect: Dialect, path: str) -> tuple[bytes, str]:
    """The layers that a link opens. `path`: the address asked for, which links are relative to."""
    return _page(path, dialect, [f"{layer}.zarr/" for layer in link.view.layers]), HTML


def of_layer(layer: Layer, dialect: Dialect, folder: str, path: str) -> tuple[bytes, str]:
    """The documents of a layer (`folder` "") or of a level (`2` or `2/`). Raises LinkGone for a level that is not open."""
    if folder == "":
        levels = [f"{level}/" for level in range(len(layer.levels))]
        group = ["zarr.json"] if dialect == "v3" else [".zattrs", ".zgroup", ".zmetadata"]
        return _page(path, f"{layer.name}.zarr", group + levels), HTML
    level = int(folder.removesuffix("/"))
    if level >= len(layer.levels):
        raise LinkGone("the link does not open this level")
    return _page(path, f"{layer.name}.zarr/{level}", list(ARRAY_DOCUMENTS[dialect])), HTML


def of_said_root(link: Link, dialect: Dialect, path: str) -> tuple[bytes, str]:
    """The layers that a link opens, as WEBKNOSSOS lists them."""
    documents = ["datasource-properties.json", *([".zgroup"] if dialect == "v2" else [])]
    return _page(path, "layers", [*documents, *(f"{layer}/" for layer in link.view.layers)]), HTML


def of_said(layer: Layer, dialect: Dialect, folder: str, path: str) -> tuple[bytes, str]:
    """The documents of a layer (`folder` "") or of a mag (`2-2-1` or `2-2-1/`) in WEBKNOSSOS's dialect.

    Raises LinkGone for a mag that is not open.
    """
    mags = [level.mag.literal for level in layer.levels]
    if folder == "":
        group = ["zarr.json"] if dialect == "v3" else [".zattrs", ".zgroup"]
        return _page(path, layer.name, [*group, *(f"{mag}/" for mag in mags)]), HTML
    mag = folder.removesuffix("/")
    if mag not in mags:
        raise LinkGone("the link does not open this mag")
    return _page(path, f"{layer.name}/{mag}", ["zarr.json" if dialect == "v3" else ".zarray"]), HTML


def _page(path: str, title: str, names: list[str]) -> bytes:
    # Without a slash at its end the address's last segment is not part of what relative links start from.
    folder = "./" if path.endswith("/") else f"./{html.escape(path.rpartition('/')[2])}/"
    items = "".join(f'<li><a href="{folder}{quote(name)}">{html.escape(name)}</a></li>' for name in names)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="referrer" content="no-referrer"><h1>{html.escape(title)}</h1><ul>{items}</ul></html>'
    ).encode()
