"""`docs/clients.md`: what each client made of each layer, and why where it failed."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clients.known import is_excused, reason_of
from clients.matrix import Outcome
from clients.names import WEBKNOSSOS
from clients.needs import told as told_missing
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
    "Viv's loader": "`loadOmeZarr`, plane by plane: what Avivator draws from",
    "vizarr": "Galaxy's build, the one on npm; the plane that it shows first, 4 pixels for a voxel; opened anew after the revocation, when it "
    "must show an error",
    "itk-vtk-viewer": "its own reader, all levels, and a picture like the middle plane; opened anew after the revocation, when it must say an "
    "error",
    "Neuroglancer": "one plane, a pixel for a voxel, in a browser without a graphics card; after the revocation the link is opened anew: "
    "it must show an error and draw nothing",
    "webknossos": "`RemoteDataset.open`, `Annotation.open_as_remote_dataset`: signed in, where the others have a link; revoked by removing the user",
}


@dataclass(frozen=True)
class Results:
    """All outcomes on one site, by client and version in the order of the table. `static`: the site is the folder, not a link."""

    title: str
    outcomes: Mapping[tuple[str, Version], Sequence[Outcome]]
    static: bool = False

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

    def unexplained(self) -> list[Outcome]:
        """Failures that nobody has looked into: those on links may be our fault."""
        return [one for one in self.failures() if reason_of(one, static=self.static) is None]

    def outdated(self) -> list[Outcome]:
        """Those that passed, though what is known says that they fail."""
        return [
            one
            for several in self.outcomes.values()
            for one in several
            if one.passed and is_excused(one, static=self.static)
        ]

    def address(self, client: str, layers: Sequence[tuple[str, str]]) -> str:
        """Which version's address to give a client: `v2, v3`, or `v2; labels uint64: v3`."""
        passed = {
            version: [
                what
                for name, what in layers
                if any(one.passed and one.layer == name for one in self.outcomes.get((client, version), ()))
            ]
            for version in VERSIONS
        }
        if not any(passed.values()):
            return "none"
        most = max(len(found) for found in passed.values())
        best = [version for version in VERSIONS if len(passed[version]) == most]
        if len(best) > 1 and passed["v2"] != passed["v3"]:
            best = best[:1]
        rest = {
            what: next((version for version in VERSIONS if what in passed[version]), "none")
            for _, what in layers
            if what not in passed[best[0]]
        }
        return "; ".join([", ".join(best), *(f"{what}: {version}" for what, version in rest.items())])


def to_look_into(results: Results) -> list[str]:
    """What somebody must look into, a line each."""
    lines = [
        f"not explained: {one.client} {one.version} {one.layer}: {one.verdict}: {one.words}"
        for one in results.unexplained()
    ]
    lines += [
        f"excused, and passes: {one.client} {one.version} {one.layer}: take it out of known.py"
        for one in results.outdated()
    ]
    return [f"{results.title}: {line}" for line in lines]


def page(
    date: str,
    layers: Sequence[tuple[str, str]],
    versions: Mapping[str, str],
    found: Sequence[Results],
    left_out: Mapping[str, str],
) -> str:
    """The whole page. `layers`: name and what it is; `versions`: by client; `found`: on links, then on other sites; `left_out`:
    what was not tried, and why."""
    links = found[0]
    clients = list(dict.fromkeys(client for client, _ in links.outcomes))
    lines = [
        "# Clients",
        "",
        f"Made by `make clients` on {date} ({platform.system()} {platform.machine()}, Python {platform.python_version()}).",
        *([f"\n**LEFT OUT** of this run: {'; '.join(told_missing(left_out))}."] if left_out else []),
        "",
        "## Which address for which tool",
        "",
        "A link has two addresses for each layer: `/zarr/TOKEN/v2/LAYER.zarr` (Zarr v2) and `/zarr/TOKEN/v3/LAYER.zarr` (Zarr v3, fewer",
        "and larger objects). Where both are named, take v3.",
        "",
        "| tool | address |",
        "|---|---|",
        *(f"| {client} | {_address(links, client, layers)} |" for client in clients),
        "",
        "Not tried, since neither PyPI nor npm nor Debian has them: Fiji, BigDataViewer, n5-zarr. They read Zarr v2; begin with its address.",
        "",
        "## How it is tried",
        "",
        "Each client runs in its own process. It opens a layer through a private link of a running `zarrlink serve` and reads",
        "every voxel of all three levels, which are compared with what was stored, with the element type. Then the link is",
        "revoked, and the client has to raise: once with the array that it has open, once when it opens the link anew. Fill",
        "value in place of an error is a failure. Viewers draw one plane in a browser without a graphics card; its pixels are compared, and",
        "after the revocation they open the link anew. The same voxels, written by zarr and ome-zarr-py as OME-Zarr 0.4 and 0.5 with their",
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
        f"✓ all voxels right, and an error after the revocation; {_legend()}.",
        "",
    ]
    for results in found:
        lines += _table(results, clients, [name for name, _ in layers])
    lines += ["## Why, and what to do", ""]
    for results in found:
        lines += _reasons(results, [name for name, _ in layers])
    lines += ["## Versions", "", "| client | versions | called with |", "|---|---|---|"]
    lines += [f"| {client} | {versions[client]} | {_called(client)} |" for client in clients]
    return "\n".join(lines) + "\n"


def _address(links: Results, client: str, layers: Sequence[tuple[str, str]]) -> str:
    return "that of the server, signed in" if client == WEBKNOSSOS else links.address(client, layers)


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


def _reasons(results: Results, layers: Sequence[str]) -> list[str]:
    """One entry for each thing that clients said, with those that said it and the layers that they said it of."""
    lines = [f"### {results.title}", ""]
    told: dict[tuple[str, str, str], dict[str, list[Outcome]]] = {}
    for one in results.failures():
        reason = reason_of(one, static=results.static)
        because = f"{reason.why} {reason.instead}".rstrip() if reason else "**Not explained yet.**"
        told.setdefault((one.verdict, one.words, because), {}).setdefault(one.client, []).append(one)
    for (verdict, words, because), by_client in told.items():
        where = [f"**{client}** ({_where(several, layers)})" for client, several in by_client.items()]
        said = words.replace("|", "\\|").replace("`", "'")
        lines.append(f"* {', '.join(where)}: {verdict}: `{said}` {because}")
    return [*lines, ""] if told else [*lines, "Nothing failed.", ""]


def _where(several: Sequence[Outcome], layers: Sequence[str]) -> str:
    """`v2, v3 `rgb``: the layers of each version, none named where it is all of them."""
    told = []
    for version in VERSIONS:
        found = [one.layer for one in several if one.version == version]
        if found:
            told.append(
                version if len(found) == len(layers) else f"{version} {' '.join(f'`{name}`' for name in found)}"
            )
    return ", ".join(told)
