"""Addresses of servers that vouch for users: nothing odd is asked."""

from __future__ import annotations

import pytest

from zarrlink.errors import InvalidRequest
from zarrlink.users.outside import check_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://host.example", "https://host.example"),
        ("https://host.example:8443/realms/lab/", "https://host.example:8443/realms/lab"),
        ("https://host.example/a%20b/v2.0", "https://host.example/a%20b/v2.0"),
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_servers_have_addresses(url: str, address: str) -> None:
    assert check_address(url, "WK_URL") == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host.example",
        "http://host.example",
        "http://127.0.0.1.example",
        "ftp://host.example",
        "https://",
        "https:///path",
        "https://user@host.example",
        "https://user:secret@host.example",
        "https://host.example?query",
        "https://host.example/#part",
        "https://host.example:65536",
        "https://host.example:port",
        "https://host example",
        "https://host.example/a b",
        "https://host.example\n",
        "https://host.example/\r\nX-Header: 1",
        "https://host.example/\x00",
        "https://[::1",
        "https://host\\@other.example",
        "https://-host",
        "https://h\u00f6st.example",
    ],
)
def test_what_is_no_such_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(InvalidRequest, match="WK_URL is an address such as https://host") as refused:
        check_address(url, "WK_URL")
    assert "secret" not in str(refused.value)
