"""A stranger's zip: what is read of it, and what is refused."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import pytest

from builders.annotation_zips import EMPTY_ZIP, zip_of
from zarrlink.annotations.safe_zip import SafeZip, ZipLimits
from zarrlink.errors import InvalidRequest

FILES = {"a.txt": b"hello" * 100, "folder/b.bin": bytes(range(256)), "empty": b""}
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]


def opened(data: bytes, **limits: int) -> SafeZip:
    return SafeZip(io.BytesIO(data), ZipLimits(**limits))


def read_all(data: bytes) -> dict[str, bytes]:
    archive = opened(data)
    return {name: archive.read(entry, 10**9) for name, entry in archive.entries.items()}


class Unseekable(io.RawIOBase):
    """As a network socket: `zipfile` then writes data descriptors."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.data += data
        return len(data)


# --- what is read ---


@pytest.mark.parametrize("method", METHODS)
def test_files_are_read_as_they_are(method: int) -> None:
    assert read_all(zip_of(FILES, method=method)) == FILES


def test_an_empty_zip_has_no_files() -> None:
    assert len(EMPTY_ZIP) == 22
    assert read_all(EMPTY_ZIP) == {}


@pytest.mark.parametrize("method", METHODS)
def test_data_descriptors_are_read(method: int) -> None:
    out = Unseekable()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    assert read_all(bytes(out.data)) == FILES


@pytest.mark.parametrize("method", METHODS)
def test_zip64_headers_are_read(method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in FILES.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                file.write(data)
    assert read_all(out.getvalue()) == FILES


def test_more_entries_than_16_bits_are_read() -> None:
    files = {str(number): b"" for number in range(70_000)}
    assert set(opened(zip_of(files, method=zipfile.ZIP_STORED)).entries) == set(files)


def test_a_comment_at_the_end_is_passed_over() -> None:
    out = io.BytesIO(zip_of(FILES))
    with zipfile.ZipFile(out, "a") as archive:
        archive.comment = b"PK\5\6 within a comment"
    assert read_all(out.getvalue()) == FILES


def test_folders_are_left_out() -> None:
    assert read_all(zip_of({"folder/": b"", "folder/a": b"1"})) == {"folder/a": b"1"}


def test_names_in_utf_8_are_read() -> None:
    assert read_all(zip_of({"Z\u00fcrich \u4e2d.zip": b"1"})) == {"Z\u00fcrich \u4e2d.zip": b"1"}


@pytest.mark.parametrize("method", METHODS)
def test_a_file_can_be_opened_and_sought_in(method: int, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    archive = opened(zip_of({"x": b"before", "inner": data}, method=method))
    with archive.open(archive.entries["inner"], tmp_path) as file:
        assert file.seek(0, io.SEEK_END) == len(data)
        file.seek(1000)
        assert file.read(10) == data[1000:1010]
        file.seek(-5, io.SEEK_END)
        assert file.read() == data[-5:]
        assert archive.read(archive.entries["x"], 10) == b"before"
    assert list(tmp_path.iterdir()) == []


def test_a_zip_within_a_stored_one_is_read_in_its_place(tmp_path: Path) -> None:
    outer = opened(zip_of({"inner.zip": zip_of(FILES)}, method=zipfile.ZIP_STORED))
    with outer.open(outer.entries["inner.zip"], tmp_path / "not there") as file:
        inner = SafeZip(file, ZipLimits())
        assert inner.read(inner.entries["a.txt"], 1000) == FILES["a.txt"]


# --- names and kinds ---


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/passwd",
        "//host/share",
        "C:/evil",
        "c:evil",
        "a\\..\\evil",
        "./a",
        "a//b",
        "a/./b",
        "..",
        "a\nb",
        "a\x7fb",
        "\u202eevil",
        "x" * 2000,
    ],
    ids=repr,
)
def test_a_name_that_is_no_simple_relative_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="the zip"):
        opened(zip_of({"good": b"", name: b"evil"}))


