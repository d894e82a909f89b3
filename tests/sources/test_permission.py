"""Which addresses may be read: those below a prefix that the operator named, and no trick leads elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.errors import InvalidRequest, UnsupportedLayer
from zarrlink.sources.permission import AllowedSources, parse_address

PREFIXES = [
    "/data/volumes",
    "s3://bucket/public",
    "https://Example.org/em",
    "http://host:8080",
    "gs://b_1",
    "file:///mnt",
]
ALLOWED = AllowedSources.of(PREFIXES)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("/data/volumes", "/data/volumes"),
        ("/data//volumes/a b/1/", "/data/volumes/a b/1"),
        ("file:///data/volumes/x", "/data/volumes/x"),
        ("file://localhost/data/volumes/x%20y", "/data/volumes/x y"),
        ("/mnt/x", "/mnt/x"),
        ("s3://bucket/public/a%20b", "s3://bucket/public/a%20b"),
        ("https://example.org/em/1", "https://example.org/em/1"),
        ("HTTPS://EXAMPLE.org:443/em", "https://example.org/em"),
        ("https://example.org/%65m/1", "https://example.org/em/1"),
        ("http://host:8080/any/thing", "http://host:8080/any/thing"),
        ("gs://b_1/x", "gs://b_1/x"),
    ],
)
def test_what_lies_below_a_prefix_may_be_read(address: str, text: str) -> None:
    assert ALLOWED.check(address).text == text


@pytest.mark.parametrize(
    "address",
    [
        "/data",
        "/data/volumes2",
        "/data/volumes/../secret",
        "/data/volumes/./x",
        "/etc/passwd",
        "data/volumes/x",
        "",
        "file://other/data/volumes",
        "file:///data/volumes/%2e%2e/secret",
        "file:///data/volumes/%2e%2e%2fsecret",
        "file:///data/volumes/%252e%252e/secret",
        "/data/volumes/%2e%2e/secret",
        "/data/volumes/x\\..\\secret",
        "file:///data/volumes/%9d",
        "/data/volumes/x\0",
        "/data/volumes/\u202e",
        "s3://bucket/public2",
        "s3://bucket2/public",
        "s3://bucket:80/public",
        "s3://key:secret@bucket/public",
        "s3:///public",
        "s3://bucket/other/../public/../x",
        "https://example.org.evil/em",
        "https://evil/https://example.org/em",
        "https://example.org@evil/em",
        "https://example.org:8443/em",
        "https://example.org:444444/em",
        "https://example.org:x/em",
        "https://example.org/em?x=1",
        "https://example.org/em#x",
        "https://example.org\\@evil/em",
        "https://example.org./em",
        "https://ex\u00e4mple.org/em",
        "http://example.org/em",
        "http://host/any",
        "http://host:80800/any",
        "http://127.0.0.1/latest",
        "http://[::1]/x",
        "ftp://host/x",
        "javascript:alert(1)",
        "/data/volumes/" + "x" * 5000,
    ],
)
def test_what_does_not_may_not(address: str) -> None:
    with pytest.raises(UnsupportedLayer) as caught:
        ALLOWED.check(address)
    assert len(str(caught.value)) < 500


def test_by_default_nothing_may_be_read() -> None:
    for address in ("/", "/x", "s3://bucket/x", "https://host/x"):
        with pytest.raises(UnsupportedLayer):
            AllowedSources().check(address)


@pytest.mark.parametrize(
    ("address", "shown"),
    [("/home/ann/secret", "a folder of the server"), ("https://host.example/secret", "https://host.example")],
)
def test_the_sentence_names_host_and_how_to_allow_it_but_no_path(address: str, shown: str) -> None:
    with pytest.raises(UnsupportedLayer) as caught:
        AllowedSources().check(address)
    text = str(caught.value)
    assert shown in text
    assert "--allow-source" in text
    assert "ZARRLINK_ALLOWED_SOURCES" in text
    assert "secret" not in text


def test_the_variable_holds_prefixes_apart_by_spaces() -> None:
    assert (
        AllowedSources.from_text(" /data \n s3://bucket/x ").prefixes
        == AllowedSources.of(["/data", "s3://bucket/x"]).prefixes
    )
    assert AllowedSources.from_text("") == AllowedSources()


@pytest.mark.parametrize("prefix", ["data", "s3://", "https://user@host/", "/a/../b"])
def test_a_prefix_that_is_no_address_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidRequest):
        AllowedSources.of([prefix])


def test_the_root_allows_everything_of_its_kind() -> None:
    assert AllowedSources.of(["/"]).check("/etc").text == "/etc"


parts = st.sampled_from(
    ["..", ".", "", "data", "volumes", "%2e%2e", "%2f", "%", "\\", "a", "@", ":", "%5c", "%252e", "?", "#"]
)
starts = st.sampled_from(
    ["/data/volumes/", "file:///data/volumes/", "https://example.org/em/", "s3://bucket/public/", "https://"]
)


@given(starts, st.lists(parts, max_size=8).map("/".join))
def test_whatever_may_be_read_has_no_way_out(start: str, rest: str) -> None:
    try:
        found = ALLOWED.check(start + rest)
    except UnsupportedLayer:
        return
    assert not {"", ".", ".."} & set(found.segments)
    assert any(
        found.text == prefix.text or found.text.startswith(prefix.text.rstrip("/") + "/") for prefix in ALLOWED.prefixes
    )


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_an_invalid_request(text: str) -> None:
    for prefix in ("", "/", "http://", "https://h/", "s3://b/"):
        try:
            parse_address(prefix + text)
        except InvalidRequest as error:
            sentence = str(error)
            assert len(sentence) < 200
