"""What every `PackSink` keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from zarrlink.annotations.manifest import MANIFEST_KEY
from zarrlink.annotations.sink import PackSink


class Broken(Exception):
    """Out of what is being written."""


def failing() -> Iterator[bytes]:
    yield b"some bytes"
    raise Broken


class PackSinkContract(ABC):
    """Inherit it, and give a `sink` fixture and `visible` and `remains`, which go by another door than the sink."""

    @pytest.fixture
    @abstractmethod
    def sink(self) -> PackSink:
        """A sink to a place where nothing is."""

    @abstractmethod
    def visible(self, sink: PackSink) -> dict[str, bytes]:
        """What a reader finds of an annotation: nothing where there is no manifest."""

    @abstractmethod
    def remains(self, sink: PackSink) -> list[str]:
        """All that lies anywhere, finished or not."""

    def test_what_was_written_is_there_when_it_is_finished(self, sink: PackSink) -> None:
        assert sink.write("volumes/0/1-1-1.blocks", iter([b"one", b"", b"two"])) == 6
        assert sink.write("empty", []) == 0
        sink.write(MANIFEST_KEY, [b"{}"])
        sink.finish()

        assert self.visible(sink) == {"volumes/0/1-1-1.blocks": b"onetwo", "empty": b"", MANIFEST_KEY: b"{}"}

    def test_nothing_is_visible_before_it_is_finished(self, sink: PackSink) -> None:
        sink.write("a/b", [b"one"])
        sink.write(MANIFEST_KEY, [b"{}"])
        assert self.visible(sink) == {}

    def test_aborting_leaves_nothing(self, sink: PackSink) -> None:
        sink.write("a/b", [b"one"])
        sink.write(MANIFEST_KEY, [b"{}"])
        sink.abort()
        sink.abort()
        assert self.visible(sink) == {}
        assert self.remains(sink) == []

    def test_aborting_before_anything_was_written_does_nothing(self, sink: PackSink) -> None:
        sink.abort()
        assert self.remains(sink) == []

    def test_an_error_of_what_is_written_comes_through_and_leaves_nothing(self, sink: PackSink) -> None:
        sink.write("a", [b"one"])
        with pytest.raises(Broken):
            sink.write("b", failing())
        sink.abort()
        assert self.remains(sink) == []

    def test_aborting_after_the_end_does_nothing(self, sink: PackSink) -> None:
        sink.write("a", [b"one"])
        sink.write(MANIFEST_KEY, [b"{}"])
        sink.finish()
        sink.abort()
        assert self.visible(sink)["a"] == b"one"

    def test_a_large_object_in_many_pieces_is_whole(self, sink: PackSink) -> None:
        pieces = [bytes([number]) * 1_000_003 for number in range(20)]
        sink.write("large", pieces)
        sink.write(MANIFEST_KEY, [b"{}"])
        sink.finish()
        assert self.visible(sink)["large"] == b"".join(pieces)
