"""Users of an OpenID Connect provider, which signs tokens (JWT) that say whose they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from zarrlink.errors import InvalidRequest, SignInUnavailable
from zarrlink.users.interface import OIDC, User, outside_name
from zarrlink.users.outside import check_address, fetch_json
from zarrlink.users.vouching import NOBODY, REMEMBERED_S, Vouched

# By public keys alone: with HS256 among them, whoever has the public key could sign.
_KINDS: Final = {"RS256": "RSA", "ES256": "EC"}
_LEAST_RSA_BITS: Final = 2048
_MAX_TOKEN: Final = 8192
LEEWAY_S: Final = 30
# How long keys are used, and how long more where the provider does not answer.
KEYS_FRESH_S: Final = 3600.0
KEYS_KEPT_S: Final = 86_400.0
# Anybody can make up ids of keys: one question for all of them.
PAUSE_S: Final = 30.0
_MOST_KEYS: Final = 100


class OidcUsers:
    """A `Voucher`. `claim`: what a user is named by; `email` only where the provider has verified it."""

    def __init__(
        self, issuer: str, audience: str, *, claim: str = "sub", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises InvalidRequest for an issuer whose keys could be exchanged on their way."""
        self._keys = _Keys(check_address(issuer, "the issuer of OIDC"), issuer, monotonic)
        self._issuer = issuer
        self._audience = audience
        self._claim = claim

    def ask(self, token: str) -> Vouched:
        # It is loaded where it is configured alone: the library for keys takes a while.
        import jwt

        if len(token) > _MAX_TOKEN:
            return NOBODY
        try:
            head = jwt.get_unverified_header(token)
            algorithm, name = head.get("alg"), head.get("kid")
            if not isinstance(algorithm, str) or algorithm not in _KINDS or not isinstance(name, str | None):
                return NOBODY
            key = self._keys.find(name, algorithm)
            if key is None:
                return NOBODY
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", self._claim]},
            )
            left_s = float(claims["exp"]) + LEEWAY_S - time.time()
        # The library reads JSON before it looks at a signature, and lets some of what that may hold through.
        except (jwt.InvalidTokenError, RecursionError, ValueError, ArithmeticError):
            return NOBODY
        user = outside_name(OIDC, self._named(claims))
        return NOBODY if user is None else Vouched(User(user, 0), min(left_s, REMEMBERED_S))

    def _named(self, claims: dict[str, Any]) -> object:
        found = claims[self._claim]
        if self._claim != "email":
            return found
        # Nobody else has the same address in other letters.
        return found.lower() if claims.get("email_verified") is True and isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class _KeySet:
    """Keys as the provider lists them, and when they were read, in seconds of the clock."""

    keys: tuple[dict[str, Any], ...]
    read_s: float

    def pick(self, name: str | None, algorithm: str) -> dict[str, Any] | None:
        """The key of that name; the only one where a token names none."""
        fitting = [key for key in self.keys if _fits(key, algorithm) and name in (None, key.get("kid"))]
        return fitting[0] if len(fitting) == 1 else None


class _Keys:
    """The provider's keys: read when first needed, when they are old, and when a token names one that is new."""

    def __init__(self, address: str, issuer: str, monotonic: Callable[[], float]) -> None:
        self._address = address
        self._issuer = issuer
        self._monotonic = monotonic
        self._reading = threading.Lock()
        self._set = _KeySet((), float("-inf"))
        self._tried_s = float("-inf")
        self._failure = ""

    def find(self, name: str | None, algorithm: str) -> Any:
        """A key to verify with; None where the provider has no such key. Raises SignInUnavailable."""
        found = self._found(name, algorithm, KEYS_FRESH_S)
        if found is None:
            with self._reading:
                self._read_again()
            # Rather an old key for a day than nobody signed in while the provider is away.
            found = self._found(name, algorithm, KEYS_KEPT_S)
            if found is None and self._failure:
                raise SignInUnavailable(self._failure)
        return None if found is None else _verifier(found, algorithm)

    def _found(self, name: str | None, algorithm: str, age_s: float) -> dict[str, Any] | None:
        known = self._set
        return known.pick(name, algorithm) if self._monotonic() < known.read_s + age_s else None

    def _read_again(self) -> None:
        now = self._monotonic()
        if now < self._tried_s + PAUSE_S:
            return
        self._tried_s = now
        try:
            self._set, self._failure = _KeySet(self._read(), now), ""
        except (SignInUnavailable, InvalidRequest) as error:
            self._failure = getattr(error, "reason", "") or str(error)

    def _read(self) -> tuple[dict[str, Any], ...]:
        described = _document(f"{self._address}/.well-known/openid-configuration")
        if described.get("issuer") != self._issuer or not isinstance(described.get("jwks_uri"), str):
            raise SignInUnavailable("the provider says that it is another one")
        keys = _document(check_address(described["jwks_uri"], "the address of keys")).get("keys")
        if not isinstance(keys, list):
            raise SignInUnavailable("no keys in the answer")
        return tuple(key for key in keys[:_MOST_KEYS] if isinstance(key, dict))


def _document(url: str) -> dict[str, Any]:
    document = fetch_json(url).document
    if not isinstance(document, dict):
        raise SignInUnavailable("no document in the answer")
    return document


def _fits(key: dict[str, Any], algorithm: str) -> bool:
    return (
        key.get("kty") == _KINDS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (algorithm != "ES256" or key.get("crv") == "P-256")
    )


def _verifier(key: dict[str, Any], algorithm: str) -> Any:
    """The key as the library takes it; None for one that it refuses, or that is too short."""
    import jwt

    try:
        found = jwt.PyJWK(key, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return found if algorithm != "RS256" or found.key.key_size >= _LEAST_RSA_BITS else None
