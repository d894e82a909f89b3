"""Tokens: the secret part of a link's address."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import stat
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.processes import run_together
from links.key_jobs import create_rings
from zarrlink.errors import LinkGone
from zarrlink.links.model import new_link_id
from zarrlink.links.token import KeyRing, load_or_create_keys

URL_SAFE = string.ascii_letters + string.digits + "_-"
RING = KeyRing({"a": b"\x01" * 32, "b": b"\x02" * 32}, "a")
LINK_ID = "AbCdEfGh01234_-z"
link_ids = st.text(URL_SAFE, min_size=16, max_size=16)


def reason(ring: KeyRing, token: str) -> str:
    with pytest.raises(LinkGone) as gone:
        ring.link_id(token)
    assert str(gone.value) == "this link is not valid (any more)"
    return gone.value.reason


@given(link_ids)
def test_a_token_round_trips(link_id: str) -> None:
    assert RING.link_id(RING.token(link_id)) == link_id


@given(link_ids)
def test_a_token_is_33_characters_that_an_address_can_hold(link_id: str) -> None:
    assert re.fullmatch(r"a[A-Za-z0-9_-]{32}", RING.token(link_id), re.ASCII)


def test_a_token_is_key_id_link_id_and_96_bits_of_hmac_sha_256_over_both() -> None:
    mac = hmac.new(b"\x01" * 32, ("a" + LINK_ID).encode(), hashlib.sha256).digest()[:12]
    assert RING.token(LINK_ID) == "a" + LINK_ID + base64.urlsafe_b64encode(mac).decode()


def test_every_new_link_id_has_a_token() -> None:
    for _ in range(200):
        link_id = new_link_id()
        assert RING.link_id(RING.token(link_id)) == link_id


@pytest.mark.parametrize("at", range(33))
def test_any_single_other_character_is_refused(at: int) -> None:
    token = RING.token(LINK_ID)
    for other in URL_SAFE + "=+/. %\0":
        if other != token[at]:
            reason(RING, token[:at] + other + token[at + 1 :])


@given(st.text(max_size=40) | st.text(URL_SAFE, min_size=33, max_size=33))
def test_whatever_we_did_not_make_is_refused(token: str) -> None:
    reason(RING, token)


@pytest.mark.parametrize(
    "token", ["", "a", RING.token(LINK_ID)[:-1], RING.token(LINK_ID) + "a", " " + RING.token(LINK_ID)[1:] + " "]
)
def test_a_token_of_another_length_is_malformed(token: str) -> None:
    assert reason(RING, token) == "malformed token"


@pytest.mark.parametrize("other", ["\u00e9", "\u0661", "\ud800", "\U0001f511"])
@pytest.mark.parametrize("at", [0, 5, 32])
def test_a_token_that_is_not_ascii_is_malformed(at: int, other: str) -> None:
    token = RING.token(LINK_ID)
    assert reason(RING, token[:at] + other + token[at + 1 :]) == "malformed token"


def test_a_key_id_that_is_not_known_is_refused() -> None:
    assert reason(RING, "z" + RING.token(LINK_ID)[1:]) == "unknown key id"


def test_a_token_of_one_key_is_not_one_of_another() -> None:
    assert reason(RING, "b" + RING.token(LINK_ID)[1:]) == "forged token"


# --- keys ---


def test_older_tokens_outlive_a_change_of_key() -> None:
    old = KeyRing({"a": b"\x01" * 32}, "a")
    rotated = KeyRing({"a": b"\x01" * 32, "b": b"\x02" * 32}, "b")
    assert rotated.token(LINK_ID) != old.token(LINK_ID)
    assert rotated.link_id(old.token(LINK_ID)) == rotated.link_id(rotated.token(LINK_ID)) == LINK_ID


def test_removing_a_key_ends_its_links() -> None:
    assert reason(KeyRing({"b": b"\x02" * 32}, "b"), RING.token(LINK_ID)) == "unknown key id"


@pytest.mark.parametrize("link_id", ["", "a" * 15, "a" * 17, "a" * 15 + "/", "a" * 15 + "\u00e9", "a" * 16 + "\n"])
def test_only_link_ids_have_tokens(link_id: str) -> None:
    with pytest.raises(ValueError, match="link id"):
        RING.token(link_id)


@pytest.mark.parametrize(
    ("keys", "current"),
    [
        ({}, "a"),
        ({"a": b"k" * 32}, "b"),
        ({"a": b"k" * 31}, "a"),
        ({"a": b"k" * 32, "b": b""}, "a"),
        ({"ab": b"k" * 32}, "ab"),
        ({"": b"k" * 32}, ""),
        ({"-": b"k" * 32}, "-"),
        ({"\u00e9": b"k" * 32}, "\u00e9"),
    ],
)
def test_a_ring_has_short_ids_and_long_keys(keys: dict[str, bytes], current: str) -> None:
    with pytest.raises(ValueError, match="key ring"):
        KeyRing(keys, current)


def test_a_ring_does_not_show_its_keys() -> None:
    assert "\\x01" not in repr(RING)
    assert base64.b64encode(b"\x01" * 32).decode() not in repr(RING)


# --- the key file ---


def write_ring(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def ring_json(keys: object, current: object = "a") -> str:
    return json.dumps({"current": current, "keys": keys})


GOOD_KEY = base64.b64encode(b"k" * 32).decode()


def test_a_key_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.key"
    load_or_create_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.key"]


def test_the_keys_of_a_file_stay(tmp_path: Path) -> None:
    ring = load_or_create_keys(tmp_path / "state.key")
    assert load_or_create_keys(tmp_path / "state.key") == ring
    assert load_or_create_keys(tmp_path / "other.key") != ring


def test_a_made_key_has_256_bits(tmp_path: Path) -> None:
    ring = load_or_create_keys(tmp_path / "state.key")
    assert [len(key) for key in ring.keys.values()] == [32]


def test_two_processes_that_create_at_once_get_the_same_ring(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.key" for number in range(50)]
    one, other = run_together(create_rings, [(paths,)] * 2)
    assert one == other == [load_or_create_keys(path) for path in paths]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601, 0o777], ids=oct)
def test_a_key_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_ring(tmp_path / "state.key", ring_json({"a": GOOD_KEY}), mode)
    with pytest.raises(ValueError, match="chmod 600"):
        load_or_create_keys(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_its_owner_is_read(tmp_path: Path, mode: int) -> None:
    path = write_ring(tmp_path / "state.key", ring_json({"a": GOOD_KEY}), mode)
    assert load_or_create_keys(path) == KeyRing({"a": b"k" * 32}, "a")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        b"\xff\xfe",
        '{"current": "a"}',
        '{"keys": {}}',
        ring_json({}),
        ring_json([]),
        ring_json(None),
        ring_json("a"),
        ring_json({"a": None}),
        ring_json({"a": 7}),
        ring_json({"a": "not base64"}),
        ring_json({"a": base64.b64encode(b"short").decode()}),
        ring_json({"a": "\u00e9" * 44}),
        ring_json({"a": GOOD_KEY}, "b"),
        ring_json({"a": GOOD_KEY}, None),
        ring_json({"a": GOOD_KEY}, ["a"]),
        ring_json({"ab": GOOD_KEY}, "ab"),
    ],
    ids=lambda content: str(content)[:40],
)
def test_a_file_that_is_no_key_ring_is_refused_and_left_alone(tmp_path: Path, content: str | bytes) -> None:
    path = write_ring(tmp_path / "state.key", content)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is not a key ring"):
        load_or_create_keys(path)
    assert path.read_bytes() == before


def test_a_refusal_does_not_show_the_keys(tmp_path: Path) -> None:
    path = write_ring(tmp_path / "state.key", ring_json({"a": GOOD_KEY, "bc": GOOD_KEY}))
    with pytest.raises(ValueError, match="is not a key ring") as refused:
        load_or_create_keys(path)
    assert GOOD_KEY not in str(refused.value)
