"""Arrays in a bucket that tensorstore reads by itself: a 404 that is not S3's own is no absence there either."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from builders.door import Door, door_to
from builders.foreign_arrays import numbered, write_zarr2
from builders.foreign_datasets import describe, entry
from builders.moto_aws import REGION, MotoAws, fixed_credentials, moto_aws
from builders.reading import read_level
from faults.proxy import LIE, Proxy
from zarrlink.storage.s3 import S3Source, open_bucket

DATA = numbered((20, 24, 32), "uint16")
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoAws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", REGION)
    with moto_aws() as server:
        yield server


def door_behind(proxy: Proxy, aws: MotoAws, folder: Path) -> Door:
    """A door to a decoded array in a bucket, which the functions would open so."""
    write_zarr2(folder / "bzip/1", DATA, (8, 8, 16), compressor={"id": "bz2", "level": 1})
    describe(folder, entry("bzip", "zarr", "uint16", (32, 24, 20), order="zyx"))
    bucket = aws.new_bucket()
    for path in folder.rglob("*"):
        if path.is_file():
            aws.client("s3").put_object(Bucket=bucket, Key=str(path.relative_to(folder)), Body=path.read_bytes())
    store = open_bucket(
        bucket, region=REGION, endpoint=proxy.endpoint, credential_provider=fixed_credentials, allow_http=True
    )
    return door_to(S3Source(store, "", f"s3://{bucket}"))


@pytest.mark.parametrize("fault", ["404 by a proxy", "404 no bucket", "403", "503", "truncated"])
def test_what_fails_is_no_fill_value(fault: str, aws: MotoAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(aws.endpoint, Random(1)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        door = door_behind(proxy, aws, tmp_path)
        np.testing.assert_array_equal(read_level(door, "bzip", "v2"), DATA)
        # Nothing that tensorstore has read may help.
        door.library.__dict__["_voxel_tools"] = None
        door.library._open.clear()
        asyncio.run(door.library.layer(door.link.view, "bzip"))
        proxy.rate, proxy.faults, proxy.only = 1.0, (fault,), "/1.1.0"
        reply = door.get("v2/bzip.zarr/0/1/1/0")
        assert reply.status in (502, 503), reply.status


def test_what_lies_is_believed(aws: MotoAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's own word for one key, while the array is there: see docs/security.md."""
    with Proxy(aws.endpoint, Random(1)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        door = door_behind(proxy, aws, tmp_path)
        proxy.rate, proxy.faults, proxy.only = 1.0, (LIE,), "/1.1.0"
        assert door.get("v2/bzip.zarr/0/1/1/0").status == 404
