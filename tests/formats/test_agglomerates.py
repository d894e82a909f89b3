"""Where a mapping may lie, from the layer's description or from habit; never outside the dataset."""

import pytest

from zarrlink.errors import InvalidRequest, UnsupportedLayer
from zarrlink.formats.agglomerates import (
    Attachment,
    MappingFile,
    applies_in_webknossos,
    candidates,
    check_mapping_name,
    parse_attachments,
)
from zarrlink.geometry import Mag


def test_a_described_mapping_lies_where_it_is_described_and_nowhere_else() -> None:
    listed = [Attachment("a", "./seg/agglomerates/x.hdf5", "hdf5"), Attachment("b", "other/b", "zarr3")]
    assert candidates("seg", "a", listed) == (MappingFile("hdf5", "seg/agglomerates/x.hdf5"),)
    assert candidates("seg", "b", listed) == (MappingFile("zarr3", "other/b"),)


def test_a_mapping_that_is_not_described_lies_beside_the_mags() -> None:
    assert candidates("seg", "view 50", []) == (
        MappingFile("hdf5", "seg/agglomerates/view 50.hdf5"),
        MappingFile("zarr3", "seg/agglomerates/view 50"),
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "\ud800", "x" * 201])
def test_a_name_is_one_segment_of_a_path(name: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be the name of a mapping"):
        check_mapping_name(name)
    with pytest.raises(InvalidRequest):
        candidates("seg", name, [])


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "s3://b/x", "file:///x", "", ".", "..", "//x", "a\0b"])
def test_a_described_mapping_outside_the_dataset_is_refused(path: str) -> None:
    with pytest.raises(UnsupportedLayer, match="outside the dataset's folder"):
        candidates("seg", "a", [Attachment("a", path, "hdf5")])


def test_other_formats_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedLayer, match="layer 'seg': its mapping 'a' has the format 'pcg'"):
        candidates("seg", "a", [Attachment("a", "x", "pcg")])


def test_attachments_as_webknossos_writes_them() -> None:
    parsed = parse_attachments(
        {
            "meshes": [{"name": "m", "path": "x", "dataFormat": "hdf5"}],
            "agglomerates": [
                {"name": "v5", "path": "./seg/agglomerates/v5", "dataFormat": "zarr3", "credentialId": "1"},
                {"name": "broken"},
                {"name": 1, "path": "x", "dataFormat": "hdf5"},
                None,
            ],
        }
    )
    assert parsed == (Attachment("v5", "./seg/agglomerates/v5", "zarr3"),)


@pytest.mark.parametrize("nothing", [None, [], 1, {}, {"agglomerates": None}, {"agglomerates": {}}])
def test_no_attachments(nothing: object) -> None:
    assert parse_attachments(nothing) == ()


def test_webknossos_itself_maps_up_to_mag_16() -> None:
    assert applies_in_webknossos(Mag(16, 16, 4))
    assert not applies_in_webknossos(Mag(32, 16, 4))
