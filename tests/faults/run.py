"""`make faults`: storms in a process for each core, proxies, clients, contention and a server that is killed for a minute.

`python tests/faults/run.py --reads 1000000 --seconds 60 --seed 1` prints what came of each, and ends with status 1 where an
answer was wrong or something was lost; the seed that did it is named.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from random import Random
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parents[1]))

from builders.moto_aws import moto_aws
from builders.processes import run_together
from builders.state_files import state_file
from faults import zarrita
from faults.buckets import in_a_bucket
from faults.contention import check as check_links
from faults.contention import in_a_process, prepare, work
from faults.killed import Site, use
from faults.killed import check as check_site
from faults.readers import read_over_a_bad_line, read_over_a_bad_store
from faults.storm import Storm
from faults.world import World
from faults.worlds import annotation_world, foreign_world, small_world, wkw_world
from zarrlink.aws_tables import LINKS
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.sqlite import SqliteLinks
from zarrlink_local.jobs.queue import usable_cores

# A storm is of so many reads; each begins with a world and faults of its own seed. Worlds take seconds to make.
STORM_READS = 25_000
SHARES = {"wkw": 0.5, "annotation": 0.25, "foreign": 0.15, "small": 0.1}


def storm(name: str, reads: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """What came of a storm, and the faults told. In a process of its own."""
    logging.getLogger("zarrlink").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        makers: dict[str, Callable[[int], World]] = {
            "wkw": wkw_world,
            "annotation": annotation_world,
            "foreign": lambda seed: foreign_world(Path(folder), seed),
            "small": small_world,
        }
        world = makers[name](seed)
        try:
            outcomes = Storm(world, Random(seed)).run(reads)
        except BaseExceptionGroup as errors:
            # Exceptions of a group do not travel between processes.
            raise AssertionError(f"{name}, seed {seed}: {[str(error) for error in errors.exceptions]}") from None
    told: Counter[str] = Counter()
    for source in world.sources:
        told += source.told
    return outcomes, told


def storms(reads: int, seed: int) -> str:
    tasks = []
    for name, share in SHARES.items():
        left = max(1, round(reads * share))
        while left > 0:
            tasks.append((name, min(left, STORM_READS), seed + len(tasks)))
            left -= STORM_READS
    outcomes, told = Counter[str](), Counter[str]()
    wrong: list[str] = []
    with ProcessPoolExecutor(usable_cores()) as pool:
        for future in as_completed([pool.submit(storm, *task) for task in tasks]):
            try:
                seen, faults = future.result()
            except AssertionError as error:
                wrong.append(str(error))
                print(f"  WRONG: {error}", file=sys.stderr, flush=True)
                continue
            outcomes += seen
            told += faults
            print(
                f"  {outcomes.total()} of {reads} reads, {len(wrong)} storms found something",
                file=sys.stderr,
                flush=True,
            )
    if wrong:
        raise AssertionError("; ".join([*wrong, _shown(outcomes)]))
    return f"{outcomes.total()} reads: {_shown(outcomes)}\n  faults: {_shown(told)}"


def bucket(reads: int, seed: int) -> str:
    with moto_aws() as aws:
        world = small_world()
        with in_a_bucket(aws, world, Random(seed)) as proxy:
            outcomes = Storm(world, Random(seed)).run(reads)
    return f"{outcomes.total()} reads: {_shown(outcomes)}\n  faults: {_shown(proxy.told)}"


def clients(reads: int, seed: int) -> str:
    with moto_aws() as aws:
        found = read_over_a_bad_store(aws, reads, seed)
    # Fewer: nothing of ours can go wrong there.
    over_line = read_over_a_bad_line(max(4, reads // 3), seed)
    return f"{_shown(found)}\n  over a bad line: {_shown(over_line)}"


def contention(rounds: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.sqlite"
        with state_file(path) as file:
            links = SqliteLinks(file)
            prepare(links, 50)
            check_links(links, run_together(in_a_process, [(path, worker, rounds, 50) for worker in range(8)]), 50)
    with moto_aws() as aws:
        table = DynamoLinks(aws.client("dynamodb"), aws.new_table(LINKS))
        prepare(table, 50)
        with ThreadPoolExecutor(16) as pool:
            done = list(pool.map(lambda worker: work(table, worker, max(2, rounds // 5), 50), range(16)))
        check_links(table, done, 50)
    return f"SQLite: 8 processes, {8 * rounds * 5} changes; DynamoDB: 16 threads, {16 * max(2, rounds // 5) * 5}: none lost"


def killed(seconds: float, seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), Random(seed))
        try:
            use(site, seconds)
            check_site(site)
        finally:
            site.end()
    return f"{site.lives} lives: {_shown(site.counts)}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main() -> int:
    parser = _Parser(description="Fail the store, the network and the server, and see that nothing is wrong.")
    parser.add_argument(
        "--reads", type=_reads, default=200_000, help="randomised reads in the storms, at least 1 (default: 200000)"
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=60, help="for how long the server is killed, at least 0 (default: 60)"
    )
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    logging.getLogger("zarrlink").setLevel(logging.CRITICAL)
    few = max(1, min(1.0, wanted.reads / 200_000) * 100)
    parts: dict[str, Callable[[], str]] = {
        "storms": lambda: storms(wanted.reads, wanted.seed),
        "S3 behind a proxy": lambda: bucket(round(20 * few), wanted.seed),
        "clients": lambda: clients(round(few), wanted.seed),
        "contention": lambda: contention(round(few)),
        "killed server": lambda: killed(wanted.seconds, wanted.seed),
    }
    sound = True
    for name, part in parts.items():
        start = time.monotonic()
        try:
            print(f"{name}: {part()} ({time.monotonic() - start:.0f} s)", flush=True)
        except Exception:  # noqa: BLE001 (whatever it is, the other parts shall run)
            sound = False
            print(f"{name}: FAILED with seed {wanted.seed}\n{traceback.format_exc()[-3000:]}", flush=True)
    if not zarrita.is_there():
        print(f"LEFT OUT: {zarrita.MISSING}", flush=True)
    return 0 if sound else 1


def _reads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number from 1 on, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"needs a number of seconds from 0 on, not {text!r}")
    return seconds


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
