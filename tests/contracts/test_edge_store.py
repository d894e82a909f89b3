"""The adapters of `EdgeStore`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from builders.ministack import MiniStack, ministack
from builders.processes import run_together
from contracts.edge_store import ENTRY, KEYS, EdgeStoreContract, count_up, put
from zarrlink.edge.files import FileStore
from zarrlink.edge.kvs import BATCH, ROOM_BYTES, KeyValueStore
from zarrlink.edge.memory import MemoryStore
from zarrlink.edge.store import EdgeStore
from zarrlink.errors import SourceUnavailable


class TestMemoryStore(EdgeStoreContract):
    @pytest.fixture
    def store(self) -> EdgeStore:
        return MemoryStore()

    @pytest.fixture
    def other(self, store: EdgeStore) -> EdgeStore:
        return store


# --- files ---


class TestFileStore(EdgeStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> EdgeStore:
        return FileStore(tmp_path / "edge" / "store")

    @pytest.fixture
    def other(self, store: EdgeStore, tmp_path: Path) -> EdgeStore:
        return FileStore(tmp_path / "edge" / "store")


def test_files_have_names_that_nginx_looks_for(tmp_path: Path) -> None:
    put(FileStore(tmp_path / "s"), {KEYS[0]: ENTRY, "k:a": "eA=="})
    assert (tmp_path / "s" / "l_link-00000000000").read_text() == ENTRY
    assert (tmp_path / "s" / "k_a").read_text() == "eA=="


def test_only_the_owner_can_read_keys(tmp_path: Path) -> None:
    put(FileStore(tmp_path / "s"), {"k:a": "eA=="})
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "s").iterdir()} == {0o600}


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "s")
    (tmp_path / "s" / "notes.txt").write_text("mine")
    (tmp_path / "s" / ".draft").write_text("of a process that was killed")
    assert store.entries() == {}
    put(store, {KEYS[0]: ENTRY})
    assert store.entries() == {KEYS[0]: ENTRY}
    assert (tmp_path / "s" / "notes.txt").read_text() == "mine"


def test_what_somebody_writes_into_a_file_is_seen(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "s")
    put(store, {KEYS[0]: "aaaa", KEYS[1]: ENTRY})
    path = tmp_path / "s" / "l_link-00000000000"
    long_ago = path.stat().st_atime - 3600
    for text in ("bbbb", "cccc", "dddd"):
        assert store.entries() is not None
        path.write_text(text)
        os.utime(path, (long_ago, long_ago))
        assert store.entries() == {KEYS[0]: text, KEYS[1]: ENTRY}
    path.write_bytes(b"\xff\xfe")
    assert store.entries()[KEYS[0]] not in (None, "dddd")


@pytest.mark.parametrize("key", ["l:../x", "x:a", "l:", "", "l:a/b", "k:a.b"])
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    store = FileStore(tmp_path / "s")
    with pytest.raises(ValueError, match="URL-safe"):
        put(store, {key: "x"})
    assert {path.name for path in tmp_path.rglob("*")} <= {"s", ".lock"}


def test_a_folder_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceUnavailable):
        FileStore(tmp_path / "file")
    store = FileStore(tmp_path / "s")
    (tmp_path / "s").rmdir()
    (tmp_path / "s").write_bytes(b"")
    with pytest.raises(SourceUnavailable):
        store.entries()
    with pytest.raises(SourceUnavailable):
        put(store, {KEYS[0]: ENTRY})


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "s")
    (tmp_path / "s").rmdir()
    assert store.entries() == {}
    (tmp_path / "s").rmdir()
    put(store, {KEYS[0]: ENTRY})
    assert store.entries() == {KEYS[0]: ENTRY}


def test_processes_take_turns(tmp_path: Path) -> None:
    (tmp_path / "truth").write_text("0")
    run_together(count_up, [(tmp_path,)] * 3)
    assert FileStore(tmp_path / "s").entries() == {KEYS[0]: "150"}


# --- CloudFront's KeyValueStore ---


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with ministack(tmp_path_factory.mktemp("ministack")) as running:
        yield running


@pytest.fixture
def arn(aws: MiniStack) -> str:
    return aws.new_store()


def no_pause(_: float) -> None:
    """Nobody waits."""


class TestKeyValueStore(EdgeStoreContract):
    @pytest.fixture
    def store(self, aws: MiniStack, arn: str) -> EdgeStore:
        return KeyValueStore(aws.client("cloudfront-keyvaluestore"), arn, no_pause)

    @pytest.fixture
    def other(self, aws: MiniStack, arn: str, store: EdgeStore) -> EdgeStore:
        return KeyValueStore(aws.client("cloudfront-keyvaluestore"), arn, no_pause)


def watched(client: Any) -> list[tuple[str, dict[str, Any]]]:
    """What a client asks for from now on."""
    asked: list[tuple[str, dict[str, Any]]] = []
    client.meta.events.register(
        "provide-client-params.*", lambda params, model, **_: asked.append((model.name, dict(params)))
    )
    return asked


def test_requests_are_signed_for_every_region(aws: MiniStack, arn: str) -> None:
    client = aws.client("cloudfront-keyvaluestore")
    heads: list[dict[str, bytes]] = []
    client.meta.events.register("before-send.*", lambda request, **_: heads.append(dict(request.headers)))
    KeyValueStore(client, arn).entries()
    assert heads
    for head in heads:
        assert head["Authorization"].startswith(b"AWS4-ECDSA-P256-SHA256 ")
        assert head["X-Amz-Region-Set"] == b"*"


def test_a_request_has_at_most_fifty_keys(aws: MiniStack, arn: str) -> None:
    client = aws.client("cloudfront-keyvaluestore")
    asked = watched(client)
    store = KeyValueStore(client, arn, no_pause)
    put(store, {**dict.fromkeys(KEYS, ENTRY), **dict.fromkeys(KEYS[:3], None)})
    put(store, dict.fromkeys(KEYS, None))
    sizes = [len(params["Puts"]) + len(params["Deletes"]) for name, params in asked if name == "UpdateKeys"]
    assert max(sizes) <= BATCH == 50
    # One look at the version for each call: every write tells the next one.
    assert [name for name, _ in asked].count("DescribeKeyValueStore") == 2
    assert store.entries() == {}


def test_nothing_to_change_writes_nothing(aws: MiniStack, arn: str) -> None:
    client = aws.client("cloudfront-keyvaluestore")
    asked = watched(client)
    store = KeyValueStore(client, arn, no_pause)
    put(store, {KEYS[0]: None})
    store.change(KEYS, lambda _keys, _taken: {})
    assert "UpdateKeys" not in {name for name, _ in asked}


def test_all_pages_are_listed(aws: MiniStack, arn: str) -> None:
    client = aws.client("cloudfront-keyvaluestore")
    store = KeyValueStore(client, arn, no_pause)
    put(store, dict.fromkeys(KEYS, ENTRY))
    asked = watched(client)
    assert store.entries() == dict.fromkeys(KEYS, ENTRY)
    assert len(asked) == 3


def test_how_full_it_is_is_told(aws: MiniStack, arn: str) -> None:
    store = KeyValueStore(aws.client("cloudfront-keyvaluestore"), arn, no_pause)
    told: list[float] = []

    def decide(keys: Sequence[str], taken: float) -> dict[str, str | None]:
        told.append(taken)
        return dict.fromkeys(keys, ENTRY)

    store.change(KEYS, decide)
    taken = [number * (len(KEYS[0]) + len(ENTRY)) / ROOM_BYTES for number in (0, 50, 100)]
    assert told == pytest.approx(taken)


def test_a_writer_that_comes_in_between_is_seen_before_anything_is_written(aws: MiniStack, arn: str) -> None:
    ours, theirs = (KeyValueStore(aws.client("cloudfront-keyvaluestore"), arn, no_pause) for _ in range(2))
    put(ours, {KEYS[0]: ENTRY})
    seen: list[str] = []

    def decide(keys: Sequence[str], taken: float) -> dict[str, str | None]:
        seen.append(ours.entries()[KEYS[0]])
        if len(seen) == 1:
            put(theirs, {KEYS[0]: "-"})
        return {KEYS[0]: seen[-1]}

    ours.change([KEYS[0]], decide)
    assert seen == [ENTRY, "-"]
    assert ours.entries() == {KEYS[0]: "-"}


def test_a_store_that_others_write_to_over_and_over_is_given_up(aws: MiniStack, arn: str) -> None:
    pauses: list[float] = []
    ours = KeyValueStore(aws.client("cloudfront-keyvaluestore"), arn, pauses.append)
    theirs = KeyValueStore(aws.client("cloudfront-keyvaluestore"), arn, no_pause)
    numbers = iter(range(100))

    def decide(keys: Sequence[str], taken: float) -> dict[str, str | None]:
        put(theirs, {KEYS[1]: str(next(numbers))})
        return dict.fromkeys(keys, ENTRY)

    with pytest.raises(SourceUnavailable) as refused:
        ours.change([KEYS[0]], decide)
    assert "over and over" in refused.value.reason
    assert KEYS[0] not in ours.entries()
    assert 5 < len(pauses) < 20
    assert max(pauses) <= 2


def test_many_writers_lose_nothing(aws: MiniStack, arn: str) -> None:
    clients = [aws.client("cloudfront-keyvaluestore") for _ in range(2)]
    asked = [watched(client) for client in clients]

    def write(writer: int) -> None:
        # With real pauses, which is what lets both come through.
        store = KeyValueStore(clients[writer], arn)
        for number in range(writer, 60, 2):
            put(store, {KEYS[number]: f"{writer}"})

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, writer) for writer in range(2)]:
            done.result()
    held = KeyValueStore(clients[0], arn).entries()
    assert held == {KEYS[number]: f"{number % 2}" for number in range(60)}
    # Some were refused and tried again: there are more writes than there were changes.
    assert sum(name == "UpdateKeys" for list_ in asked for name, _ in list_) > 60


def test_a_store_that_is_not_there_is_a_failure(aws: MiniStack, arn: str) -> None:
    store = KeyValueStore(aws.client("cloudfront-keyvaluestore"), arn + "x", no_pause)
    with pytest.raises(SourceUnavailable, match="cannot be reached") as refused:
        store.entries()
    assert "ResourceNotFoundException" in refused.value.reason
    with pytest.raises(SourceUnavailable):
        put(store, {KEYS[0]: None})


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "ThrottlingException"), (402, "ServiceQuotaExceededException"), (403, "AccessDeniedException")],
)
def test_what_the_store_refuses_is_a_failure_that_names_it(aws: MiniStack, arn: str, status: int, code: str) -> None:
    client = aws.client("cloudfront-keyvaluestore", attempts=1)
    store = KeyValueStore(client, arn, no_pause)

    def refuse(request: Any, **_: Any) -> AWSResponse:
        body = SimpleNamespace(stream=lambda **_: iter([b'{"Message": "no"}']))
        return AWSResponse(request.url, status, {"x-amzn-ErrorType": code}, body)

    # MiniStack never says so.
    client.meta.events.register("before-send.cloudfront-keyvaluestore.UpdateKeys", refuse)
    with pytest.raises(SourceUnavailable) as refused:
        put(store, {KEYS[0]: ENTRY})
    assert refused.value.reason == f"the KeyValueStore of CloudFront answered {code}"
    assert store.entries() == {}
