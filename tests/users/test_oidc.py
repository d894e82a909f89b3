"""Users of an OpenID Connect provider: tokens as they should be, and as somebody makes them who should not be let in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from builders.vouching import AUDIENCE, Provider
from zarrlink.errors import InvalidRequest, SignInUnavailable
from zarrlink.users.interface import User
from zarrlink.users.oidc import KEYS_FRESH_S, KEYS_KEPT_S, LEEWAY_S, PAUSE_S, OidcUsers
from zarrlink.users.vouching import NOBODY, REMEMBERED_S

ANN = User("oidc:ann", 0)


@pytest.fixture(scope="module")
def made() -> Iterator[Provider]:
    provider = Provider()
    provider.make_key("first")
    provider.make_key("other")
    provider.make_key("curve", "EC")
    provider.make_key("short", bits=1024)
    with provider.running():
        yield provider


@pytest.fixture
def provider(made: Provider) -> Provider:
    made.answers.clear()
    made.asked.clear()
    made.published[:] = ["first", "curve", "short"]
    return made


class Clock:
    """Seconds that stand still until moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(provider: Provider, clock: Clock) -> OidcUsers:
    return OidcUsers(provider.address, AUDIENCE, monotonic=clock)


def test_whoever_has_a_token_is_let_in(provider: Provider, users: OidcUsers) -> None:
    assert users.ask(provider.token("first")).user == ANN
    assert users.ask(provider.token("curve", "ES256")).user == ANN
    assert users.ask(provider.token("first", aud=["other", AUDIENCE])).user == ANN
    assert [path for path, _ in provider.asked] == ["/.well-known/openid-configuration", "/keys"]


def test_nobody_is_remembered_longer_than_the_token_lasts(provider: Provider, users: OidcUsers) -> None:
    assert users.ask(provider.token("first")).seconds == REMEMBERED_S
    assert users.ask(provider.token("first", exp=int(time.time()) + 20)).seconds <= 20 + LEEWAY_S


def test_people_are_named_by_the_claim_that_is_configured(provider: Provider) -> None:
    by_name = OidcUsers(provider.address, AUDIENCE, claim="preferred_username")
    assert by_name.ask(provider.token("first", preferred_username="ann.lee")).user == User("oidc:ann.lee", 0)
    assert by_name.ask(provider.token("first")) == NOBODY
    by_email = OidcUsers(provider.address, AUDIENCE, claim="email")
    address = {"email": "Ann@Lab.org"}
    assert by_email.ask(provider.token("first", **address, email_verified=True)).user == User("oidc:ann@lab.org", 0)
    assert by_email.ask(provider.token("first", **address)) == NOBODY
    assert by_email.ask(provider.token("first", **address, email_verified="true")) == NOBODY


@pytest.mark.parametrize("name", ["", "a b", "ann\n", "../x", "\u00e4nn", "a" * 300, "wk:ann@lab.org", "a\u0000"])
def test_what_is_no_name_is_nobody(provider: Provider, users: OidcUsers, name: str) -> None:
    assert users.ask(provider.token("first", sub=name)) == NOBODY


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": []},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": -2 * LEEWAY_S},
        {"nbf": 600},
        {"iat": 600},
    ],
)
def test_a_token_for_others_or_another_time_is_nobodys(
    provider: Provider, users: OidcUsers, claims: dict[str, Any]
) -> None:
    # Times are seconds from now: of the test, not of when it was collected.
    said = {name: int(time.time()) + value if isinstance(value, int) else value for name, value in claims.items()}
    assert users.ask(unchecked(provider, "first", said)) == NOBODY


