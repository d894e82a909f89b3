"""Zarr metadata that others wrote: what they say, and every way in which they may lie."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.errors import CorruptFile, UnsupportedLayer, ZarrlinkError
from zarrlink.formats.source_zarr import MAX_BYTES, ZarrArray, chunk_key, parse_v2, parse_v3

V2: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [1, 100, 90, 80],
    "chunks": [1, 32, 32, 32],
    "dtype": "<u2",
    "compressor": {"id": "blosc", "cname": "lz4"},
    "fill_value": 3,
    "order": "F",
    "filters": None,
}
SHARDING: dict[str, Any] = {
    "name": "sharding_indexed",
    "configuration": {
        "chunk_shape": [16, 16, 16],
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "big"}},
            {"name": "gzip", "configuration": {"level": 1}},
        ],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
    },
}
V3: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [100, 90, 80],
    "data_type": "uint16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [32, 32, 32]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
}


def v2(**fields: Any) -> ZarrArray:
    return parse_v2(json.dumps({**V2, **fields}).encode())


def v3(**fields: Any) -> ZarrArray:
    return parse_v3(json.dumps({**V3, **fields}).encode())


def label(value: object) -> str:
    """Of a case: short, and the same in each process."""
    return "-".join(value) if isinstance(value, dict) else getattr(value, "__name__", str(value))


def test_version_2() -> None:
    array = v2()
    assert (array.version, array.shape, array.chunk, array.shard) == (2, (1, 100, 90, 80), (1, 32, 32, 32), None)
    assert (array.dtype, array.big_endian, array.fill_value, array.order) == ("uint16", False, 3, "F")
    assert chunk_key(array, (0, 1, 2, 10)) == "0.1.2.10"
    assert chunk_key(v2(dimension_separator="/"), (0, 1, 2, 10)) == "0/1/2/10"


def test_the_version_may_be_text() -> None:
    array = v2(zarr_format="2")
    assert array.document["zarr_format"] == 2


@pytest.mark.parametrize(
    ("dtype", "name", "big"),
    [("|u1", "uint8", False), (">i4", "int32", True), ("<f8", "float64", False), ("<u1", "uint8", False)],
)
def test_types_of_version_2(dtype: str, name: str, big: bool) -> None:
    array = v2(dtype=dtype, fill_value=0)
    assert (array.dtype, array.big_endian) == (name, big)


def test_version_3() -> None:
    array = v3(dimension_names=["z", None, "x"], attributes={"a": 1})
    assert (array.version, array.shape, array.chunk, array.shard) == (3, (100, 90, 80), (32, 32, 32), None)
    assert (array.dtype, array.big_endian, array.names) == ("uint16", False, ("z", None, "x"))
    assert array.attributes == {"a": 1}
    assert chunk_key(array, (0, 1, 2)) == "c/0/1/2"


def test_shards() -> None:
    array = v3(codecs=[SHARDING])
    assert (array.chunk, array.shard, array.big_endian) == ((16, 16, 16), (32, 32, 32), True)
    one = {**SHARDING, "configuration": {**SHARDING["configuration"], "chunk_shape": [32, 32, 32]}}
    assert v3(codecs=[one]).shard == (32, 32, 32)


@pytest.mark.parametrize(
    ("encoding", "key"),
    [
        ({"name": "default", "configuration": {"separator": "."}}, "c.1.2.3"),
        ({"name": "default"}, "c/1/2/3"),
        ("default", "c/1/2/3"),
        ({"name": "v2"}, "1.2.3"),
        ({"name": "v2", "configuration": {"separator": "/"}}, "1/2/3"),
    ],
    ids=str,
)
def test_key_encodings(encoding: object, key: str) -> None:
    assert chunk_key(v3(chunk_key_encoding=encoding), (1, 2, 3)) == key


@pytest.mark.parametrize(
    ("value", "number"),
    [(1.5, 1.5), (0, 0.0), ("Infinity", math.inf), ("-Infinity", -math.inf), ("0x40490fdb", pytest.approx(math.pi))],
)
def test_fill_values_of_floats(value: object, number: object) -> None:
    assert v3(data_type="float32", fill_value=value).fill_value == number
    assert math.isnan(v3(data_type="float32", fill_value="NaN").fill_value)


@pytest.mark.parametrize(("parse", "fields"), [(v2, {"dtype": "|b1"}), (v3, {"data_type": "bool"})], ids=["v2", "v3"])
def test_truth_values_are_numbers(parse: Any, fields: dict[str, Any]) -> None:
    array = parse(**fields, fill_value=True)
    assert (array.dtype, array.boolean, array.fill_value) == ("uint8", True, 1)
    assert not parse(**V2_OR_V3_NUMBERS[parse]).boolean
    for value in (0, 1):
        array = parse(**fields, fill_value=value)
        assert (array.fill_value, array.document["fill_value"]) == (value, bool(value))
        assert isinstance(array.document["fill_value"], bool)
    for wrong in (2, -1, 0.5, "true", "NaN"):
        with pytest.raises(CorruptFile, match="no bool"):
            parse(**fields, fill_value=wrong)


V2_OR_V3_NUMBERS = {v2: {"dtype": "|u1"}, v3: {"data_type": "uint8"}}


def test_no_fill_value_of_truth_values_in_version_2_is_false() -> None:
    array = v2(dtype="|b1", fill_value=None)
    assert (array.fill_value, array.document["fill_value"]) == (0, None)


def test_shards_that_are_transposed_before_they_are_cut() -> None:
    transpose = {"name": "transpose", "configuration": {"order": [2, 0, 1]}}
    inner = {**SHARDING, "configuration": {**SHARDING["configuration"], "chunk_shape": [20, 4, 9]}}
    grid = {"name": "regular", "configuration": {"chunk_shape": [32, 36, 40]}}

    array = v3(codecs=[transpose, inner], chunk_grid=grid)

    # The axis of 40 voxels comes first in a shard, then the one of 32, then the one of 36.
    assert (array.chunk, array.shard) == ((4, 9, 20), (32, 36, 40))
    with pytest.raises(CorruptFile, match="no whole number of chunks"):
        v3(codecs=[inner], chunk_grid=grid)
    with pytest.raises(CorruptFile, match="encoded already"):
        v3(codecs=[{"name": "bytes"}, SHARDING])


def test_no_fill_value_in_version_2_is_zero() -> None:
    assert v2(fill_value=None).fill_value == 0


@pytest.mark.parametrize(
    ("parse", "fields", "named"),
    [
        (v2, {"dtype": "<c8"}, "type '<c8'"),
        (v2, {"dtype": [["a", "<u2"]]}, "type"),
        (v2, {"dtype": "|u2"}, "type"),
        (v2, {"dtype": "<f2"}, "type"),
        (v2, {"compressor": {"id": "lz4"}}, "lz4"),
        (v2, {"compressor": {"id": ["blosc"]}}, "compressed"),
        (v2, {"filters": [{"id": "delta"}]}, "filters"),
        (v2, {"shape": [0, 1, 1, 1]}, "no voxels"),
        (v3, {"data_type": "float16"}, "float16"),
        (v3, {"data_type": {"name": "numpy.datetime64"}}, "type"),
        (v3, {"chunk_grid": {"name": "rectangular", "configuration": {}}}, "rectangular"),
        (v3, {"codecs": [{"name": "bytes"}, {"name": "vlen-utf8"}]}, "vlen-utf8"),
        (v3, {"chunk_key_encoding": {"name": "fanout"}}, "fanout"),
        (v3, {"storage_transformers": [{}]}, "transformers"),
        (
            v3,
            {
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**20, 16, 2**20]}},
                "codecs": [SHARDING],
            },
            "more than",
        ),
    ],
    ids=label,
)
def test_what_zarrlink_does_not_read_is_named(parse: Any, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedLayer) as caught:
        parse(**fields)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("parse", "fields"),
    [
        (v2, {"zarr_format": 3}),
        (v2, {"shape": [1, 2]}),
        (v2, {"shape": [-1, 1, 1, 1]}),
        (v2, {"shape": [2**60, 1, 1, 1]}),
        (v2, {"shape": [True, 1, 1, 1]}),
        (v2, {"shape": [1] * 33, "chunks": [1] * 33}),
        (v2, {"shape": [], "chunks": []}),
        (v2, {"chunks": [0, 1, 1, 1]}),
        (v2, {"order": "A"}),
        (v2, {"dimension_separator": "//"}),
        (v2, {"fill_value": -1}),
        (v2, {"fill_value": 65536}),
        (v2, {"fill_value": "x"}),
        (v3, {"node_type": "group"}),
        (v3, {"fill_value": None}),
        (v3, {"fill_value": 0.5}),
        (v3, {"data_type": "float32", "fill_value": 10**400}),
        (v3, {"codecs": []}),
        (v3, {"codecs": [7]}),
        (v3, {"codecs": [{"name": "transpose", "configuration": {"order": [0, 0, 1]}}]}),
        (v3, {"codecs": [SHARDING], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [30, 32, 32]}}}),
        (v3, {"dimension_names": ["x"]}),
        (v3, {"chunk_grid": None}),
    ],
    ids=label,
)
def test_metadata_that_make_no_sense_are_damage(parse: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptFile):
        parse(**fields)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 10**5, b" " * (MAX_BYTES + 1)])
@pytest.mark.parametrize("parse", [parse_v2, parse_v3])
def test_bytes_that_are_no_metadata_are_damage(parse: Any, data: bytes) -> None:
    with pytest.raises(CorruptFile):
        parse(data)


def test_shards_in_shards_in_shards_are_refused() -> None:
    nested = deepcopy(SHARDING)
    for _ in range(20):
        nested = {**SHARDING, "configuration": {**SHARDING["configuration"], "codecs": [nested]}}
    with pytest.raises(ZarrlinkError):
        v3(codecs=[nested])


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["bytes", 10**400]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "configuration", "id", "chunk_shape", "order", "codecs"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(st.sampled_from([(parse_v2, V2, key) for key in V2] + [(parse_v3, V3, key) for key in V3]), any_json)
def test_a_wrong_type_anywhere_is_an_error_of_ours(wound: tuple[Any, dict[str, Any], str], value: object) -> None:
    parse, form, key = wound
    try:
        parse(json.dumps({**form, key: value}).encode())
    except (CorruptFile, UnsupportedLayer) as error:
        sentence = str(error)
        assert len(sentence) < 500
