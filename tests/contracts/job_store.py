"""What every `JobStore` keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from builders.memory_jobs import MemoryJobs
from zarrlink.errors import TooManyJobs
from zarrlink.jobs.interface import JobStore
from zarrlink.jobs.model import ENDED, Job, State

CREATED_MS = 1_790_000_000_000
DAY_MS = 86_400_000


def job(number: int = 0, **changed: Any) -> Job:
    """A job whose id tells its number."""
    facts: dict[str, Any] = {
        "id": f"{number:024x}",
        "owner": "anna",
        "kind": "ome_tiff",
        "dataset": "65a1f0c2b3d4e5f607182930",
        "annotation": "",
        "args": '{"layer":"em"}',
        "file_name": "em.ome.tif",
        "expected_bytes": 2**41,
        "expected_seconds": 60,
        "submission": f"submission {number}",
        "created_ms": CREATED_MS + number,
    }
    return Job(**{**facts, **changed})


def started(store: JobStore, number: int = 0, units: int = 4, **changed: Any) -> Job:
    """A job that was added, started and planned."""
    added = store.add(job(number, **changed))
    assert store.start(added.id, 1, CREATED_MS + 50)
    assert store.planned(added.id, 1, units, "upload 1")
    return found(store, added)


def found(store: JobStore, wanted: Job) -> Job:
    known = store.get(wanted.id)
    assert known is not None
    return known


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each gives, all begun at the same moment in a thread of their own."""
    together = Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        together.wait(30)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result() for done in [pool.submit(begin, work) for work in works]]