def raw(data: bytes, old: bytes, new: bytes) -> bytes:
    """A zip with the same bytes replaced wherever they stand (the name, in both of its headers)."""
    assert data.count(old) >= 2
    return data.replace(old, new)


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="control characters"):
        opened(raw(zip_of({"good": b""}), b"good", b"g\0od"))


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        opened(raw(zip_of({"g\u00fcod": b""}), "\u00fc".encode(), b"\xff\xff"))


@pytest.mark.parametrize(
    "names",
    [("same", "same"), ("same", "SAME"), ("stra\u00dfe", "STRASSE"), ("e\u0301", "\u00e9"), ("a", "a/")],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_entries_of_one_name_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="two entries"):
        opened(zip_of([(name, b"") for name in names]))


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o060644, 0o140644], ids=oct)
def test_a_link_or_a_device_is_refused(mode: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InvalidRequest, match="'link' is a link or a device"):
        opened(out.getvalue())


def test_a_folder_with_bytes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="folder with bytes"):
        opened(zip_of({"folder/": b"1"}))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused_by_name(method: int) -> None:
    with pytest.raises(InvalidRequest, match=f"'a.txt' is packed by method {method}"):
        opened(zip_of(FILES, method=method))


CENTRAL = re.compile(re.escape(b"PK\1\2"))


def central(data: bytes, number: int = 0) -> int:
    return [match.start() for match in CENTRAL.finditer(data)][number]


def wounded(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(("bits", "named"), [(1, "encrypted"), (0x2000, "encrypted"), (0x20, "patch")])
def test_encrypted_entries_are_refused(bits: int, named: str) -> None:
    data = zip_of(FILES)
    with pytest.raises(InvalidRequest, match=named):
        opened(wounded(data, central(data) + 8, struct.pack("<H", bits)))


# --- sizes and places ---

ZIP = zip_of({"first": b"hello" * 1000, "second": b"world" * 1000})
STORED = zip_of({"first": b"hello" * 1000, "second": b"world" * 1000}, method=zipfile.ZIP_STORED)


@pytest.mark.parametrize("data", [ZIP, STORED], ids=["deflated", "stored"])
@pytest.mark.parametrize("field", [16, 20, 24], ids=["checksum", "packed", "unpacked"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_directory_that_contradicts_the_file_is_refused(data: bytes, field: int, change: int) -> None:
    at = central(data) + field
    value = struct.unpack_from("<I", data, at)[0]
    with pytest.raises(InvalidRequest, match="first"):
        read_all(wounded(data, at, struct.pack("<I", value + change)))


@pytest.mark.parametrize("field", [6, 8, 14, 18, 22, 26, 30], ids=str)
def test_a_local_header_that_contradicts_the_directory_is_refused(field: int) -> None:
    with pytest.raises(InvalidRequest, match="first"):
        read_all(wounded(ZIP, field, bytes([ZIP[field] ^ 1])))


@pytest.mark.parametrize("data", [ZIP, STORED], ids=["deflated", "stored"])
def test_both_headers_lying_alike_are_refused(data: bytes) -> None:
    """More bytes than declared, although directory and local header agree."""
    lie = struct.pack("<I", 4999)
    data = wounded(wounded(data, 22, lie), central(data) + 24, lie)
    with pytest.raises(InvalidRequest):
        read_all(data)


def test_bytes_that_do_not_match_their_checksum_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="'first' in the upload is damaged"):
        read_all(wounded(STORED, 100, b"X"))


def test_files_that_share_bytes_are_refused() -> None:
    """The bomb of Fifield: many entries of the directory name one kernel of deflated zeros."""
    kernel = zip_of({f"{number:05}": bytes(100_000) for number in range(2)})
    second = struct.unpack_from("<I", kernel, central(kernel, 1) + 42)[0]
    assert second
    for offset in (0, 10, second - 1):
        with pytest.raises(InvalidRequest, match=r"overlaps|outside"):
            opened(wounded(kernel, central(kernel, 1) + 42, struct.pack("<I", offset)))


def test_a_file_quoted_within_another_is_refused() -> None:
    """A local header inside the bytes of the entry before it."""
    inner = zip_of({"inner": b"x" * 50}, method=zipfile.ZIP_STORED)
    data = zip_of({"outer": inner, "inner": b"x" * 50}, method=zipfile.ZIP_STORED)
    with pytest.raises(InvalidRequest, match="overlaps"):
        opened(wounded(data, central(data, 2) + 42, struct.pack("<I", 35)))


def test_room_that_only_the_local_header_takes_is_refused() -> None:
    """Its extra field is longer than the directory shows, so its bytes would be those of the next entry."""
    data = wounded(STORED, 28, struct.pack("<H", 20))
    with pytest.raises(InvalidRequest, match="first"):
        read_all(data)


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"entries": 1}, "2 entries; at most 1"),
        ({"directory_bytes": 50}, "directory of more than 50"),
        ({"unpacked_bytes": 9999}, "more than the 9999 bytes"),
    ],
)
def test_limits_are_kept(limits: dict[str, int], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        opened(ZIP, **limits)
    opened(ZIP, entries=2, unpacked_bytes=10_000)


def test_a_file_above_its_limit_is_not_read() -> None:
    archive = opened(ZIP)
    with pytest.raises(InvalidRequest, match="'first' in the upload has 5000 bytes; at most 4999"):
        archive.read(archive.entries["first"], 4999)


# --- memory ---


def open_all(data: bytes, scratch: Path) -> None:
    archive = opened(data, entries=1000)
    for entry in archive.entries.values():
        archive.open(entry, scratch).close()


def peak_of(data: bytes, tmp_path: Path) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest):
            open_all(data, tmp_path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_that_declares_little_unpacks_no_more_than_a_piece(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(bytes(2**28)) + packer.flush()
    header = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(packed), 100, 1, 0) + b"b"
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(packed), 100, 1, 0, 0, 0, 0, 0, 0) + b"b"
    at = len(header) + len(packed)
    data = header + packed + entry + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), at, 0)
    assert peak_of(data, tmp_path) < 2**21
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_announces_millions_is_refused_before_it_is_read(tmp_path: Path) -> None:
    data = zip_of({str(number): b"" for number in range(5000)}, method=zipfile.ZIP_STORED)
    assert peak_of(data, tmp_path) < 2**18


