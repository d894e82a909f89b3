"""The adapters of `PackSink`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.moto_aws import MotoAws, moto_aws
from contracts.pack_sink import Broken, PackSinkContract, failing
from zarrlink.annotations.manifest import MANIFEST_KEY
from zarrlink.annotations.s3_sink import FIRST_PART_BYTES, S3Sink
from zarrlink.annotations.sink import FolderSink, MemorySink, PackSink
from zarrlink.errors import InvalidRequest, SourceUnavailable


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestMemorySink(PackSinkContract):
    @pytest.fixture
    def sink(self) -> PackSink:
        return MemorySink()

    def visible(self, sink: PackSink) -> dict[str, bytes]:
        assert isinstance(sink, MemorySink)
        return sink.objects

    def remains(self, sink: PackSink) -> list[str]:
        assert isinstance(sink, MemorySink)
        return [*sink.objects, *sink._written]


class TestFolderSink(PackSinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> PackSink:
        self.folder = tmp_path / "imports"
        self.folder.mkdir()
        return FolderSink(self.folder / "one")

    def visible(self, sink: PackSink) -> dict[str, bytes]:
        return tree(self.folder / "one")

    def remains(self, sink: PackSink) -> list[str]:
        return [str(path) for path in self.folder.rglob("*")]

    def test_a_folder_that_is_there_is_not_replaced(self, sink: PackSink) -> None:
        (self.folder / "one").mkdir()
        sink.write("a", [b"one"])
        with pytest.raises(InvalidRequest, match="already"):
            sink.finish()
        sink.abort()
        assert self.remains(sink) == [str(self.folder / "one")]

    def test_what_is_unfinished_is_hidden(self, sink: PackSink) -> None:
        sink.write("a", [b"one"])
        assert [path.name[:5] for path in self.folder.iterdir()] == [".one."]

    def test_a_folder_that_cannot_be_written_is_no_fault_of_the_upload(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        sink = FolderSink(tmp_path / "file" / "one")
        with pytest.raises(SourceUnavailable):
            sink.write("a", [b"one"])
        sink.abort()


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as server:
        yield server


class TestS3Sink(PackSinkContract):
    @pytest.fixture
    def sink(self, aws: MotoAws) -> PackSink:
        self.client, self.bucket = aws.client("s3"), aws.new_bucket()
        return S3Sink(self.client, self.bucket, "annotations/1")

    def visible(self, sink: PackSink) -> dict[str, bytes]:
        objects = {
            key.removeprefix("annotations/1/"): self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            for key in self.objects()
        }
        return objects if MANIFEST_KEY in objects else {}

    def remains(self, sink: PackSink) -> list[str]:
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [*self.objects(), *(upload["Key"] for upload in uploads)]

    def objects(self) -> list[str]:
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def test_a_multipart_upload_that_fails_is_given_up(self, sink: PackSink) -> None:
        def pieces() -> Iterator[bytes]:
            yield bytes(FIRST_PART_BYTES)
            assert self.remains(sink) == ["annotations/1/large"]
            yield from failing()

        with pytest.raises(Broken):
            sink.write("large", pieces())
        assert self.remains(sink) == []

    def test_a_bucket_that_is_not_there_is_unavailable(self, aws: MotoAws) -> None:
        with pytest.raises(SourceUnavailable) as failed:
            S3Sink(aws.client("s3"), "no-such-bucket", "p").write("a", [b"one"])
        assert "NoSuchBucket" in failed.value.reason