class JobStoreContract(ABC):
    """Inherit it, and give a `store` fixture."""

    # Of the state machine below.
    examples = 30

    @pytest.fixture
    @abstractmethod
    def store(self) -> JobStore:
        """An empty store."""

    @pytest.mark.parametrize(
        "changed",
        [
            {},
            {"owner": "o'neil@example.org", "kind": "annotation_wkw", "dataset": "", "annotation": "a" * 24},
            {"args": '{"layer":"\u4e2d; DROP TABLE jobs --"}', "file_name": "\u00e9 x.zip", "kind": "tiff_stack"},
        ],
        ids=str,
    )
    def test_a_job_comes_back_as_it_was_added(self, store: JobStore, changed: dict[str, Any]) -> None:
        assert store.add(job(1, **changed)) == job(1, **changed)
        assert store.get(job(1).id) == job(1, **changed)
        assert store.get(job(2).id) is None
        assert store.get("") is None
        assert store.get("x" * 5000) is None

    def test_an_id_is_taken_once(self, store: JobStore) -> None:
        store.add(job(1))
        with pytest.raises(ValueError, match="is taken"):
            store.add(job(1, submission="another"))
        assert store.get(job(1).id) == job(1)

    def test_no_more_run_than_an_owner_may_have(self, store: JobStore) -> None:
        before = store.add(job(99, submission="before"))
        assert store.end(before.id, 1, "FAILURE", CREATED_MS)

        def add(number: int) -> bool:
            try:
                store.add(job(number, submission=str(number)), at_most=4)
            except TooManyJobs:
                return False
            return True

        assert sum(at_once(*(partial(add, number) for number in range(12)))) == 4
        running = store.running(before.owner)
        assert len(running) == 4
        with pytest.raises(TooManyJobs, match="4 of your jobs run already, and at most 4 may"):
            store.retry(before.id, CREATED_MS, at_most=4)
        assert found(store, before).state == "FAILURE"
        # What runs already is found again, and others have their own.
        assert store.add(replace(running[0], id="f" * 24), at_most=4) == running[0]
        assert store.add(job(50, owner="another"), at_most=1).owner == "another"
        assert store.end(running[0].id, 1, "CANCELLED", CREATED_MS)
        assert store.retry(before.id, CREATED_MS, at_most=4)
        with pytest.raises(TooManyJobs):
            store.add(job(51, submission="51"), at_most=4)

    def test_from_submission_to_success(self, store: JobStore) -> None:
        store.add(job())
        assert store.start(job().id, 1, CREATED_MS + 5)
        assert store.get(job().id) == replace(job(), state="STARTED", started_ms=CREATED_MS + 5)
        assert store.planned(job().id, 1, 3, "upload 1")
        for unit in (2, 0):
            assert store.unit_done(job().id, 1, unit)
        planned = replace(job(), state="STARTED", started_ms=CREATED_MS + 5, upload="upload 1", units=3)
        assert store.get(job().id) == replace(planned, units_done=2)
        assert store.unit_done(job().id, 1, 1)
        facts: dict[str, Any] = {"result_bytes": 0, "expires_ms": CREATED_MS + DAY_MS}
        assert store.end(job().id, 1, "SUCCESS", CREATED_MS + 9, **facts)
        ended = replace(planned, units_done=3, state="SUCCESS", ended_ms=CREATED_MS + 9, **facts)
        assert store.get(job().id) == ended

    def test_a_start_that_is_told_twice_began_once(self, store: JobStore) -> None:
        store.add(job())
        assert store.start(job().id, 1, 7)
        assert store.start(job().id, 1, 8)
        assert found(store, job()).started_ms == 7

    def test_the_first_plan_of_an_attempt_wins(self, store: JobStore) -> None:
        planned = started(store, units=4)
        assert not store.planned(planned.id, 1, 5, "upload 2")
        assert store.planned(planned.id, 1, 5, "upload 1")
        assert found(store, planned) == planned

    def test_only_what_was_started_is_planned_counted_and_succeeds(self, store: JobStore) -> None:
        store.add(job())
        assert not store.planned(job().id, 1, 3, "upload")
        assert not store.unit_done(job().id, 1, 0)
        assert not store.end(job().id, 1, "SUCCESS", 9)
        assert store.get(job().id) == job()

    def test_a_unit_counts_once_however_often_it_is_told(self, store: JobStore) -> None:
        planned = started(store, units=2000)
        for unit in (0, 1999, 7, 0, 512, 511, 1999):
            assert store.unit_done(planned.id, 1, unit)
        assert found(store, planned).units_done == 5
        assert store.of_owner("anna")[0].units_done == 5
        assert store.running()[0].units_done == 5

    @pytest.mark.parametrize("state", ENDED)
    def test_what_has_ended_stays_as_it_ended(self, store: JobStore, state: State) -> None:
        planned = started(store)
        store.unit_done(planned.id, 1, 0)
        assert store.end(planned.id, 1, state, 99, sentence="so it ended")
        ended = found(store, planned)
        assert (ended.state, ended.ended_ms, ended.sentence, ended.units_done) == (state, 99, "so it ended", 1)
        for other in ENDED:
            assert not store.end(planned.id, 1, other, 100, sentence="otherwise")
        assert not store.start(planned.id, 1, 100)
        assert not store.planned(planned.id, 1, 4, "upload 1")
        assert not store.unit_done(planned.id, 1, 1)
        assert found(store, planned) == ended

    @pytest.mark.parametrize("state", ["FAILURE", "CANCELLED"])
    def test_what_waits_can_fail_and_be_cancelled(self, store: JobStore, state: State) -> None:
        store.add(job())
        assert store.end(job().id, 1, state, 9)
        assert store.get(job().id) == replace(job(), state=state, ended_ms=9)
        assert not store.start(job().id, 1, 10)

    @pytest.mark.parametrize("state", ["FAILURE", "CANCELLED"])
    def test_another_attempt_has_nothing_of_the_one_before(self, store: JobStore, state: State) -> None:
        planned = started(store)
        store.unit_done(planned.id, 1, 0)
        store.end(planned.id, 1, state, 9, sentence="it failed")
        assert store.retry(planned.id, 10) == job(attempt=2)
        assert store.get(planned.id) == job(attempt=2)
        # Whoever still works on the first attempt does no harm.
        assert not store.start(planned.id, 1, 11)
        assert store.start(planned.id, 2, 12)
        assert not store.planned(planned.id, 1, 4, "upload 1")
        assert store.planned(planned.id, 2, 4, "upload 2")
        assert not store.unit_done(planned.id, 1, 1)
        assert not store.end(planned.id, 1, "SUCCESS", 13)
        assert store.unit_done(planned.id, 2, 0)
        known = found(store, planned)
        assert (known.attempt, known.upload, known.units_done, known.state) == (2, "upload 2", 1, "STARTED")

    def test_only_what_failed_or_was_cancelled_is_tried_again(self, store: JobStore) -> None:
        store.add(job())
        assert store.retry(job().id, 1) is None
        store.start(job().id, 1, 2)
        assert store.retry(job().id, 3) is None
        store.end(job().id, 1, "SUCCESS", 4)
        assert store.retry(job().id, 5) is None
        assert store.retry(job(9).id, 5) is None

    def test_a_submission_that_is_sent_twice_is_one_job(self, store: JobStore) -> None:
        first, again = job(1, submission="same"), job(2, submission="same")
        assert store.add(first) == first
        assert store.add(again) == first
        assert store.get(again.id) is None
        store.start(first.id, 1, 5)
        assert store.add(again).id == first.id
        store.end(first.id, 1, "SUCCESS", 6, expires_ms=again.created_ms + 1)
        assert store.add(again) == found(store, first)
        # Of another person it is another.
        other = job(3, submission="same", owner="ben")
        assert store.add(other) == other

    @pytest.mark.parametrize("state", ENDED)
    def test_what_came_to_nothing_is_submitted_anew(self, store: JobStore, state: State) -> None:
        first = started(store, 1, submission="same")
        store.end(first.id, 1, state, 6, expires_ms=job(2).created_ms)
        again = job(2, submission="same")
        assert store.add(again) == again
        # And then it is the new one that stands for it.
        assert store.retry(first.id, 8) is None
        store.end(again.id, 1, "FAILURE", 9)
        if state == "SUCCESS":
            assert store.retry(first.id, 10) is None
        else:
            assert store.retry(first.id, 10) == job(1, submission="same", attempt=2)
            assert store.retry(again.id, 11) is None
            assert store.add(job(3, submission="same")).id == first.id

    def test_a_removed_job_is_not_there_and_its_submission_is_free(self, store: JobStore) -> None:
        store.add(job(1))
        assert not store.remove(job(1).id)
        store.start(job(1).id, 1, 2)
        assert not store.remove(job(1).id)
        store.end(job(1).id, 1, "SUCCESS", 3)
        assert store.remove(job(1).id)
        assert not store.remove(job(1).id)
        assert store.get(job(1).id) is None
        assert store.of_owner("anna") == []
        again = job(2, submission=job(1).submission)
        assert store.add(again) == again

    def test_lists_are_of_their_owner_and_in_their_order(self, store: JobStore) -> None:
        for number in (2, 0, 1):
            store.add(job(number))
        store.add(job(3, owner="ben"))
        assert store.of_owner("anna") == [job(2), job(1), job(0)]
        assert store.of_owner("anna", 2) == [job(2), job(1)]
        assert store.of_owner("nobody") == store.of_owner("") == []
        assert store.running() == [job(0), job(1), job(2), job(3, owner="ben")]
        store.start(job(0).id, 1, 5)
        store.end(job(1).id, 1, "CANCELLED", 5)
        assert [known.id for known in store.running("anna")] == [job(0).id, job(2).id]
        assert store.running("nobody") == store.running("") == []
        store.retry(job(1).id, 9)
        assert len(store.running("anna")) == 3

    # --- at the same time ---

    def test_the_same_unit_told_by_many_at_once_counts_once(self, store: JobStore) -> None:
        planned = started(store, units=8)
        told = at_once(*[partial(store.unit_done, planned.id, 1, number % 4) for number in range(12)])
        assert all(told)
        assert found(store, planned).units_done == 4

    def test_of_all_that_would_end_a_job_one_does(self, store: JobStore) -> None:
        for round_ in range(5):
            planned = started(store, round_)
            ends = [*ENDED, "CANCELLED"]
            won = at_once(
                *[partial(store.end, planned.id, 1, state, 9, sentence=state) for state in ends],
                partial(store.unit_done, planned.id, 1, 1),
            )[:4]
            assert sum(won) == 1
            known = found(store, planned)
            assert known.state == known.sentence == ends[won.index(True)]

    def test_a_start_and_a_cancellation_meet(self, store: JobStore) -> None:
        for round_ in range(5):
            waiting = store.add(job(round_))
            started, cancelled = at_once(
                partial(store.start, waiting.id, 1, 5), partial(store.end, waiting.id, 1, "CANCELLED", 6)
            )
            assert cancelled
            known = found(store, waiting)
            assert (known.state, known.started_ms) == ("CANCELLED", 5 if started else None)

    def test_two_plans_meet(self, store: JobStore) -> None:
        for round_ in range(5):
            added = store.add(job(round_))
            store.start(added.id, 1, 5)
            won = at_once(
                partial(store.planned, added.id, 1, 4, "upload 1"), partial(store.planned, added.id, 1, 4, "upload 2")
            )
            assert sum(won) == 1
            assert found(store, added).upload == f"upload {won.index(True) + 1}"

    def test_a_submission_sent_by_many_at_once_is_one_job(self, store: JobStore) -> None:
        added = at_once(*[partial(store.add, job(number, submission="same")) for number in range(6)])
        assert len({known.id for known in added}) == 1
        assert [known.id for known in store.of_owner("anna")] == [added[0].id]

    def test_of_two_that_try_again_one_does(self, store: JobStore) -> None:
        failed = started(store, 1, submission="same")
        store.end(failed.id, 1, "FAILURE", 6)
        anew = job(2, submission="same")
        again = at_once(*[partial(store.retry, failed.id, 9)] * 3, partial(store.add, anew))
        standing = [known for known in store.of_owner("anna") if known.stands(9)]
        assert len(standing) == 1
        assert sum(known is not None for known in again[:3]) == (standing[0].id == failed.id)
        assert found(store, failed).attempt in (1, 2)

    # --- any order of things ---

    def test_any_story_goes_as_in_the_plainest_store(self, store: JobStore) -> None:
        stories = iter(range(10**6))

        class Story(RuleBasedStateMachine):
            """The same done to both; each story has an owner and ids of its own."""

            def __init__(self) -> None:
                super().__init__()
                self.story, self.now, self.plain = next(stories), CREATED_MS, MemoryJobs()
                self.owner = f"owner {self.story}"

            def id(self, number: int) -> str:
                return f"{self.story * 100 + number:024x}"

            def both(self, name: str, *values: Any, **facts: Any) -> None:
                self.now += 1
                answers = []
                for one in (store, self.plain):
                    try:
                        answers.append(getattr(one, name)(*values, **facts))
                    except ValueError as error:
                        answers.append(str(error))
                assert answers[0] == answers[1]

            @rule(number=st.integers(0, 3), submission=st.sampled_from("ab"))
            def add(self, number: int, submission: str) -> None:
                new = job(number, owner=self.owner, submission=submission, created_ms=self.now)
                self.both("add", replace(new, id=self.id(number)))

            @rule(number=st.integers(0, 4), attempt=st.integers(1, 2))
            def start(self, number: int, attempt: int) -> None:
                self.both("start", self.id(number), attempt, self.now)

            @rule(number=st.integers(0, 3), attempt=st.integers(1, 2), upload=st.sampled_from("uv"))
            def plan(self, number: int, attempt: int, upload: str) -> None:
                self.both("planned", self.id(number), attempt, 700, upload)

            @rule(number=st.integers(0, 3), attempt=st.integers(1, 2), unit=st.sampled_from([0, 1, 600]))
            def count(self, number: int, attempt: int, unit: int) -> None:
                self.both("unit_done", self.id(number), attempt, unit)

            @rule(number=st.integers(0, 3), attempt=st.integers(1, 2), state=st.sampled_from(ENDED))
            def end(self, number: int, attempt: int, state: State) -> None:
                lasts = {"result_bytes": 5, "expires_ms": self.now + 3} if state == "SUCCESS" else {"sentence": "why"}
                self.both("end", self.id(number), attempt, state, self.now, **lasts)

            @rule(number=st.integers(0, 4))
            def retry(self, number: int) -> None:
                self.both("retry", self.id(number), self.now)

            @rule(number=st.integers(0, 4))
            def remove(self, number: int) -> None:
                self.both("remove", self.id(number))

            @invariant()
            def lists_are_equal(self) -> None:
                # One whose plan another one came before counts units that nobody planned.
                for name in ("of_owner", "running"):
                    lists = [getattr(one, name)(self.owner) for one in (store, self.plain)]
                    assert lists[0] == lists[1]

        run_state_machine_as_test(
            Story,
            settings=settings(max_examples=self.examples, stateful_step_count=25, deadline=None, derandomize=True),
        )
