"""The adapters of `PartSink`, of `Scratch` and of `ExportStore`."""

from __future__ import annotations

import io
import os
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builders.moto_aws import MotoAws, moto_aws
from builders.moto_parts import multipart_as_s3
from contracts.export_store import JOB, ExportStoreContract, write
from contracts.part_sink import BIG, LAST, LEAST, OTHER, SMALL, PartSinkContract, put
from contracts.scratch import ScratchContract
from zarrlink.errors import ExportFailed, SourceUnavailable, UploadGone
from zarrlink.exports.part_files import FileParts
from zarrlink.exports.part_s3 import S3Parts
from zarrlink.exports.part_sink import PartSink
from zarrlink.exports.scratch import Scratch, ScratchBucket, ScratchFolder
from zarrlink.exports.store import ExportStore
from zarrlink.exports.store_files import FolderStore
from zarrlink.exports.store_s3 import BucketStore


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with multipart_as_s3(), moto_aws() as server:
        yield server


class TestFileParts(PartSinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> PartSink:
        self.target = tmp_path / "exports" / "one.ome.tif"
        return FileParts(self.target)

    def visible(self) -> bytes | None:
        return self.target.read_bytes() if self.target.exists() else None

    def remains(self) -> list[str]:
        return [str(path) for path in self.target.parent.rglob("*") if path != self.target]

    def test_what_is_unfinished_is_hidden(self, sink: PartSink) -> None:
        put(sink, sink.begin(), 1, LAST)
        assert all(path.name.startswith(".one.ome.tif.") for path in self.target.parent.iterdir())

    def test_a_crash_between_the_last_two_steps_is_made_good(
        self, sink: PartSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = sink.begin()
        parts = [put(sink, upload, 1, LAST)]
        with monkeypatch.context() as patched:
            patched.setattr("zarrlink.exports.part_files.shutil.rmtree", lambda *_, **__: None)
            sink.complete(upload, parts)
        assert self.remains() != []
        sink.complete(upload, parts)
        assert self.visible() == LAST
        assert self.remains() == []

    def test_a_full_disk_is_told_without_a_folder(self, sink: PartSink, monkeypatch: pytest.MonkeyPatch) -> None:
        upload = sink.begin()

        def full(*_: Any) -> None:
            raise OSError(28, os.strerror(28), str(self.target))

        monkeypatch.setattr("zarrlink.exports.part_files.os.fsync", full)
        with pytest.raises(ExportFailed, match="No space left on device") as failed:
            put(sink, upload, 1, LAST)
        assert "one.ome.tif" not in str(failed.value)
        sink.abort(upload)
        assert self.remains() == []

    def test_a_disk_that_is_full_at_the_end_has_room_again(
        self, sink: PartSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was being put together goes at once; the parts stay, so that it can be done again."""
        upload = sink.begin()
        parts = [put(sink, upload, 1, BIG), put(sink, upload, 2, LAST)]
        before = self.remains()

        def full(*_: Any) -> None:
            raise OSError(28, os.strerror(28))

        with monkeypatch.context() as patched:
            patched.setattr("zarrlink.exports.part_files.os.fsync", full)
            with pytest.raises(ExportFailed, match="No space left on device"):
                sink.complete(upload, parts)
        assert self.remains() == before
        assert self.visible() is None
        sink.complete(upload, parts)
        assert self.visible() == BIG + LAST

    def test_a_part_that_is_cut_short_is_not_taken(self, sink: PartSink) -> None:
        upload = sink.begin()
        with pytest.raises(ExportFailed):
            sink.put(upload, 1, io.BytesIO(LAST), len(LAST) + 1, 0)
        sink.abort(upload)
        assert self.remains() == []

    @pytest.mark.parametrize("copies", ["all", "a piece", "nothing", "no such function"])
    def test_what_the_kernel_does_not_copy_is_copied(
        self, sink: PartSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: str
    ) -> None:
        """Of files, as a worker's are; one of them was looked into before."""
        upload, of_kernel, pieces = sink.begin(), getattr(os, "copy_file_range", None), iter([1000])

        def copied(source: int, target: int, count: int, at: int) -> int:
            if copies == "all" and of_kernel is not None:
                return int(of_kernel(source, target, count, at))
            if copies == "a piece" and (count := next(pieces, 0)):
                return os.write(target, os.pread(source, count, at))
            raise OSError(18, os.strerror(18))

        if copies == "no such function":
            monkeypatch.delattr("zarrlink.exports.part_files.os.copy_file_range", raising=False)
        else:
            monkeypatch.setattr("zarrlink.exports.part_files.os.copy_file_range", copied, raising=False)
        parts, data = [], [os.urandom(20_000), os.urandom(50_000), LAST]
        for number, part in enumerate(data, 1):
            with (tmp_path / "spill").open("w+b") as file:
                file.write(part)
                file.seek(0)
                file.read(10)
                file.seek(0)
                parts.append(sink.put(upload, number, file, len(part), zlib.crc32(part)))
        sink.complete(upload, parts)
        assert self.visible() == b"".join(data)

    def test_many_that_complete_it_at_once_make_one_object(self, sink: PartSink) -> None:
        """Of files: moto itself is not safe for threads here."""
        upload, together = sink.begin(), threading.Barrier(8)
        parts = [put(sink, upload, number, data) for number, data in enumerate((BIG, OTHER, BIG, SMALL, LAST), 1)]

        def complete(_: int) -> None:
            together.wait(30)
            sink.complete(upload, parts)

        with ThreadPoolExecutor(together.parties) as threads:
            assert list(threads.map(complete, range(together.parties))) == [None] * together.parties
        assert self.visible() == BIG + OTHER + BIG + SMALL + LAST
        assert self.remains() == []

    def test_a_part_that_is_longer_than_was_said_is_not_taken(self, sink: PartSink) -> None:
        upload = sink.begin()
        with pytest.raises(ExportFailed, match="another length"):
            sink.put(upload, 1, io.BytesIO(LAST), len(LAST) - 1, 0)


class TestS3Parts(PartSinkContract):
    @pytest.fixture
    def sink(self, aws: MotoAws) -> PartSink:
        self.client, self.bucket = aws.client("s3"), aws.new_bucket()
        return S3Parts(self.client, self.bucket, "exports/1/one.ome.tif", owner="job 1")

    def visible(self) -> bytes | None:
        if not self.client.list_objects_v2(Bucket=self.bucket).get("Contents"):
            return None
        data: bytes = self.client.get_object(Bucket=self.bucket, Key="exports/1/one.ome.tif")["Body"].read()
        return data

    def remains(self) -> list[str]:
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        objects = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        keys = [found["Key"] for found in [*uploads, *objects]]
        return [key for key in keys if key != "exports/1/one.ome.tif"] + [found["Key"] for found in uploads]

    def test_a_part_below_the_stores_minimum_is_refused_in_the_end(self, sink: PartSink) -> None:
        """Why plans pad."""
        upload = sink.begin()
        parts = [put(sink, upload, 1, BIG[: LEAST - 1]), put(sink, upload, 2, LAST)]
        with pytest.raises(SourceUnavailable) as failed:
            sink.complete(upload, parts)
        assert failed.value.reason == "S3 answered EntityTooSmall"

    def test_the_job_is_in_the_objects_metadata(self, sink: PartSink) -> None:
        upload = sink.begin()
        sink.complete(upload, [put(sink, upload, 1, LAST)])
        head = self.client.head_object(Bucket=self.bucket, Key="exports/1/one.ome.tif")
        assert head["Metadata"] == {"zarrlink-export": "job 1"}

    def test_another_jobs_object_is_not_taken_for_ones_own(self, sink: PartSink) -> None:
        upload = sink.begin()
        parts = [put(sink, upload, 1, LAST)]
        sink.complete(upload, parts)
        other = S3Parts(self.client, self.bucket, "exports/1/one.ome.tif", owner="job 2")
        with pytest.raises(UploadGone):
            other.complete(upload, parts)

    def test_a_bucket_that_is_not_there_is_unavailable(self, aws: MotoAws) -> None:
        with pytest.raises(SourceUnavailable) as failed:
            S3Parts(aws.client("s3"), "no-such-bucket", "k", owner="").begin()
        assert "NoSuchBucket" in failed.value.reason

    def test_bytes_that_are_not_what_was_said_are_refused_at_once(self, sink: PartSink) -> None:
        with pytest.raises(SourceUnavailable) as failed:
            sink.put(sink.begin(), 1, io.BytesIO(LAST), len(LAST), 1)
        assert failed.value.reason == "S3 answered BadDigest"

    def test_every_part_carries_its_checksum(self, sink: PartSink) -> None:
        sent: list[Any] = []
        self.client.meta.events.register("before-send.s3.UploadPart", lambda request, **_: sent.append(request.headers))
        put(sink, sink.begin(), 1, b"123456789")
        # The check value of CRC-32/ISO-HDLC is 0xcbf43926.
        assert sent[-1]["x-amz-checksum-crc32"] in ("y/Q5Jg==", b"y/Q5Jg==")


class TestScratchFolder(ScratchContract):
    @pytest.fixture
    def scratch(self, tmp_path: Path) -> Scratch:
        return ScratchFolder(tmp_path / "job")


class TestScratchBucket(ScratchContract):
    @pytest.fixture
    def scratch(self, aws: MotoAws) -> Scratch:
        return ScratchBucket(aws.client("s3"), aws.new_bucket(), "scratch/job")

    def test_what_s3_refuses_one_by_one_is_not_taken_for_cleared(self, aws: MotoAws) -> None:
        """DeleteObjects answers 200 all the same."""
        client = aws.client("s3")
        scratch = ScratchBucket(client, aws.new_bucket(), "scratch/job")
        scratch.put("a", b"one")
        refused = {"Errors": [{"Key": "scratch/job/a", "Code": "InternalError", "Message": "We encountered ..."}]}
        answer = (SimpleNamespace(status_code=200), refused)
        client.meta.events.register("before-call.s3.DeleteObjects", lambda **_: answer, unique_id="refuse")
        with pytest.raises(SourceUnavailable) as failed:
            scratch.clear()
        assert failed.value.reason == "S3 answered InternalError"
        client.meta.events.unregister("before-call.s3.DeleteObjects", unique_id="refuse")
        scratch.clear()
        assert scratch.keys() == set()


class TestFolderStore(ExportStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ExportStore:
        self.folder = tmp_path / "exports"
        return FolderStore(self.folder)

    def remains(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def test_a_folder_that_is_written_to_while_it_goes_goes_as_well(
        self, store: ExportStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where it takes long: a late worker writes, and clears that away itself."""
        write(store, JOB, whole=False)
        with monkeypatch.context() as patched:
            patched.setattr("zarrlink.exports.store_files.shutil.rmtree", lambda *_, **__: None)
            store.remove(JOB.id, 1)
        write(store, JOB, whole=False)
        store.remove(JOB.id, 1)
        assert not (self.folder / JOB.id).exists()


class TestBucketStore(ExportStoreContract):
    @pytest.fixture
    def store(self, aws: MotoAws, tmp_path: Path) -> ExportStore:
        self.client, self.bucket = aws.client("s3"), aws.new_bucket()
        return BucketStore(self.client, self.bucket, tmp_path)

    def remains(self) -> list[str]:
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        objects = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return sorted(found["Key"].removeprefix("exports/") for found in [*uploads, *objects])
