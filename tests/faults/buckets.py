"""Worlds in a bucket behind a proxy that fails, read through the real adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from builders.moto_aws import REGION, MotoAws, fixed_credentials
from faults.faulty import described_bytes
from faults.proxy import Proxy
from faults.world import World
from zarrlink.storage.s3 import open_s3

FOLDER = "em/sample"


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
        # The proxy does not know for whom a request is made.
        world.direct = False
        world.forget()
        yield proxy
