"""What every `ExportStore` keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from contracts.part_sink import BIG, LAST, put
from zarrlink.exports.store import IDS_SUFFIX, ExportStore
from zarrlink.jobs.model import Job

JOB = Job("d" * 24, "ann", "ome_tiff", "mouse", "", "{}", "box.ome.tif", "", 1)
LATER = replace(JOB, attempt=2)


def write(store: ExportStore, job: Job, *, whole: bool) -> None:
    """All that an attempt can leave: finished files, uploads that were begun in vain, scratch."""
    for suffix in ("", IDS_SUFFIX):
        sink = store.sink(job, suffix)
        if whole:
            upload = sink.begin()
            sink.complete(upload, [put(sink, upload, 1, LAST)])
        for _ in range(2):
            put(sink, sink.begin(), 1, BIG)
    store.scratch(job).put("results/000000", b"one")


class ExportStoreContract(ABC):
    """Inherit it, and give a `store` fixture, and `remains`, which goes by another door than the store."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> ExportStore:
        """One in which nothing is."""

    @abstractmethod
    def remains(self) -> list[str]:
        """All that lies anywhere: JOB/ATTEMPT/FILE of what is finished, whatever of the rest."""

    @pytest.mark.parametrize("name", ["box.ome.tif", ".hidden.tif", ".box.partial"])
    def test_tidying_leaves_what_is_finished(self, store: ExportStore, name: str) -> None:
        write(store, replace(JOB, file_name=name), whole=True)
        for _ in range(2):
            store.tidy(JOB.id, 1)
            assert self.remains() == [f"{JOB.id}/1/{name}", f"{JOB.id}/1/{name}.ids.csv"]

    def test_removing_leaves_nothing(self, store: ExportStore) -> None:
        write(store, JOB, whole=True)
        for _ in range(2):
            store.remove(JOB.id, 1)
            assert self.remains() == []
        write(store, JOB, whole=False)
        store.remove(JOB.id, 1)
        assert self.remains() == []

    def test_attempts_know_nothing_of_each_other(self, store: ExportStore) -> None:
        write(store, LATER, whole=True)
        before = self.remains()
        store.tidy(JOB.id, 1)
        write(store, JOB, whole=True)
        store.remove(JOB.id, 1)
        assert self.remains() == before
