"""What a function reads from its environment."""

import pytest

from zarrlink.settings import ApiSettings, StreamSettings

NEEDED = {"LINKS_TABLE": "l", "CATALOGUE_TABLE": "c", "ANNOTATIONS_TABLE": "a", "LINK_KEYS_SECRET": "s"}


def test_what_is_not_set_has_its_default() -> None:
    assert StreamSettings.from_environment(NEEDED) == StreamSettings("l", "c", "a", "s", 300, True, False)


def test_what_is_set_counts() -> None:
    given = {**NEEDED, "LINK_VIEWER_MAX_AGE": "0", "HEAD_WITH_BODY": "false", "CHECK_BLOCKS": "True", "OTHER": "x"}
    assert StreamSettings.from_environment(given) == StreamSettings("l", "c", "a", "s", 0, False, True)
    api = {**NEEDED, "USERS_TABLE": "u", "PUBLIC_URL": "", "ANNOTATION_BUCKET": "b", "ANNOTATION_IMPORT": "f"}
    api |= {"JOBS_TABLE": "j", "EXPORT_BUCKET": "e", "EXPORT_MACHINE": "m"}
    assert ApiSettings.from_environment(api).public_url == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("LINKS_TABLE", ""), ("LINK_VIEWER_MAX_AGE", "soon"), ("LINK_VIEWER_MAX_AGE", "-1"), ("HEAD_WITH_BODY", "yes")],
)
def test_what_does_not_fit_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        StreamSettings.from_environment({**NEEDED, name: value})
