"""What a ZIP of TIFFs ends with: `metadata.json` and the directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from zarrlink.annotations.zip_writer import ZipWriter
from zarrlink.errors import CorruptFile
from zarrlink.exports.provenance import channel_name, facts, pixel_um
from zarrlink.exports.results import UnitResult
from zarrlink.exports.stack_plan import StackPlan


def stack_end(plan: StackPlan, results: Sequence[UnitResult]) -> Iterator[bytes]:
    """The bytes behind the last unit's. Raises CorruptFile for a result of another plan."""
    writer = ZipWriter()
    for result in results:
        files, told = plan.files_of(plan.unit(result.unit)), result.numbers.reshape(-1, 2).tolist()
        if len(files) != len(told):
            raise CorruptFile("the result of a unit", expected=len(files), found=len(told))
        for (z, channel), (length, crc) in zip(files, told, strict=True):
            writer.placed(plan.file_name(z, channel), crc, length)
    yield writer.file("metadata.json", metadata(plan).encode())
    yield from writer.close()


def metadata(plan: StackPlan) -> str:
    """What the files are of, as JSON. Names have the absolute z in mag-1 voxels."""
    spec, size = plan.spec, pixel_um(plan.spec)
    known = facts(spec, plan.box, plan.form)
    known["size"] = {"x": plan.box.size[0], "y": plan.box.size[1], "z": plan.box.size[2]}
    if size is not None:
        known["pixel_size_um"] = [float(length) for length in size]
    known["channels"] = [
        {
            "name": channel_name(spec, channel, plan.form.planes),
            "first": plan.file_name(0, channel),
            "last": plan.file_name(plan.box.size[2] - 1, channel),
        }
        for channel in range(plan.form.planes)
    ]
    return json.dumps(known, indent=2, ensure_ascii=False) + "\n"
