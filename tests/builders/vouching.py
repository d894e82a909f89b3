"""Servers that vouch for people, on a real socket: a WEBKNOSSOS server's one route, and an OpenID Connect provider."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from builders.loopback import served

Json = dict[str, Any]
AUDIENCE = "zarrlink"


@dataclass
class Canned:
    """An ASGI application that answers what it holds by path, and notes what it was asked."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.asked.append((scope["path"], headers))
        status, body = self.answer(scope["path"], headers)
        pairs = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body for a request."""
        del headers
        return self.answers.get(path, (404, b"{}"))

    @contextmanager
    def running(self) -> Iterator[str]:
        """Served on loopback."""
        with served(self) as address:
            self.address = address
            yield address


@dataclass
class Webknossos(Canned):
    """`people`: what `/api/user` says, by token. `failure`: what it says instead, to everybody."""

    people: dict[str, Json] = field(default_factory=dict)
    failure: tuple[int, bytes] | None = None

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        if self.failure is not None:
            return self.failure
        person = self.people.get(headers.get("x-auth-token", ""))
        return (401, b"{}") if path != "/api/user" or person is None else (200, json.dumps(person).encode())


def person(email: str = "Ann@Lab.org", **others: Any) -> Json:
    """A user as WEBKNOSSOS tells of one."""
    return {
        "id": "65a0c1f2e4b0a1b2c3d4e5f9",
        "email": email,
        "firstName": "Ann",
        "lastName": "Lee",
        "organization": "lab",
        "isActive": True,
        "isAdmin": True,
        **others,
    }


@dataclass
class Provider(Canned):
    """`published`: names of the keys that it lists."""

    keys: dict[str, Any] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)

    def make_key(self, name: str, kind: str = "RSA", bits: int = 2048) -> None:
        """A key, listed from now on."""
        self.keys[name] = (
            rsa.generate_private_key(65537, bits) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())
        )
        self.published.append(name)

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            found: Json = {"issuer": self.address, "jwks_uri": f"{self.address}/keys"}
        elif path == "/keys":
            found = {"keys": [self.public(name) for name in self.published]}
        else:
            return 404, b"{}"
        return 200, json.dumps(found).encode()

    def public(self, name: str) -> Json:
        """A key as it is listed."""
        key = self.keys[name].public_key()
        algorithm = "RS256" if isinstance(key, rsa.RSAPublicKey) else "ES256"
        listed: Json = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
        return {**listed, "kid": name, "use": "sig", "alg": algorithm}

    def pem(self, name: str) -> bytes:
        """A public key as a file."""
        pem: bytes = self.keys[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def token(self, name: str, algorithm: str = "RS256", head: Json | None = None, **claims: Any) -> str:
        """A token signed with a key; a claim of None is left out."""
        now = int(time.time())
        whole = {"iss": self.address, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600, **claims}
        given = {claim: value for claim, value in whole.items() if value is not None}
        return jwt.encode(given, self.keys[name], algorithm=algorithm, headers={"kid": name, **(head or {})})
