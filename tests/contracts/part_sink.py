"""What every `PartSink` keeps to."""

from __future__ import annotations

import io
import zlib
from abc import ABC, abstractmethod

import pytest

from zarrlink.errors import InvalidRequest, PartsDiffer, UploadGone
from zarrlink.exports.part_sink import PartReceipt, PartSink

# What S3 asks of every part but the last.
LEAST = 5 * 2**20
BIG, OTHER, SMALL = (bytes([number]) * LEAST for number in (1, 2, 3))
LAST = b"the end"


def put(sink: PartSink, upload: str, number: int, data: bytes) -> PartReceipt:
    return sink.put(upload, number, io.BytesIO(data), len(data), zlib.crc32(data))


class PartSinkContract(ABC):
    """Inherit it, and give a `sink` fixture, and `visible` and `remains`, which go by another door than the sink."""

    @pytest.fixture
    @abstractmethod
    def sink(self) -> PartSink:
        """A sink to a place where nothing is."""

    @abstractmethod
    def visible(self) -> bytes | None:
        """The object as a reader finds it."""

    @abstractmethod
    def remains(self) -> list[str]:
        """All that lies anywhere beside the finished object."""

    def test_parts_in_any_order_make_one_object(self, sink: PartSink) -> None:
        upload = sink.begin()
        last, second, first = (put(sink, upload, n, data) for n, data in ((3, LAST), (2, OTHER), (1, BIG)))
        sink.complete(upload, [first, second, last])
        assert self.visible() == BIG + OTHER + LAST
        assert self.remains() == []

    def test_one_part_may_be_of_any_length(self, sink: PartSink) -> None:
        upload = sink.begin()
        sink.complete(upload, [put(sink, upload, 1, LAST)])
        assert self.visible() == LAST

    def test_nothing_is_visible_before_it_is_complete(self, sink: PartSink) -> None:
        upload = sink.begin()
        put(sink, upload, 1, BIG)
        assert self.visible() is None

    def test_a_part_that_is_put_twice_is_the_same(self, sink: PartSink) -> None:
        upload = sink.begin()
        receipts = [put(sink, upload, 1, BIG) for _ in range(2)]
        assert receipts[0] == receipts[1]
        sink.complete(upload, [receipts[1], put(sink, upload, 2, LAST)])
        assert self.visible() == BIG + LAST

    def test_a_part_that_somebody_replaced_is_found_out(self, sink: PartSink) -> None:
        """A late writer, of another encoder: same number, other bytes."""
        upload = sink.begin()
        told = [put(sink, upload, 1, BIG), put(sink, upload, 2, LAST)]
        put(sink, upload, 1, OTHER)
        with pytest.raises(PartsDiffer) as found:
            sink.complete(upload, told)
        assert found.value.numbers == (1,)
        assert self.visible() is None
        sink.complete(upload, [put(sink, upload, 1, BIG), told[1]])
        assert self.visible() == BIG + LAST

    def test_a_missing_part_is_named(self, sink: PartSink) -> None:
        upload = sink.begin()
        one = put(sink, upload, 1, BIG)
        with pytest.raises(PartsDiffer) as found:
            sink.complete(upload, [one, PartReceipt(2, 7, 1, one.etag)])
        assert found.value.numbers == (2,)

    def test_completing_again_does_nothing(self, sink: PartSink) -> None:
        upload = sink.begin()
        parts = [put(sink, upload, 1, BIG), put(sink, upload, 2, LAST)]
        sink.complete(upload, parts)
        sink.complete(upload, parts)
        assert self.visible() == BIG + LAST

    def test_aborting_leaves_nothing(self, sink: PartSink) -> None:
        upload = sink.begin()
        put(sink, upload, 1, BIG)
        put(sink, upload, 2, LAST)
        sink.abort(upload)
        sink.abort(upload)
        assert self.visible() is None
        assert self.remains() == []

    def test_a_writer_after_abort_is_told_and_leaves_nothing(self, sink: PartSink) -> None:
        upload = sink.begin()
        one = put(sink, upload, 1, BIG)
        sink.abort(upload)
        with pytest.raises(UploadGone):
            put(sink, upload, 2, LAST)
        with pytest.raises(UploadGone):
            sink.complete(upload, [one])
        assert self.visible() is None
        assert self.remains() == []

    def test_a_writer_after_the_end_is_told_and_changes_nothing(self, sink: PartSink) -> None:
        upload = sink.begin()
        sink.complete(upload, [put(sink, upload, 1, LAST)])
        with pytest.raises(UploadGone):
            put(sink, upload, 1, BIG)
        assert self.visible() == LAST
        assert self.remains() == []

    def test_aborting_after_the_end_does_nothing(self, sink: PartSink) -> None:
        upload = sink.begin()
        sink.complete(upload, [put(sink, upload, 1, LAST)])
        sink.abort(upload)
        assert self.visible() == LAST

    def test_what_is_there_is_not_replaced(self, sink: PartSink) -> None:
        first, second = sink.begin(), sink.begin()
        sink.complete(first, [put(sink, first, 1, LAST)])
        late = put(sink, second, 1, BIG)
        with pytest.raises(InvalidRequest, match="already"):
            sink.complete(second, [late])
        sink.abort(second)
        assert self.visible() == LAST
        assert self.remains() == []

    def test_uploads_know_nothing_of_each_other(self, sink: PartSink) -> None:
        first, second = sink.begin(), sink.begin()
        one, two = put(sink, first, 1, BIG), put(sink, second, 1, OTHER)
        assert one.etag != two.etag
        sink.abort(second)
        sink.complete(first, [one])
        assert self.visible() == BIG

    def test_the_same_object_by_another_upload_is_there_already(self, sink: PartSink) -> None:
        first, second = sink.begin(), sink.begin()
        parts = [[put(sink, upload, 1, BIG), put(sink, upload, 2, LAST)] for upload in (first, second)]
        sink.complete(first, parts[0])
        sink.complete(second, parts[1])
        assert self.visible() == BIG + LAST
        assert self.remains() == []
