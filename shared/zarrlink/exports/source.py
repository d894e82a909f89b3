"""The layer that an export is of: what the plan needs to know, and its voxels."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from zarrlink.arrays.volume import Volume
from zarrlink.errors import InvalidRequest, UnsupportedLayer
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.encoder import encoder_version
from zarrlink.exports.request import ExportRequest, ExportSource, ExportSpec, Limits, Wide
from zarrlink.layer import LeadingAxis
from zarrlink.library import Library, Subject
from zarrlink.opening.annotation import volume_name
from zarrlink.opening.volumes import LayerVolumes

_NARROW_MOST: Final = {"uint64": 2**32 - 1, "int64": 2**31 - 1}


async def _check_not_below(library: Library, subject: Subject, layer: str) -> None:
    """Who exports an annotation and names the layer that it is painted over wants to have what was painted."""
    _, manifest = await library.manifest(subject)
    names = {volume_name(volume): volume.fallback_layer for volume in manifest.volumes}
    above = [name for name, below in names.items() if below == layer]
    if above and layer not in names:
        raise InvalidRequest(
            f"layer {layer!r} is without what this annotation paints over it: name {above[0]!r}, or no annotation"
        )


async def export_spec(
    library: Library, subject: Subject, kind: Literal["ome_tiff", "tiff_stack"], args: ExportArgs, limits: Limits
) -> tuple[ExportSpec, Volume]:
    """What the plan of an export is made from, its ratio not sampled yet, and the layer's voxels at the mag.

    Raises as `Library.layer` does, and InvalidRequest for a mag or an additional axis that the layer has not, and for the
    layer below one that an annotation paints.
    """
    if subject.annotation is not None:
        await _check_not_below(library, subject, args.layer)
    found = await library.volumes(subject, args.layer, args.mapping)
    mags = tuple(stored.mag for stored in found.stored)
    if not mags:
        raise UnsupportedLayer(f"layer {args.layer!r}: it has no mag that can be read")
    mag = args.mag or mags[0]
    stored = next((stored for stored in found.stored if stored.mag == mag), None)
    if stored is None:
        known = ", ".join(mag.literal for mag in mags)
        raise InvalidRequest(f"layer {args.layer!r} has no mag {mag.literal}; it has {known}")
    described = found.described
    source = ExportSource(
        dataset="" if subject.dataset is None else subject.dataset.name,
        annotation="" if subject.annotation is None else subject.annotation.id,
        layer=args.layer,
        box=described.box,
        mags=mags,
        dtype=stored.dtype,
        channels=stored.channels,
        voxel_size=await library.voxel_size(subject),
        revision=_revision(subject, found),
        revised_at=_revised_at(subject),
        chunk=stored.chunk,
        chunk_start=stored.start,
        is_labels=described.category == "segmentation",
        is_rgb=stored.channels == 3 and stored.dtype == "uint8" and described.category == "color",
        channel_colors=_colors(described.view, stored.channels),
        mapping=args.mapping or "",
        axes=tuple(axis.name for axis in found.leading),
    )
    request = ExportRequest(
        kind=kind,
        box=args.box or source.box,
        mag=mag,
        compression=args.compression,
        wide=args.wide or _wide(source, described.largest_segment_id),
        levels=args.levels,
        extra=_coordinates(args, found.leading),
    )
    return ExportSpec(request, source, encoder_version(args.compression), limits), found.volumes[mag]


def _wide(source: ExportSource, largest_id: int | None) -> Wide:
    most = _NARROW_MOST.get(source.dtype)
    if most is None or not source.is_labels:
        return "narrow"
    # Of the ids as they are stored: those of a mapping, or painted over the layer, may be larger.
    return "narrow" if largest_id is not None and largest_id <= most and not source.mapping else "renumber"


def _coordinates(args: ExportArgs, leading: tuple[LeadingAxis, ...]) -> tuple[int, ...]:
    asked = dict(args.extra)
    if unknown := sorted(asked.keys() - {axis.name for axis in leading}):
        known = ", ".join(axis.name for axis in leading) or "none"
        raise InvalidRequest(f"layer {args.layer!r} has no additional axis {unknown[0]!r}; it has {known}")
    for axis in leading:
        at = asked.get(axis.name, axis.start)
        if not axis.start <= at < axis.start + axis.length:
            end = axis.start + axis.length - 1
            raise InvalidRequest(f"axis {axis.name!r} goes from {axis.start} to {end}, {at} lies outside")
    return tuple(asked.get(axis.name, axis.start) for axis in leading)


def _revision(subject: Subject, found: LayerVolumes) -> str:
    # Of what was not there nothing is exported; once it is there, it has an ETag.
    facts = sorted((witness.source.name, witness.key, witness.etag) for witness in found.witnesses if witness.etag)
    annotation = "" if subject.annotation is None else subject.annotation.revision
    return hashlib.sha256(repr((facts, annotation)).encode()).hexdigest()[:32]


def _revised_at(subject: Subject) -> str:
    known = [0 if record is None else record.created_ms for record in (subject.dataset,)]
    known += [] if subject.annotation is None else [subject.annotation.modified_ms]
    return datetime.fromtimestamp(max(known) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _colors(view: dict[str, Any], channels: int) -> tuple[str, ...]:
    """The colour in which WEBKNOSSOS shows a layer of one channel, as RRGGBB."""
    color = view.get("color")
    if channels != 1 or not isinstance(color, list) or len(color) != 3:
        return ()
    if not all(isinstance(part, int) and 0 <= part <= 255 for part in color):
        return ()
    return ("".join(f"{part:02X}" for part in cast("list[int]", color)),)
