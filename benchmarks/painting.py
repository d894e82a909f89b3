"""An annotation over the measured dataset: what an import would have written, with some of the blocks of a layer painted."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from data import BLOCK

from zarrlink.annotations.manifest import MANIFEST_KEY, Manifest, PackedMag, PackedVolume, mag_prefix
from zarrlink.formats.block_pack import Kind, block_code, encode_index
from zarrlink.formats.datasource import FILE_NAME, parse_description
from zarrlink.formats.lz4_block import encode_lz4
from zarrlink.geometry import BoundingBox, Mag, VoxelSize, vec3


def paint(dataset: Path, folder: Path, *, every: int) -> Path:
    """The annotation `painted` over `segmentation`, in `folder`: one of `every` blocks, each with its own few segments."""
    description = parse_description((dataset / FILE_NAME).read_bytes())
    box = next(layer.box for layer in description.layers if layer.name == "segmentation")
    first = [corner // BLOCK for corner in box.top_left]
    last = [-(-corner // BLOCK) for corner in box.bottom_right]
    places = [vec3(list(place)) for place in product(*map(range, first, last)) if sum(place) % every == 0]
    # As people paint: a few large pieces in a block.
    z, y, x = np.indices((BLOCK,) * 3, "uint32")
    entries, data = [], bytearray()
    for number, place in enumerate(sorted(places, key=block_code)):
        voxels = (x // 11 + 3 * (y // 7) + 15 * (z // 13) + 100 * number + 1).astype("uint32")
        stored = encode_lz4(voxels.tobytes(), high=True)
        entries.append((block_code(place), Kind.DATA, len(stored)))
        data += stored
    mag = Mag(1, 1, 1)
    prefix = mag_prefix(0, mag)
    extent = BoundingBox(vec3(first), vec3([b - a for a, b in zip(first, last, strict=True)]))
    volume = PackedVolume(
        id=0,
        name="painted",
        format="wkw",
        element_class="uint32",
        fallback_layer="segmentation",
        largest_segment_id=None,
        mapping_name=None,
        mapping_is_locked=False,
        edited_mapping=None,
        block_side=BLOCK,
        mags=(PackedMag(mag, prefix, len(entries), len(data), extent),),
    )
    manifest = Manifest("painted", "bench", None, None, None, None, VoxelSize((8.0, 8.0, 25.0)), (volume,), 0, 0)
    (folder / prefix).parent.mkdir(parents=True)
    (folder / f"{prefix}.index").write_bytes(encode_index(BLOCK, BLOCK**3 * 4, entries))
    (folder / f"{prefix}.blocks").write_bytes(data)
    (folder / MANIFEST_KEY).write_bytes(manifest.to_json())
    return folder
