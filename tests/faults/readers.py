"""Real clients that read boxes at random while something fails below the server, or between it and them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

import numpy as np

from builders.loopback import served
from builders.moto_aws import MotoAws
from builders.reading import expected_level
from builders.wkw_files import LayerFiles, dataset, noise
from faults.buckets import in_a_bucket
from faults.proxy import Proxy
from faults.storm import Wrong
from faults.world import ONE, World, stored_world
from faults.zarrita import Box, Ended, Zarrita, is_there
from zarrlink.http.asgi import Door as AsgiDoor
from zarrlink.streaming import Streamer

CORNER: Final = (3, 0, 5)
# What lies between us and a reader. A 404 or 403 that somebody there makes up is fill value to Zarr's readers; nobody can help that.
LINE_FAULTS: Final = ("late", "truncated", "reset", "reset halfway", "500", "503")
Read = Callable[[str, str, Box], Any]


class ReaderWorld:
    """One layer, for clients to read boxes of."""

    def __init__(self, seed: int) -> None:
        self.volume = noise((60, 44, 36), "uint16", seed=seed)
        layer = LayerFiles("em", {ONE: self.volume}, CORNER)
        self.world: World = stored_world(
            "readers", [dataset(layer)], [{"em": {ONE: self.volume}}], Random(seed), top_left=CORNER
        )
        level = self.world.door.opened("em").layer.levels[0]
        self.seen = expected_level(self.volume, CORNER, level)

    def box(self, random: Random) -> Box:
        low = [random.randrange(length) for length in self.seen.shape]
        high = [random.randint(at + 1, length) for at, length in zip(low, self.seen.shape, strict=True)]
        return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


@dataclass(frozen=True)
class Reader:
    """`read`: the voxels of a box, by the address of a layer and a dialect. `checked`: by a server that looks into blocks,
    as decision 0006 has it for whoever ignores what Blosc says. `trusted`: whether what it shows must be right."""

    name: str
    read: Read
    checked: bool = False
    trusted: bool = True


def readers(closing: ExitStack) -> list[Reader]:
    """zarrita only where it is installed; once as its users are told to, once without the check, where what it shows of a
    block that does not decode is counted and not held against us."""
    found = [Reader("zarr-python", _by_zarr), Reader("tensorstore", _by_tensorstore)]
    if is_there():
        zarrita = closing.enter_context(Zarrita())

        def by_zarrita(layer: str, dialect: str, box: Box) -> Any:
            return zarrita.read(layer, dialect, 0, box)

        found += [
            Reader("zarrita", by_zarrita, checked=True),
            Reader("zarrita unchecked", by_zarrita, trusted=False),
        ]
    return found


def read_over_a_bad_store(aws: MotoAws, reads: int, seed: int, *, rate: float = 0.1) -> Counter[str]:
    """So many boxes by each client in turn, in both dialects, of a bucket that fails. Raises Wrong."""
    random, subject = Random(seed), ReaderWorld(seed)
    with _silence(), in_a_bucket(aws, subject.world, random) as proxy, ExitStack() as closing:
        plain, checking = _servers(subject.world, closing)
        return _read(
            subject, random, readers(closing), reads, proxy, rate,
            lambda reader: checking if reader.checked else plain,
        )  # fmt: skip


def read_over_a_bad_line(reads: int, seed: int, *, rate: float = 0.1) -> Counter[str]:
    """The same from a sound store, by a proxy between the server and the clients. Raises Wrong."""
    random, subject = Random(seed), ReaderWorld(seed)
    with _silence(), ExitStack() as closing:
        plain, _ = _servers(subject.world, closing)
        proxy = closing.enter_context(Proxy(plain, random, faults=LINE_FAULTS))
        # The server has whole blocks, so that it need not look into them for anybody.
        trusted = [reader for reader in readers(closing) if reader.trusted]
        return _read(subject, random, trusted, reads, proxy, rate, lambda _: proxy.endpoint)


def _servers(world: World, closing: ExitStack) -> tuple[str, str]:
    """Addresses of one that passes blocks on, and of one that looks into them."""
    path = world.door.path
    checking = replace(path, streamer=Streamer(world.door.library, check_blocks=True))
    plain, other = (closing.enter_context(served(AsgiDoor(each, _no_app))) for each in (path, checking))
    return plain, other


def _read(
    subject: ReaderWorld, random: Random, found: list[Reader], reads: int, proxy: Proxy, rate: float,
    address: Callable[[Reader], str],
) -> Counter[str]:  # fmt: skip
    outcomes = Counter[str]()
    for number in range(reads):
        proxy.rate = rate
        if number % 10 == 0:
            subject.world.forget()
        reader, dialect, box = found[number % len(found)], random.choice(("v2", "v3")), subject.box(random)
        layer = f"{address(reader)}{subject.world.door.base}/{dialect}/em.zarr"
        try:
            voxels = reader.read(layer, dialect, box)
        except Ended:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, the person sees that it failed)
            outcomes[f"{reader.name} raised {type(error).__name__}"] += 1
            continue
        if np.array_equal(voxels, subject.seen[box]):
            outcomes[f"{reader.name} right"] += 1
        elif reader.trusted:
            raise Wrong(f"{reader.name} was shown other voxels of {dialect}, box {box}: {dict(proxy.told)}")
        else:
            outcomes[f"{reader.name} showed what does not decode"] += 1
    outcomes["faults told"] = sum(proxy.told.values())
    return outcomes


@contextmanager
def _silence() -> Iterator[None]:
    log = logging.getLogger("zarrlink")
    before, log.level = log.level, logging.CRITICAL
    try:
        yield
    finally:
        log.level = before


def _by_zarr(layer: str, dialect: str, box: Box) -> Any:
    import zarr

    return zarr.open_array(f"{layer}/0", mode="r", zarr_format=2 if dialect == "v2" else 3)[box]


def _by_tensorstore(layer: str, dialect: str, box: Box) -> Any:
    import tensorstore as ts

    spec = {"driver": {"v2": "zarr", "v3": "zarr3"}[dialect], "kvstore": f"{layer}/0/"}
    context = ts.Context({"http_request_retries": {"max_retries": 2, "initial_delay": "10ms", "max_delay": "20ms"}})
    return ts.open(spec, context=context, open=True).result()[box].read().result()


async def _no_app(*_: Any) -> None:
    raise RuntimeError("nothing but links here")
