"""What an export says of itself: where its voxels are from, how large they are."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from zarrlink.exports.pixels import PixelForm
from zarrlink.exports.request import ExportSpec
from zarrlink.formats.lengths import micrometres
from zarrlink.formats.ome_xml import OmeChannel, OmeImage, ome_xml
from zarrlink.geometry import BoundingBox

CREATOR = "zarrlink"


def pixel_um(spec: ExportSpec) -> tuple[Fraction, Fraction, Fraction] | None:
    """Of a pixel along x, y, z; None where the dataset's unit is not known."""
    size, mag = micrometres(spec.source.voxel_size), spec.request.mag
    return None if size is None else (size[0] * mag.x, size[1] * mag.y, size[2] * mag.z)


def facts(spec: ExportSpec, box: BoundingBox, form: PixelForm) -> dict[str, Any]:
    """The provenance, each value plain JSON. Nothing in it depends on when or where the export ran."""
    source, request = spec.source, spec.request
    mag = request.mag
    covered = [start * side for start, side in zip(box.top_left, mag.xyz, strict=True)]
    covered += [length * side for length, side in zip(box.size, mag.xyz, strict=True)]
    known: dict[str, Any] = {
        "dataset": source.dataset,
        "annotation": source.annotation,
        "layer": source.layer,
        "mag": mag.literal,
        "bounding_box_mag1": covered,
        "requested_bounding_box_mag1": request.box.to_list(),
        "voxel_size": list(source.voxel_size.factor),
        "voxel_size_unit": source.voxel_size.unit,
        "stored_type": source.dtype,
        "type": form.dtype.name,
        "additional_axes": [f"{name}={at}" for name, at in zip(source.axes, request.extra, strict=True)],
        "mapping": source.mapping,
        "revision": source.revision,
        "content": source.content,
        "revised_at": source.revised_at,
        "export": spec.uuid,
        "encoder": spec.encoder,
    }
    if form.renumbered:
        known["renumbered"] = "each pixel is the line of ids.csv that has the stored id"
    return {key: value for key, value in known.items() if value not in ("", [])}


def channel_name(spec: ExportSpec, channel: int, channels: int) -> str:
    names = spec.source.channel_names
    if channel < len(names):
        return names[channel]
    return spec.source.layer if channels == 1 else f"{spec.source.layer} {channel}"


def image_description(spec: ExportSpec, box: BoundingBox, form: PixelForm) -> str:
    """What stands in the first directory: OME-XML, or lines where OME has no such pixels."""
    told = {key: shown(value) for key, value in facts(spec, box, form).items()}
    if form.ome_type is None:
        return "\n".join([CREATOR, *(f"{key}: {value}" for key, value in told.items())])
    colors = spec.source.channel_colors
    channels = [
        OmeChannel(
            name=channel_name(spec, number, form.planes),
            color=colors[number] if number < len(colors) and form.samples == 1 else "",
            samples=form.samples,
        )
        for number in range(form.planes)
    ]
    corner = ", ".join(str(number) for number in box.top_left)
    image = OmeImage(
        name=f"{spec.source.dataset} {spec.source.layer}",
        description=f"voxels of mag {spec.request.mag.literal}, from voxel {corner} of it on",
        uuid=spec.uuid,
        creator=f"{CREATOR}, {spec.encoder}",
        size=box.size,
        pixel_type=form.ome_type,
        pixel_um=pixel_um(spec),
        channels=channels,
        acquired=spec.source.revised_at,
        facts=told,
    )
    return ome_xml(image)


def shown(value: Any) -> str:
    return ",".join(str(one) for one in value) if isinstance(value, list) else str(value)