# --- cut short, and not a zip ---


@pytest.mark.parametrize("length", range(0, len(ZIP), 7))
def test_a_zip_that_was_cut_short_is_refused(length: int) -> None:
    with pytest.raises(InvalidRequest):
        read_all(ZIP[:length])


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", bytes(100), b"PK\5\6" + bytes(17), b"PK\5\6" + b"\xff" * 18, b"x" + ZIP],
    ids=lambda d: repr(d[:6]),
)
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        opened(data)


def test_one_of_several_parts_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="several parts"):
        opened(wounded(ZIP, len(ZIP) - 18, b"\1"))


@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_number_of_entries_is_refused(change: int) -> None:
    count = struct.pack("<2H", 2 + change, 2 + change)
    with pytest.raises(InvalidRequest, match=r"entries than it says|cut short"):
        opened(wounded(ZIP, len(ZIP) - 14, count))


class Failing(io.BytesIO):
    """A file that ends earlier the second time it is read."""

    def cut(self) -> None:
        self.truncate(len(self.getvalue()) // 4)


def test_an_upload_that_shrinks_is_refused() -> None:
    file = Failing(STORED)
    archive = SafeZip(file, ZipLimits())
    file.cut()
    with pytest.raises(InvalidRequest):
        archive.read(archive.entries["first"], 5000)


def test_a_file_stays_open_for_others() -> None:
    file: BinaryIO = io.BytesIO(STORED)
    archive = SafeZip(file, ZipLimits())
    first, second = (archive.pieces(entry) for entry in archive.entries.values())
    assert next(first)[:5] + next(second)[:5] == b"helloworld"
