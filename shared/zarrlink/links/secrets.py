"""The key ring of the links, and what the CDN proves itself with, from Secrets Manager.

The key ring's secret is JSON in one of the two forms of `parse_key_ring`. CloudFormation's comes of `GenerateSecretString` with
`SecretStringTemplate: '{"current": "a"}'`, `GenerateStringKey: a` and `PasswordLength: 64`. To change the key, add
`"b"` with new random text and make it current; links made with `a` work until `"a"` is taken out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from zarrlink.aws_errors import service_error
from zarrlink.errors import SourceUnavailable
from zarrlink.links.token import KeyRing, parse_key_ring

EDGE_SECRET_LENGTH: Final = 32
RING_S: Final = 300.0
RETRY_S: Final = 15.0
LOG: Final = logging.getLogger(__name__)


class SecretsClient(Protocol):
    """What is asked of botocore's client."""

    def get_secret_value(self, **request: Any) -> Mapping[str, Any]: ...


class SecretKeys:
    """The key ring in a secret, read when it is first needed, and again every `RING_S`, or for a key that it does not know: so
    one that is taken out ends its links within that, and a new one's are known at once. While it cannot be read anew, the ring
    that is known goes on."""

    def __init__(self, client: SecretsClient, secret: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._secret = secret
        self._monotonic = monotonic
        self._ring: KeyRing | None = None
        self._tried_s = float("-inf")
        self._due_s = float("-inf")

    def token(self, link_id: str) -> str:
        """Raises as `read`."""
        return self.read().token(link_id)

    def link_id(self, token: str) -> str:
        """Raises LinkGone, and as `read`."""
        ring = self.read()
        # Anybody can make up such a token, so not at each.
        if token[:1] not in ring.keys and self._monotonic() >= self._tried_s + RETRY_S:
            ring = self._read_anew()
        return ring.link_id(token)

    def read(self) -> KeyRing:
        """The ring as it is known, or anew. Raises as `read_key_ring`."""
        if self._ring is None or self._monotonic() >= self._due_s:
            return self._read_anew()
        return self._ring

    def _read_anew(self) -> KeyRing:
        self._tried_s = self._monotonic()
        try:
            self._ring = read_key_ring(self._client, self._secret)
            self._due_s = self._tried_s + RING_S
        except (SourceUnavailable, ValueError) as error:
            if self._ring is None:
                raise
            LOG.error("the keys of links cannot be read anew, and those of before go on: %s", error)  # noqa: TRY400 (no cause: it may hold the secret)
            self._due_s = self._tried_s + RETRY_S
        return self._ring


class SecretEdge:
    """What the CDN sends, from a secret that holds it as plain text. See `zarrlink.http.edge_door.EdgeSecrets`."""

    def __init__(self, client: SecretsClient, secret: str) -> None:
        self._client = client
        self._secret = secret

    def current(self) -> bytes:
        found = _read_text(self._client, self._secret, "AWSCURRENT")
        if found is None or len(found) < EDGE_SECRET_LENGTH:
            raise ValueError(f"the secret {self._secret} is too short to tell the CDN from others")
        return found.encode()

    def previous(self) -> bytes | None:
        found = _read_text(self._client, self._secret, "AWSPREVIOUS")
        return None if found is None or len(found) < EDGE_SECRET_LENGTH else found.encode()


def read_key_ring(client: SecretsClient, secret: str) -> KeyRing:
    """The key ring in a secret, given by name or ARN.

    Raises ValueError where it is none, SourceUnavailable where it cannot be read. Both name the secret and tell
    nothing of its content; so they have no cause, which would.
    """
    ring = parse_key_ring(_read_text(client, secret, "AWSCURRENT") or "")
    if ring is None:
        raise ValueError(f"the secret {secret} is not a key ring")
    return ring


def _read_text(client: SecretsClient, secret: str, stage: str) -> str | None:
    """The text of a version; None where there is none at that stage. Raises SourceUnavailable."""
    try:
        answer = client.get_secret_value(SecretId=secret, VersionStage=stage)
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        if code == "ResourceNotFoundException" and stage != "AWSCURRENT":
            return None
        raise SourceUnavailable(f"secret {secret}: {code}") from error
    text: str = answer.get("SecretString", "")
    return text
