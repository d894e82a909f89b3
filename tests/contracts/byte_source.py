"""What every `ByteSource` keeps to."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import pytest

from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged
from zarrlink.storage.interface import Blob, ByteSource, Stat

DATA = bytes(range(100))
KEY = "em/1/z0/y0/x0.wkw"


def read(source: ByteSource, key: str, part: ByteRange | None = None, *, if_match: str | None = None) -> Blob | None:
    return asyncio.run(source.read(key, part, if_match=if_match))


def stat(source: ByteSource, key: str) -> Stat | None:
    return asyncio.run(source.stat(key))


def blob(source: ByteSource, key: str = KEY, part: ByteRange | None = None, *, if_match: str | None = None) -> Blob:
    found = read(source, key, part, if_match=if_match)
    assert found is not None
    return found


def etag(source: ByteSource, key: str = KEY) -> str:
    found = stat(source, key)
    assert found is not None
    return found.etag


class ByteSourceContract(ABC):
    """Inherit it, and give a `source` fixture with `put` and `remove`, which go by another door than the source."""

    @pytest.fixture
    @abstractmethod
    def source(self) -> ByteSource:
        """An empty source."""

    @abstractmethod
    def put(self, source: ByteSource, key: str, data: bytes) -> None:
        """Place an object, or replace it."""

    @abstractmethod
    def remove(self, source: ByteSource, key: str) -> None:
        """Take an object away."""

    def test_it_has_a_name_that_tells_it_apart(self, source: ByteSource) -> None:
        assert source.name

    def test_it_says_how_long_absence_is_trusted(self, source: ByteSource) -> None:
        assert source.absence_trust_s >= 0

    def test_a_whole_object_is_read(self, source: ByteSource) -> None:
        self.put(source, KEY, DATA)
        found = blob(source)
        assert (bytes(found.data), found.object_bytes) == (DATA, 100)

    def test_an_object_without_bytes_is_there(self, source: ByteSource) -> None:
        self.put(source, KEY, b"")
        found = blob(source)
        assert (bytes(found.data), found.object_bytes) == (b"", 0)
        assert stat(source, KEY) == Stat(found.etag, 0)

    @pytest.mark.parametrize(
        ("start", "end"),
        [(0, 1), (0, 100), (10, 20), (99, 100), pytest.param(90, 110, id="past-the-end"), (0, 10**12)],
    )
    def test_a_part_is_read_as_far_as_there_are_bytes(self, source: ByteSource, start: int, end: int) -> None:
        self.put(source, KEY, DATA)
        found = blob(source, part=ByteRange(start, end))
        assert (bytes(found.data), found.object_bytes) == (DATA[start:end], 100)

    @pytest.mark.parametrize("start", [100, 101, 10**12])
    def test_a_part_behind_the_end_cannot_be_satisfied(self, source: ByteSource, start: int) -> None:
        self.put(source, KEY, DATA)
        with pytest.raises(RangeNotSatisfiable) as refused:
            read(source, KEY, ByteRange(start, start + 1))
        assert refused.value.length == 100

    def test_no_part_of_an_object_without_bytes_can_be_satisfied(self, source: ByteSource) -> None:
        self.put(source, KEY, b"")
        with pytest.raises(RangeNotSatisfiable):
            read(source, KEY, ByteRange(0, 1))

    @pytest.mark.parametrize("key", ["none", "em/1/z0/y0/x1.wkw", "em/2/z0/y0/x0.wkw", "em/1/z0/y0/x0.wk"])
    def test_what_is_not_there_is_none(self, source: ByteSource, key: str) -> None:
        self.put(source, KEY, DATA)
        assert read(source, key) is None
        assert read(source, key, ByteRange(0, 1)) is None
        assert stat(source, key) is None

    def test_what_is_not_there_is_none_under_a_condition_too(self, source: ByteSource) -> None:
        assert read(source, KEY, if_match="an etag of old") is None

    def test_an_object_that_was_taken_away_is_none(self, source: ByteSource) -> None:
        self.put(source, KEY, DATA)
        assert blob(source)
        self.remove(source, KEY)
        assert read(source, KEY) is None
        assert stat(source, KEY) is None

    def test_reading_and_asking_give_the_same_etag_and_length(self, source: ByteSource) -> None:
        self.put(source, KEY, DATA)
        whole, part = blob(source), blob(source, part=ByteRange(5, 7))
        assert stat(source, KEY) == Stat(whole.etag, 100) == Stat(part.etag, part.object_bytes)

    def test_an_etag_stays_while_the_object_does(self, source: ByteSource) -> None:
        self.put(source, KEY, DATA)
        assert blob(source).etag == blob(source).etag

    def test_an_etag_changes_with_the_bytes(self, source: ByteSource) -> None:
        self.put(source, KEY, DATA)
        before = etag(source)
        self.put(source, KEY, DATA[::-1])
        assert etag(source) != before

    def test_a_guarded_read_gives_the_object_that_was_planned_with(self, source: ByteSource) -> None:
        self.put(source, KEY, DATA)
        assert bytes(blob(source, part=ByteRange(3, 5), if_match=etag(source)).data) == DATA[3:5]

    @pytest.mark.parametrize(
        "part", [None, ByteRange(0, 5), ByteRange(100, 101)], ids=["whole", "part", "behind-the-end"]
    )
    def test_a_guarded_read_of_another_object_is_refused(self, source: ByteSource, part: ByteRange | None) -> None:
        self.put(source, KEY, DATA)
        before = etag(source)
        self.put(source, KEY, DATA[::-1])
        with pytest.raises(SourceChanged) as refused:
            read(source, KEY, part, if_match=before)
        assert refused.value.key == KEY

    def test_objects_do_not_mix(self, source: ByteSource) -> None:
        self.put(source, "a", b"one")
        self.put(source, "b", b"two")
        assert (bytes(blob(source, "a").data), bytes(blob(source, "b").data)) == (b"one", b"two")

    @pytest.mark.parametrize("key", ["Schnitt 7/z0.wkw", "\u00e9\u4e2d/1", "100%/a", "a+b/c&d", "..a/b..", ".hidden"])
    def test_a_key_is_taken_as_it_is(self, source: ByteSource, key: str) -> None:
        self.put(source, key, DATA)
        assert bytes(blob(source, key).data) == DATA

    def test_many_reads_at_once_give_each_its_own(self, source: ByteSource) -> None:
        self.put(source, KEY, DATA)

        async def all_of_them() -> list[Blob | None]:
            return await asyncio.gather(*(source.read(KEY, ByteRange(n, n + 1)) for n in range(100)))

        assert [bytes(found.data) for found in asyncio.run(all_of_them()) if found] == [bytes([n]) for n in range(100)]
