"""`docs/clients.md`: what each client made of each layer, and why where it failed."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clients.known import reason_of
from clients.matrix import Outcome
from clients.sites import VERSIONS, Version

_MARKS = {
    "passed": "✓",
    "failed to open": "open",
    "failed to read": "read",
    "wrong voxels": "**wrong**",
    "read after revocation": "**zeros**",
    "no answer": "silent",
}
_CALLED = {
    "xarray": "`open_zarr(..., mask_and_scale=False)`, one level at a time (`drop_variables`); otherwise 0 of a v2 array reads as NaN",
    "cloud-volume": "`fill_missing=True`; otherwise a chunk that was never written is an error",
    "ngff-zarr": "`from_ngff_zarr(..., validate=True)`",
    "Viv's loader": "`loadOmeZarr`, plane by plane: what vizarr and Avivator draw from. The one vizarr on npm (`@galaxyproject/vizarr` 0.1.8) "
    "lacks its own Blosc decoder, so its pixels cannot be looked at",
    "Neuroglancer": "one plane, a pixel for a voxel, in a browser without a graphics card; after the revocation the link is opened anew: "
    "it must show an error and draw nothing",
    "webknossos": "`RemoteDataset.open`, `Annotation.open_as_remote_dataset`: signed in, where the others have a link; revoked by removing the user",
}


@dataclass(frozen=True)
class Results:
    """All outcomes on one site, by client and version in the order of the table."""

    title: str
    outcomes: Mapping[tuple[str, Version], Sequence[Outcome]]

    def count(self, version: Version) -> tuple[int, int]:
        """Those that passed, and all."""
        found = [one for (_, of), several in self.outcomes.items() if of == version for one in several]
        return sum(one.passed for one in found), len(found)

    def read(self) -> tuple[int, int]:
        """Those that read every voxel, whatever they did after the revocation, and all."""
        found = [one for several in self.outcomes.values() for one in several]
        return sum(one.verdict in ("passed", "read after revocation") for one in found), len(found)

    def failures(self) -> list[Outcome]:
        return [one for several in self.outcomes.values() for one in several if not one.passed]


def unexplained(links: Results) -> list[Outcome]:
    """Failures on links that nobody has looked into: they may be our fault."""
    return [one for one in links.failures() if reason_of(one) is None]


def page(date: str, layers: Sequence[tuple[str, str]], versions: Mapping[str, str], found: Sequence[Results]) -> str:
    """The whole page. `layers`: name and what it is; `versions`: by client; `found`: on links, then on other sites."""
    links = found[0]
    clients = list(dict.fromkeys(client for client, _ in links.outcomes))
    lines = [
        "# Clients",
        "",
        f"Made by `make clients` on {date} ({platform.system()} {platform.machine()}, Python {platform.python_version()}).",
        "Each client runs in its own process. It opens a layer through a private link of a running `zarrlink serve` and reads",
        "every voxel of all three levels, which are compared with what was stored, with the element type. Then the link is",
        "revoked, and the client has to raise: once with the array that it has open, once when it opens the link anew. Fill",
        "value in place of an error is a failure. The same voxels, written by zarr and ome-zarr-py as OME-Zarr 0.4 and 0.5 with their",
        "defaults, are read from a folder behind nginx, which is then taken away.",
        "",
        "| layer | what |",
        "|---|---|",
        *(f"| `{name}` | {what} |" for name, what in layers),
        "",
        "## In short",
        "",
        "| | Zarr v2 | Zarr v3 | all voxels right, both versions |",
        "|---|---|---|---|",
        *(_short(results) for results in found),
        "",
        f"✓ all voxels of all levels right, and an error after the revocation; {_legend()}.",
        "",
    ]
    for results in found:
        lines += _table(results, clients, [name for name, _ in layers])
    if len(found) == 1:
        lines += ["nginx was not found: the folder was not tried.", ""]
    lines += ["## Why, and what to do", ""]
    lines += _reasons(found)
    lines += [
        "Not in the table: vizarr itself (the one on npm, `@galaxyproject/vizarr` 0.1.8, comes without its Blosc decoder and takes a",
        "plane's number of the finest level for all levels); itk-vtk-viewer (14.51.0 from npm opens `em` and draws nothing, without a",
        "word); n5-zarr, Fiji and BigDataViewer (not on PyPI, npm or in Debian).",
        "",
    ]
    lines += ["## Versions", "", "| client | versions | called with |", "|---|---|---|"]
    lines += [f"| {client} | {versions[client]} | {_called(client)} |" for client in clients]
    return "\n".join(lines) + "\n"


def _called(client: str) -> str:
    return next((how for name, how in _CALLED.items() if client.startswith(name)), "")


def _legend() -> str:
    return (
        "*open*, *read*: it raised there; **wrong**: other voxels, shape or type; **zeros**: after the revocation it read on, "
        "without an error; *silent*: no answer within 150 s, or its process ended"
    )


def _short(results: Results) -> str:
    counts = ["{} of {}".format(*results.count(version)) for version in VERSIONS]
    return f"| {results.title} | {counts[0]} | {counts[1]} | {'{} of {}'.format(*results.read())} |"


def _table(results: Results, clients: Iterable[str], layers: Sequence[str]) -> list[str]:
    heads = [f"{version} `{name}`" for version in VERSIONS for name in layers]
    lines = [f"## {results.title}", "", f"| client | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for client in clients:
        cells = []
        for version in VERSIONS:
            by_layer = {one.layer: one for one in results.outcomes.get((client, version), ())}
            cells += [_MARKS[by_layer[name].verdict] if name in by_layer else "-" for name in layers]
        lines.append(f"| {client} | {' | '.join(cells)} |")
    return [*lines, ""]


def _reasons(found: Sequence[Results]) -> list[str]:
    """One entry for each thing that a client said, with the layers that it said it of."""
    lines: list[str] = []
    for results in found:
        lines += [f"### {results.title}", ""]
        told: dict[tuple[str, str, str], list[Outcome]] = {}
        for one in results.failures():
            told.setdefault((one.client, one.verdict, one.words), []).append(one)
        if not told:
            lines += ["Nothing failed.", ""]
        for (client, verdict, words), several in told.items():
            where = ", ".join(f"{one.version} `{one.layer}`" for one in several)
            said = words.replace("|", "\\|").replace("`", "'")
            lines.append(
                f"* **{client}**, {where}: {verdict}: `{said}`{_because(several[0], is_link=results is found[0])}"
            )
        lines.append("")
    return lines


def _because(one: Outcome, *, is_link: bool) -> str:
    reason = reason_of(one)
    if reason is not None:
        return f" {reason.why} {reason.instead}".rstrip()
    if is_link:
        return " **Not explained yet.**"
    if one.verdict == "read after revocation":
        return " nginx answers 404 where nothing lies, which in Zarr means fill value."
    return ""
