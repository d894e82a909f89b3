"""A link that leads nowhere looks like a file that was never written, and is none."""

import asyncio
from pathlib import Path

import pytest

from zarrlink.byte_range import ByteRange
from zarrlink.errors import SourceUnavailable
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.reach import Reach


@pytest.mark.parametrize("link", ["a/1/z0/y0/x0.wkw", "a/1/z0/y0", "a/1/z0", "a/1", "a"])
def test_a_link_whose_target_is_gone_is_not_absence(tmp_path: Path, link: str) -> None:
    place = tmp_path / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(tmp_path / "unmounted" / "disk")
    source = LocalFiles(tmp_path)
    with pytest.raises(SourceUnavailable):
        asyncio.run(source.read("a/1/z0/y0/x0.wkw", ByteRange(0, 16)))
    with pytest.raises(SourceUnavailable):
        asyncio.run(source.stat("a/1/z0/y0/x0.wkw"))


def test_a_dataset_folder_that_is_gone_is_not_absence(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        asyncio.run(LocalFiles(tmp_path / "gone").read("a/1/z0/y0/x0.wkw"))


@pytest.mark.parametrize("folder", [".", "a", "a/1", "a/1/z0/y0"])
def test_a_missing_file_below_real_folders_is_absence(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    assert asyncio.run(LocalFiles(tmp_path).read("a/1/z0/y0/x0.wkw")) is None


def test_links_that_lead_to_a_named_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x0.wkw").write_bytes(b"data")
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "y0").symlink_to(tmp_path / "elsewhere")
    source = LocalFiles(tmp_path / "dataset", Reach([tmp_path / "elsewhere"]))
    blob = asyncio.run(source.read("y0/x0.wkw"))
    assert blob is not None
    assert blob.data == b"data"
    assert asyncio.run(source.read("y0/x1.wkw")) is None
