"""What every `EdgeStore` keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zarrlink.edge.files import FileStore
from zarrlink.edge.store import EdgeStore

KEYS = tuple(f"l:link-{number:011d}" for number in range(120))
ENTRY = "mg0abc12 JnWs1bL6y-_Z0fTt0dVdXg/9cXk_aB-0zQ"


def put(store: EdgeStore, entries: Mapping[str, str | None]) -> None:
    """Whatever it holds."""
    store.change(list(entries), lambda keys, _: {key: entries[key] for key in keys})


class EdgeStoreContract(ABC):
    """Inherit it, and give a `store` fixture, and `other` of the same entries."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> EdgeStore:
        """An empty store."""

    @pytest.fixture
    @abstractmethod
    def other(self, store: EdgeStore) -> EdgeStore:
        """The same store as another writer has it."""

    def test_an_empty_store_holds_nothing(self, store: EdgeStore) -> None:
        assert store.entries() == {}

    def test_what_is_put_is_there(self, store: EdgeStore, other: EdgeStore) -> None:
        entries = {KEYS[0]: ENTRY, KEYS[1]: "-", "k:a": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="}
        put(store, entries)
        assert store.entries() == entries
        assert other.entries() == entries

    def test_ids_that_differ_in_case_alone_are_two(self, store: EdgeStore) -> None:
        entries = {
            "l:AAAAAAAAAAAAAAAA": "1 v/r",
            "l:aaaaaaaaaaaaaaaa": "2 v/r",
            "k:a": "eA==",
            "k:A": "eQ==",
            "k:": "Aa",
        }
        put(store, entries)
        assert store.entries() == entries

    def test_ids_may_have_all_url_safe_characters(self, store: EdgeStore) -> None:
        entries = {"l:_-_-_-_-_-_-_-_-": "1 v/r", "l:-aaaaaaaaaaaaaa_": "2 v/r"}
        put(store, entries)
        assert store.entries() == entries
        put(store, {"l:_-_-_-_-_-_-_-_-": None})
        assert list(store.entries()) == ["l:-aaaaaaaaaaaaaa_"]

    def test_a_value_takes_the_place_of_another(self, store: EdgeStore) -> None:
        put(store, {KEYS[0]: ENTRY, KEYS[1]: ENTRY})
        assert store.entries() == {KEYS[0]: ENTRY, KEYS[1]: ENTRY}
        put(store, {KEYS[0]: "-"})
        assert store.entries() == {KEYS[0]: "-", KEYS[1]: ENTRY}
        put(store, {KEYS[0]: "+"})
        assert store.entries() == {KEYS[0]: "+", KEYS[1]: ENTRY}

    def test_what_is_taken_away_is_gone(self, store: EdgeStore, other: EdgeStore) -> None:
        put(store, {KEYS[0]: ENTRY, KEYS[1]: ENTRY})
        put(store, {KEYS[0]: None, KEYS[2]: ENTRY})
        assert store.entries() == other.entries() == {KEYS[1]: ENTRY, KEYS[2]: ENTRY}

    def test_what_is_not_there_can_be_taken_away(self, store: EdgeStore) -> None:
        put(store, {KEYS[0]: None})
        assert store.entries() == {}

    def test_what_is_not_spoken_of_stays(self, store: EdgeStore) -> None:
        put(store, {KEYS[0]: ENTRY})
        store.change(KEYS[:2], lambda _keys, _taken: {})
        store.change([], lambda _keys, _taken: {KEYS[0]: None})
        assert store.entries() == {KEYS[0]: ENTRY}

    def test_any_number_of_keys_at_once(self, store: EdgeStore, other: EdgeStore) -> None:
        entries = dict.fromkeys(KEYS, ENTRY)
        put(store, entries)
        assert other.entries() == entries
        put(other, {**dict.fromkeys(KEYS[:110], None), KEYS[110]: "-"})
        assert store.entries() == {**dict.fromkeys(KEYS[110:], ENTRY), KEYS[110]: "-"}

    def test_every_key_is_decided(self, store: EdgeStore) -> None:
        asked: list[str] = []

        def decide(keys: Sequence[str], taken: float) -> dict[str, str | None]:
            assert 0 <= taken < 1
            asked.extend(keys)
            return dict.fromkeys(keys, ENTRY)

        store.change(KEYS, decide)
        assert asked == list(KEYS)

    def test_what_raises_while_it_decides_writes_nothing(self, store: EdgeStore) -> None:
        def decide(keys: Sequence[str], taken: float) -> dict[str, str | None]:
            raise LookupError

        with pytest.raises(LookupError):
            store.change(KEYS[:1], decide)
        put(store, {KEYS[1]: ENTRY})
        assert store.entries() == {KEYS[1]: ENTRY}

    def test_two_writers_never_bring_back_what_was_true_before(self, store: EdgeStore, other: EdgeStore) -> None:
        # Each raises the truth, and writes what it then reads of it: the store may lag, never go back.
        truth = [0]

        def raise_and_write(writer: EdgeStore) -> None:
            for _ in range(15):
                truth[0] += 1
                put_truth(writer)

        def put_truth(writer: EdgeStore) -> None:
            writer.change([KEYS[0]], lambda _keys, _taken: {KEYS[0]: str(truth[0])})

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(raise_and_write, writer) for writer in (store, other)]:
                done.result()
        assert store.entries() == {KEYS[0]: str(truth[0])}


def count_up(folder: Path) -> None:
    """A number in a file, which is raised fifty times while the store is being changed."""
    truth = folder / "truth"

    def decide(keys: Sequence[str], _taken: float) -> dict[str, str | None]:
        # Only one at a time is here, so none of the additions is lost.
        number = int(truth.read_text()) + 1
        truth.write_text(str(number))
        return {keys[0]: str(number)}

    for _ in range(50):
        FileStore(folder / "s").change([KEYS[0]], decide)