def test_clocks_may_differ_a_little(provider: Provider, users: OidcUsers) -> None:
    now = int(time.time())
    assert users.ask(provider.token("first", exp=now - LEEWAY_S // 2)).user == ANN
    assert users.ask(provider.token("first", nbf=now + LEEWAY_S // 2)).user == ANN


def test_nobody_signs_for_the_provider(provider: Provider, users: OidcUsers) -> None:
    good = provider.token("first")
    head, body, signature = good.split(".")
    forged = part({"iss": provider.address, "aud": AUDIENCE, "sub": "root", "exp": int(time.time()) + 600})
    attacks = {
        "no signature": f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "no signature, other letters": f"{part({'alg': 'nOnE', 'kid': 'first'})}.{body}.",
        "signature cut off": f"{head}.{body}.",
        "other claims": f"{head}.{forged}.{signature}",
        "signed by a key that is not listed": provider.token("other"),
        "signed by another key under a listed name": provider.token("other", head={"kid": "first"}),
        "a key of another kind": provider.token("curve", "ES256", head={"kid": "first"}),
        "a key that is too short": unchecked(provider, "short", {}),
        "another algorithm": provider.token("first", "RS512"),
        "padding of another kind": provider.token("first", "PS256"),
        "its own key in the head": provider.token("other", head={"jwk": provider.public("other"), "kid": "other"}),
        "an address of keys in the head": provider.token("other", head={"jku": f"{provider.address}/keys", "x": 1}),
        "a name that is no text": f"{part({'alg': 'RS256', 'kid': 7})}.{body}.{signature}",
        "an algorithm that is no text": f"{part({'alg': ['RS256'], 'kid': 'first'})}.{body}.{signature}",
        "a head that must be understood": provider.token("first", head={"crit": ["x"], "x": 1}),
    }
    for name, token in attacks.items():
        assert users.ask(token) == NOBODY, name
    assert users.ask(good).user == ANN


def test_the_public_key_is_no_password(provider: Provider, users: OidcUsers) -> None:
    """HS256 with the public key as its secret, in each form that somebody could have it in."""
    body = part({"iss": provider.address, "aud": AUDIENCE, "sub": "root", "exp": int(time.time()) + 600})
    head = part({"alg": "HS256", "typ": "JWT", "kid": "first"})
    for secret in (
        provider.pem("first"),
        provider.pem("first").strip(),
        json.dumps(provider.public("first")).encode(),
        b"",
    ):
        signature = hmac.digest(secret, f"{head}.{body}".encode(), hashlib.sha256)
        assert users.ask(f"{head}.{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}") == NOBODY


def test_json_that_is_too_deep_or_too_large_is_nobodys(provider: Provider, users: OidcUsers) -> None:
    _, body, signature = provider.token("first").split(".")
    for text in ("[" * 5000, '{"alg":' * 800, f'{{"alg": "RS256", "kid": "first", "x": {"9" * 5000}}}'):
        head = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        assert users.ask(f"{head}.{body}.{signature}") == NOBODY
    for exp in (float("inf"), float("nan"), "1e400", 10**400):
        assert users.ask(unchecked(provider, "first", {"exp": exp})) == NOBODY
    soon = users.ask(unchecked(provider, "first", {"exp": str(int(time.time()) + 20)}))
    assert soon.seconds <= 20 + LEEWAY_S


@pytest.mark.parametrize(
    "token", ["", "x", "..", "a.b.c", "a.b.c.d.e", "\u00e4.b.c", f"{'a' * 9000}.b.c", "e30.e30.e30"]
)
def test_what_is_no_token_is_nobodys(users: OidcUsers, token: str) -> None:
    assert users.ask(token) == NOBODY


def test_a_new_key_is_looked_up_and_an_old_one_forgotten(provider: Provider, users: OidcUsers, clock: Clock) -> None:
    assert users.ask(provider.token("first")).user == ANN
    provider.published[:] = ["other"]
    clock.now += PAUSE_S
    assert users.ask(provider.token("other")).user == ANN
    assert users.ask(provider.token("first")) == NOBODY


def test_made_up_names_of_keys_are_one_question(provider: Provider, users: OidcUsers, clock: Clock) -> None:
    for number in range(5):
        assert users.ask(provider.token("other", head={"kid": f"made-up-{number}"})) == NOBODY
    assert len(provider.asked) == 2
    clock.now += PAUSE_S
    users.ask(provider.token("other"))
    assert len(provider.asked) == 4


def test_a_token_without_a_keys_name_is_of_the_only_one(provider: Provider, users: OidcUsers) -> None:
    provider.published[:] = ["first", "curve"]
    without = unchecked(provider, "first", {}, {"alg": "RS256"})
    assert users.ask(without).user == ANN
    provider.published[:] = ["first", "other"]
    assert OidcUsers(provider.address, AUDIENCE).ask(without) == NOBODY


def test_keys_are_used_on_for_a_day_where_the_provider_is_away(
    provider: Provider, users: OidcUsers, clock: Clock
) -> None:
    assert users.ask(provider.token("first")).user == ANN
    provider.answers["/keys"] = (500, b"")
    clock.now += KEYS_FRESH_S
    assert users.ask(provider.token("first")).user == ANN
    # Whether it has this key could not be told.
    with pytest.raises(SignInUnavailable):
        users.ask(provider.token("other"))
    clock.now += KEYS_KEPT_S
    with pytest.raises(SignInUnavailable):
        users.ask(provider.token("first"))
    provider.answers.clear()
    clock.now += PAUSE_S
    assert users.ask(provider.token("first")).user == ANN


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/keys", (500, b"")),
        ("/keys", (401, b"")),
        ("/keys", (200, b"[]")),
        ("/keys", (200, b'{"keys": 7}')),
        ("/keys", (200, b'{"keys": [' + b" " * 2**18 + b"]}")),
        ("/.well-known/openid-configuration", (404, b"")),
        ("/.well-known/openid-configuration", (200, b'{"issuer": "https://evil.example", "jwks_uri": "https://x"}')),
        ("/.well-known/openid-configuration", (200, b"<html>")),
    ],
)
def test_a_failure_is_not_nobody(provider: Provider, path: str, answer: tuple[int, bytes]) -> None:
    provider.answers[path] = answer
    with pytest.raises(SignInUnavailable):
        OidcUsers(provider.address, AUDIENCE).ask(provider.token("first"))


def test_keys_come_from_no_address_that_can_be_overheard(provider: Provider) -> None:
    described = {"issuer": provider.address, "jwks_uri": "http://keys.example/keys"}
    provider.answers["/.well-known/openid-configuration"] = (200, json.dumps(described).encode())
    with pytest.raises(SignInUnavailable):
        OidcUsers(provider.address, AUDIENCE).ask(provider.token("first"))


def test_a_provider_that_is_away_is_a_failure(made: Provider) -> None:
    away = Provider()
    with away.running() as address:
        pass
    with pytest.raises(SignInUnavailable):
        OidcUsers(address, AUDIENCE).ask(made.token("first", iss=address))
    with pytest.raises(InvalidRequest):
        OidcUsers("http://login.example", AUDIENCE)


@pytest.mark.parametrize(
    "key", [{"kty": "RSA"}, {"kty": "RSA", "n": "AQ", "e": "!"}, {"kty": "RSA", "n": 1, "e": 2}, 7]
)
def test_keys_that_are_none_open_nothing(provider: Provider, key: Any) -> None:
    listed = {**key, "kid": "first"} if isinstance(key, dict) else key
    provider.answers["/keys"] = (200, json.dumps({"keys": [listed]}).encode())
    assert OidcUsers(provider.address, AUDIENCE).ask(provider.token("first")) == NOBODY


def part(value: dict[str, Any]) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unchecked(provider: Provider, key: str, claims: dict[str, Any], head: dict[str, Any] | None = None) -> str:
    """A token that the library would not write, signed all the same."""
    now = int(time.time())
    whole = {"iss": provider.address, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600, **claims}
    given = {name: value for name, value in whole.items() if value is not None}
    text = f"{part(head or {'alg': 'RS256', 'kid': key})}.{part(given)}"
    signature = provider.keys[key].sign(text.encode(), PKCS1v15(), SHA256())
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
