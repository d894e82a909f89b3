"""A quick share of the storms of `make faults`: thousands of reads of every kind while the store fails."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from builders.moto_aws import MotoAws
from faults.buckets import in_a_bucket
from faults.faulty import FAULTS
from faults.proxy import LIE, Proxy
from faults.readers import read_over_a_bad_line, read_over_a_bad_store
from faults.storm import Storm
from faults.world import World
from faults.worlds import annotation_world, foreign_world, small_world, wkw_world

READS = 1200
pytestmark = pytest.mark.usefixtures("quiet")


def weather(world: World, storm: Storm) -> None:
    """A storm is one: every fault was told, and both answers and errors came of it."""
    told = {fault for source in world.sources for fault, count in source.told.items() if count}
    assert told >= set(FAULTS) - {"changed", "unsatisfiable"}
    assert storm.outcomes["right"] > storm.outcomes.total() / 4
    assert any(outcome.startswith("raised") for outcome in storm.outcomes)


@pytest.mark.parametrize("make", [wkw_world, annotation_world, small_world])
def test_no_answer_is_wrong_while_the_store_fails(make: type) -> None:
    world: World = make()
    storm = Storm(world, Random(1))
    storm.run(READS)
    weather(world, storm)


def test_no_answer_of_a_foreign_array_is_wrong_while_the_store_fails(tmp_path: Path) -> None:
    world = foreign_world(tmp_path)
    storm = Storm(world, Random(1))
    storm.run(READS)
    weather(world, storm)


def test_no_answer_is_wrong_behind_a_proxy_that_fails(aws: MotoAws) -> None:
    world = small_world()
    with in_a_bucket(aws, world, Random(2)) as proxy:
        storm = Storm(world, Random(2))
        storm.run(120)
        assert len(proxy.told) > 5
    assert storm.outcomes["right"] > 40


def test_clients_are_shown_right_voxels_or_an_error(aws: MotoAws) -> None:
    outcomes = read_over_a_bad_store(aws, 24, 3, rate=0.06)
    assert sum(count for outcome, count in outcomes.items() if outcome.endswith("right")) > 4


def test_clients_are_shown_right_voxels_or_an_error_over_a_bad_line() -> None:
    outcomes = read_over_a_bad_line(24, 3)
    assert sum(count for outcome, count in outcomes.items() if outcome.endswith("right")) > 4
    assert outcomes["faults told"] > 5


def test_what_a_lying_store_hides_is_hidden_and_nothing_worse() -> None:
    """A store that says of one object that it was never written is believed: no single answer tells this from the truth
    (docs/decisions/0004). But a description, a header, or a file that was read before, is missed."""
    world = small_world()
    storm = Storm(world, Random(4), lying=True)
    for source in world.sources:
        source.faults = ("lied",)
    storm.run(READS)
    hidden = "hidden by a store that says 404"
    assert storm.outcomes[hidden] > 0
    assert {outcome.partition(" ")[0] for outcome in storm.outcomes} <= {"right", "hidden", "raised"}


def test_a_lie_about_a_header_is_no_absence(aws: MotoAws) -> None:
    world = small_world()
    with in_a_bucket(aws, world, Random(5)) as proxy:
        lie_only_of_headers(proxy)
        storm = Storm(world, Random(5))
        storm.run(40)
    assert "raised 410" in storm.outcomes or "raised 503" in storm.outcomes


def lie_only_of_headers(proxy: Proxy) -> None:
    proxy.faults = (LIE,)
    proxy.only = "header.wkw"
