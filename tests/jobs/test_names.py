"""What results are called."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zarrlink.exports.store import IDS_SUFFIX
from zarrlink.jobs.names import annotation_file_name, export_file_name


def test_an_export_is_called_as_webknossos_does() -> None:
    assert export_file_name(1_763_029_320_000, "sample_ds", "color", "ome_tiff") == (
        "2025-11-13_10-22__sample_ds__color.ome.tif"
    )


def test_the_year_is_that_of_the_calendar() -> None:
    """The last days of 2024 are in the first week of 2025."""
    assert export_file_name(1_735_603_200_000, "a", "b", "tiff_stack") == "2024-12-31_00-00__a__b.zip"


def test_names_are_made_safe() -> None:
    name = export_file_name(0, "../../etc/passwd", 'C:\\a?b*<c>|"d"\r\n', "tiff_stack")
    assert name == "1970-01-01_00-00___.._etc_passwd__C__a_b__c___d___.zip"


@given(st.text(max_size=400), st.text(max_size=400))
def test_any_names_make_a_file_name(dataset: str, layer: str) -> None:
    for name in (
        export_file_name(0, dataset, layer, "ome_tiff"),
        annotation_file_name(dataset, has_volumes=True),
        annotation_file_name(layer, has_volumes=False),
    ):
        assert len((name + IDS_SUFFIX).encode()) <= 255
        assert name.isprintable()
        assert not set(name) & set('/\\:*?"<>|')
        assert name.strip(" .") == name
