"""Names of Precomputed shards, compared with those that tensorstore writes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from builders.foreign_arrays import write_precomputed
from zarrlink.formats.precomputed_shards import shard_key
from zarrlink.formats.source_precomputed import parse_info


@pytest.mark.parametrize("hashing", ["identity", "murmurhash3_x86_128"])
@pytest.mark.parametrize(("preshift", "minishard", "shard"), [(0, 0, 0), (3, 2, 1), (0, 2, 5), (3, 0, 9)])
def test_each_chunk_lies_in_a_shard_that_was_written(
    tmp_path: Path, hashing: str, preshift: int, minishard: int, shard: int
) -> None:
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": preshift,
        "hash": hashing,
        "minishard_bits": minishard,
        "shard_bits": shard,
        "minishard_index_encoding": "raw",
        "data_encoding": "raw",
    }
    # Of one axis a single chunk, of none a power of two.
    write_precomputed(tmp_path, {"a": np.ones((20, 70, 8, 1), np.uint8)}, offset=(3, -5, 7), sharding=sharding)
    scale = parse_info((tmp_path / "info").read_bytes()).scales[0]
    told = {shard_key(scale, (x, y, z)) for x, y, z in product(range(3), range(9), range(1))}
    assert told == {f"a/{path.name}" for path in (tmp_path / "a").iterdir()}
