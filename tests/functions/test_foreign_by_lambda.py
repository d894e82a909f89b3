"""Foreign layers in S3, passed through and decoded, through the `stream` function: tensorstore reads the bucket itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.door import open_door
from builders.foreign_arrays import LITTLE, numbered, write_n5, write_zarr2, write_zarr3
from builders.foreign_datasets import ONE, assert_served, describe, entry
from builders.moto_aws import REGION, MotoAws
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.proxied_chunks import ProxiedChunks

pytestmark = pytest.mark.usefixtures("lambda_backend")
SIZE = (20, 13, 17)
DATA = numbered(SIZE[::-1], "uint16")
ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}


@pytest.fixture(autouse=True)
def region(aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a function's environment has."""
    for name, value in (
        ("AWS_ENDPOINT_URL", aws.endpoint),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ):
        monkeypatch.setenv(name, value)


def dataset(folder: Path) -> dict[str, bytes]:
    """A layer that goes out as it is stored in both dialects, one in v3 alone, two that are decoded; one has a hole."""
    write_zarr2(folder / "plain/1", DATA, (8, 8, 8))
    write_zarr3(folder / "shards/1", DATA, (4, 4, 4), shard=(8, 8, 8), codecs=[LITTLE, ZSTD])
    write_zarr2(folder / "turned/1", DATA.T, (8, 8, 8), fill_value=3)
    write_n5(folder / "n5/1", DATA.T.copy(), (8, 8, 8))
    layers = [
        entry("plain", "zarr", "uint16", SIZE, order="zyx"),
        entry("shards", "zarr3", "uint16", SIZE, order="zyx"),
        entry("turned", "zarr", "uint16", SIZE, order="xyz"),
        entry("n5", "n5", "uint16", SIZE, order="xyz"),
    ]
    describe(folder, *layers)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("layer", ["plain", "shards", "turned", "n5"])
def test_every_voxel(tmp_path: Path, layer: str) -> None:
    door = open_door(dataset(tmp_path))
    kinds = [type(door.opened(layer).chunks(dialect)[0]) for dialect in ("v2", "v3")]
    expected = {"plain": [ProxiedChunks] * 2, "shards": [DecodedChunks, ProxiedChunks]}
    assert kinds == expected.get(layer, [DecodedChunks] * 2)
    assert_served(door, layer, {ONE: DATA})


@pytest.mark.parametrize(("layer", "chunk"), [("plain", "v2/plain.zarr/0/0/0/0"), ("turned", "v2/turned.zarr/0/0/0/0")])
def test_what_is_absent_is_not_what_is_gone(tmp_path: Path, layer: str, chunk: str) -> None:
    door = open_door(dataset(tmp_path))
    objects = door.source.inner.objects
    del objects[f"{layer}/1/0.0.0"]
    absent = door.get(chunk)
    # Where the fill value is none of ours, what was never written is a chunk of it.
    assert absent.status == (404 if layer == "plain" else 200)
    for key in [key for key in objects if key.startswith(f"{layer}/")]:
        del objects[key]
    fresh = open_door(dataset(tmp_path))
    gone = fresh.source.inner.objects
    fresh.opened(layer)
    for key in [key for key in gone if key.startswith(f"{layer}/")]:
        del gone[key]
    assert fresh.get(chunk).status == 503


def test_ranges_of_a_shard(tmp_path: Path) -> None:
    objects = dataset(tmp_path)
    door = open_door(objects)
    stored = objects["shards/1/c/0/0/0"]
    path = "v3/shards.zarr/0/c/0/0/0"
    assert door.get(path).body == stored
    assert door.get(path, range="bytes=-132").body == stored[-132:]
    assert door.get(path, range="bytes=9-99").body == stored[9:100]
    assert door.head(path).text_headers()["content-length"] == str(len(stored))
