"""Where a link in a dataset may lead: to the dataset's own folder and to folders that the operator named, and never to the
server's own files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.byte_source import DATA, blob, etag, read, stat
from zarrlink.errors import CorruptFile, SourceUnavailable
from zarrlink.storage import reach
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.reach import Reach

KEY = "em/1/c/0"


@pytest.fixture(params=["kernel", "path"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it is asked where a file really lies: the kernel, or where it does not tell, the path."""
    if request.param == "path":
        monkeypatch.setattr(reach, "_DESCRIPTORS", None)


@pytest.fixture
def root(tmp_path: Path, asked: None) -> Path:
    """A dataset's folder, with neighbours."""
    for name in ("data/mouse/em/1/c/0", "data/rat/em/1/c/0", "database/em/1/c/0", "state/state.sqlite.key"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(DATA)
    return tmp_path / "data" / "mouse"


def link(root: Path, key: str, target: str | Path) -> None:
    place = root / key
    place.rename(root / "away")
    place.symlink_to(target)


def questions(source: LocalFiles, key: str) -> list[Callable[[], object]]:
    return [
        lambda: read(source, key),
        lambda: stat(source, key),
        lambda: source.look(key),
        lambda: source.opened(key).close(),
    ]


def assert_refused(source: LocalFiles, key: str, words: str) -> None:
    for question in questions(source, key) * 2:
        with pytest.raises(CorruptFile, match=words) as refused:
            question()
        assert "/" not in str(refused.value).replace("zarrlink serve", "")
        assert refused.value.key == key


LEVELS = ["em/1/c/0", "em/1/c", "em/1", "em"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_link_that_leads_out_is_refused_and_says_what_to_do(root: Path, level: str) -> None:
    link(root, level, root.parent / "rat" / level)
    assert_refused(
        LocalFiles(root), KEY, "--allow-source PREFIX or in the environment variable ZARRLINK_ALLOWED_SOURCES"
    )
    # As a neighbour whose name begins alike.
    assert_refused(LocalFiles(root, Reach([root.parent.parent / "database"])), KEY, "--allow-source")


@pytest.mark.parametrize("level", LEVELS[1:])
def test_what_is_missing_behind_a_link_that_leads_out_is_no_absence(root: Path, level: str) -> None:
    link(root, level, root.parent / "rat" / level)
    for question in (read, stat):
        with pytest.raises(CorruptFile, match="--allow-source"):
            question(LocalFiles(root), "em/1/c/1")
    assert read(LocalFiles(root, Reach([root.parent])), "em/1/c/1") is None


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_below_a_named_folder_is_followed(root: Path, level: str, *, relative: bool) -> None:
    target = root.parent / "rat" / level
    link(root, level, os.path.relpath(target, (root / level).parent) if relative else target)
    source = LocalFiles(root, Reach([root.parent]))
    assert bytes(blob(source, KEY).data) == DATA
    assert stat(source, KEY) == stat(LocalFiles(root.parent / "rat"), KEY)


def test_a_named_folder_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(root.parent / "rat")
    link(root, "em", tmp_path / "named" / "em")
    assert bytes(blob(LocalFiles(root, Reach([tmp_path / "named"])), KEY).data) == DATA


def test_the_dataset_itself_may_be_reached_by_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shown").symlink_to(root)
    assert bytes(blob(LocalFiles(tmp_path / "shown"), KEY).data) == DATA


def test_everything_may_be_named(root: Path) -> None:
    link(root, "em", root.parent / "rat/em")
    assert bytes(blob(LocalFiles(root, Reach([Path("/")])), KEY).data) == DATA
    assert bytes(blob(LocalFiles(Path("/")), str(root / "away/1/c/0").lstrip("/")).data) == DATA


@pytest.mark.parametrize("name", ["", ".key", "-wal", "-shm", ".exports/1.tif"])
@pytest.mark.parametrize("closed_by", ["its name", "a link"])
def test_files_of_the_server_are_closed_wherever_they_lie(root: Path, name: str, closed_by: str) -> None:
    secret = root.parent / f"rat/state.sqlite{name}"
    secret.parent.mkdir(exist_ok=True)
    secret.write_bytes(DATA)
    state = root.parent / "rat/state.sqlite"
    if closed_by == "a link":
        (root.parent / "linked").symlink_to(state)
        state = root.parent / "linked"
    link(root, KEY, secret)
    source = LocalFiles(root, Reach([root.parent, Path("/")], [state]))
    assert_refused(source, KEY, "the server's own files")
    # Without any link too.
    assert_refused(LocalFiles(root.parent, Reach([], [state])), f"rat/state.sqlite{name}", "the server's own files")
    assert bytes(blob(LocalFiles(root, Reach([root.parent])), KEY).data) == DATA


def test_what_only_begins_alike_is_not_closed(root: Path) -> None:
    (root / "state.sqlite2").write_bytes(DATA)
    assert bytes(blob(LocalFiles(root, Reach([], [root / "state.sqlite"])), "state.sqlite2").data) == DATA


def test_a_file_that_becomes_a_link_is_refused_from_then_on(root: Path) -> None:
    source = LocalFiles(root)
    version = etag(source, KEY)
    link(root, KEY, root.parent / "rat" / KEY)
    assert_refused(source, KEY, "--allow-source")
    (root / KEY).unlink()
    (root / "away").rename(root / KEY)
    assert bytes(blob(source, KEY).data) == DATA
    assert version.split("-")[0] == etag(source, KEY).split("-")[0]


def test_a_folder_above_that_becomes_a_link_is_refused_from_then_on(root: Path) -> None:
    source = LocalFiles(root)
    assert read(source, KEY) is not None
    root.rename(root.parent / "moved")
    root.symlink_to(root.parent / "rat")
    assert_refused(source, KEY, "--allow-source")


def test_a_link_that_is_put_there_while_a_file_is_opened_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened is looked at, not what lies at its path."""
    if reach._DESCRIPTORS is None:
        pytest.skip("the kernel is not asked")
    opened = os.open

    def swapped(path: str, flags: int) -> int:
        link(root, KEY, root.parent / "rat" / KEY)
        descriptor = opened(path, flags)
        (root / KEY).unlink()
        (root / "away").rename(root / KEY)
        return descriptor

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(CorruptFile, match="--allow-source"):
        read(LocalFiles(root), KEY)


def test_a_file_that_is_replaced_while_it_is_opened_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path ends in other words then."""
    if reach._DESCRIPTORS is None:
        pytest.skip("the kernel is not asked")
    opened = os.open

    def replaced(path: str, flags: int) -> int:
        descriptor = opened(path, flags)
        Path(path).unlink()
        return descriptor

    monkeypatch.setattr(os, "open", replaced)
    assert bytes(blob(LocalFiles(root), KEY).data) == DATA


def test_the_memory_of_what_was_checked_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_MAX_KNOWN", 3)
    known = Reach()
    for number in range(10):
        (root / str(number)).write_bytes(DATA)
        assert read(LocalFiles(root, known), str(number)) is not None
        assert len(known._known) <= 3


def test_a_link_to_what_is_no_file_is_refused(root: Path) -> None:
    link(root, KEY, "/dev/null")
    with pytest.raises((CorruptFile, SourceUnavailable)):
        read(LocalFiles(root), KEY)
