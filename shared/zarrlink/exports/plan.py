"""From a request to a plan, or to a refusal that says what would be taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from zarrlink.errors import ExportTooLarge, InvalidRequest
from zarrlink.exports.pixels import pixel_form
from zarrlink.exports.request import ExportSpec
from zarrlink.exports.stack_plan import StackPlan, plan_stack
from zarrlink.exports.tiff_plan import TiffPlan, plan_tiff
from zarrlink.formats.tiff import CLASSIC_BYTES

Plan = TiffPlan | StackPlan
# Offsets, counts and directories, for each tile: what the front needs beside the tiles.
_TILE_ENTRY_BYTES: Final = 12
_PLANE_BYTES: Final = 512


def make_plan(spec: ExportSpec) -> Plan:
    """The plan of an export: a pure function of its spec, so every worker makes it anew.

    Raises InvalidRequest for a box that does not lie in the layer, ExportTooLarge for one that no object would hold,
    with the nearest mag at which it would; UnsupportedLayer for voxels that no TIFF has.
    """
    check_box(spec)
    found = lay_out(spec)
    if sentence := excess(found):
        raise ExportTooLarge(sentence, _fitting(spec))
    return found


def lay_out(spec: ExportSpec) -> Plan:
    """The plan, without any check."""
    box, form = spec.request.box.in_mag(spec.request.mag), pixel_form(spec.source, spec.request)
    return plan_tiff(spec, box, form) if spec.request.kind == "ome_tiff" else plan_stack(spec, box, form)


def check_box(spec: ExportSpec) -> None:
    """Raises InvalidRequest for a box outside of the layer, in part or as a whole."""
    request, source = spec.request, spec.source
    if request.mag not in source.mags:
        known = ", ".join(mag.literal for mag in source.mags)
        raise InvalidRequest(f"layer {source.layer!r} has no mag {request.mag.literal}; it has {known}")
    inside = request.box.intersection(source.box)
    if inside is None:
        raise InvalidRequest(
            f"the box lies outside of layer {source.layer!r}, which is {source.box.to_list()}"
            " (x, y, z, width, height, depth in mag-1 voxels)"
        )
    if inside != request.box:
        raise InvalidRequest(
            f"the box lies partly outside of layer {source.layer!r}; the part inside is {inside.to_list()}"
            " (x, y, z, width, height, depth in mag-1 voxels)"
        )


def expected_bytes(plan: Plan) -> int:
    """About how large the file gets, by the sampled ratio."""
    entries = _TILE_ENTRY_BYTES * (plan.raw_bytes // plan.tile_bytes) if isinstance(plan, TiffPlan) else 0
    padding = plan.units * plan.spec.limits.least_part if plan.units > 1 else 0
    encoded = int(plan.raw_bytes * plan.spec.ratio)
    return max(encoded, padding) + entries + _PLANE_BYTES * plan.planes


def excess(plan: Plan) -> str | None:
    """Why an export is too large; None if it is not."""
    limits, expected = plan.spec.limits, expected_bytes(plan)
    if expected > limits.object_bytes:
        return f"the file would have about {expected} bytes, more than the {limits.object_bytes} of an object"
    if plan.units + 1 > limits.parts:
        return f"the export would need {plan.units + 1} parts, more than the {limits.parts} of an object"
    if isinstance(plan, StackPlan) and plan.plane_bytes >= CLASSIC_BYTES:
        return f"one plane would have {plan.plane_bytes} bytes, more than the {CLASSIC_BYTES} of a plain TIFF"
    return None


def _fitting(spec: ExportSpec) -> str | None:
    """The nearest coarser mag at which the same box fits."""
    asked = spec.request.mag
    for mag in sorted(spec.source.mags, key=lambda mag: (mag.x * mag.y * mag.z, mag)):
        if mag == asked or any(a < b for a, b in zip(mag.xyz, asked.xyz, strict=True)):
            continue
        if excess(lay_out(replace(spec, request=replace(spec.request, mag=mag)))) is None:
            return mag.literal
    return None
