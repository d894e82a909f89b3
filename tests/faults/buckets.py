"""Worlds in a bucket behind a proxy that fails, read through the real adapter; and by real clients above that."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import numpy as np

from builders.loopback import served
from builders.moto_aws import REGION, MotoAws, fixed_credentials
from builders.reading import expected_level
from builders.wkw_files import LayerFiles, dataset, noise
from faults.faulty import described_bytes
from faults.proxy import Proxy
from faults.storm import Wrong
from faults.worlds import ONE, World, stored_world
from zarrlink.http.asgi import Door as AsgiDoor
from zarrlink.storage.s3 import open_s3

FOLDER = "em/sample"
CORNER = (3, 0, 5)


@contextmanager
def in_a_bucket(aws: MotoAws, world: World, random: Random) -> Iterator[Proxy]:
    """Put the first version of a world into a bucket, and the proxy between it and the door."""
    bucket, objects = aws.new_bucket(), world.versions[0]
    for key, data in objects.items():
        aws.client("s3").put_object(Bucket=bucket, Key=f"{FOLDER}/{key}", Body=data)
    lengths = {f"/{bucket}/{FOLDER}/{key}": described_bytes(key, data) for key, data in objects.items()}
    with Proxy(aws.endpoint, random, lambda path: lengths.get(path, 0)) as proxy:
        stored: Any = world.sources[0]
        stored.inner = open_s3(
            bucket,
            FOLDER,
            region=REGION,
            endpoint=proxy.endpoint,
            credential_provider=fixed_credentials,
            allow_http=True,
        )
        # The proxy fails in place of the source; there is one version.
        stored.rate = 0.0
        sources: list[Any] = [proxy]
        world.sources, world.versions, world.shelf = sources, world.versions[:1], None
        world.forget()
        yield proxy


class ClientWorld:
    """One layer, for clients to read boxes of."""

    def __init__(self, seed: int) -> None:
        self.volume = noise((60, 44, 36), "uint16", seed=seed)
        layer = LayerFiles("em", {ONE: self.volume}, CORNER)
        self.world = stored_world(
            "clients", [dataset(layer)], [{"em": {ONE: self.volume}}], Random(seed), top_left=CORNER
        )
        level = self.world.door.opened("em").layer.levels[0]
        self.seen = expected_level(self.volume, CORNER, level)


def read_by_clients(aws: MotoAws, reads: int, seed: int, *, rate: float = 0.1) -> Counter[str]:
    """So many boxes by zarr-python and by tensorstore, each in both dialects. Raises Wrong."""
    random, outcomes = Random(seed), Counter[str]()
    subject = ClientWorld(seed)
    silent = logging.getLogger("zarrlink")
    level, silent.level = silent.level, logging.CRITICAL
    try:
        with (
            in_a_bucket(aws, subject.world, random) as proxy,
            served(AsgiDoor(subject.world.door.path, _no_app)) as address,
        ):
            for number in range(reads):
                proxy.rate = rate
                if number % 10 == 0:
                    subject.world.forget()
                low = [random.randrange(length) for length in subject.seen.shape]
                high = [random.randint(at + 1, length) for at, length in zip(low, subject.seen.shape, strict=True)]
                box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
                client, dialect = random.choice(("zarr-python", "tensorstore")), random.choice(("v2", "v3"))
                array = f"{address}{subject.world.door.base}/{dialect}/em.zarr/0"
                try:
                    voxels = (_by_zarr if client == "zarr-python" else _by_tensorstore)(array, dialect, box)
                except Exception as error:  # noqa: BLE001 (whatever it is, the person sees that it failed)
                    outcomes[f"{client} raised {type(error).__name__}"] += 1
                    continue
                if not np.array_equal(voxels, subject.seen[box]):
                    raise Wrong(f"{client} was shown other voxels of {dialect}, box {box}: {dict(proxy.told)}")
                outcomes[f"{client} right"] += 1
            outcomes["faults told"] = sum(proxy.told.values())
    finally:
        silent.level = level
    return outcomes


def _by_zarr(address: str, dialect: str, box: tuple[slice, ...]) -> Any:
    import zarr

    return zarr.open_array(address, mode="r", zarr_format=2 if dialect == "v2" else 3)[box]


def _by_tensorstore(address: str, dialect: str, box: tuple[slice, ...]) -> Any:
    import tensorstore as ts

    spec = {"driver": {"v2": "zarr", "v3": "zarr3"}[dialect], "kvstore": f"{address}/"}
    context = ts.Context({"http_request_retries": {"max_retries": 2, "initial_delay": "10ms", "max_delay": "20ms"}})
    return ts.open(spec, context=context, open=True).result()[box].read().result()


async def _no_app(*_: Any) -> None:
    raise RuntimeError("nothing but links here")
