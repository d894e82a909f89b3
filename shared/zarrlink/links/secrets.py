"""The key ring of the links, from Secrets Manager.

The secret is JSON in one of two forms:

    {"current": "b", "keys": {"a": "<base64>", "b": "<base64>"}}    as in a key file on one machine
    {"current": "a", "a": "<text of at least 32 characters>"}       as CloudFormation makes it

In the second the key is the text's UTF-8 bytes. It comes of `GenerateSecretString` with
`SecretStringTemplate: '{"current": "a"}'`, `GenerateStringKey: a` and `PasswordLength: 64`. To change the key, add
`"b"` with new random text and make it current; links made with `a` work until `"a"` is taken out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Protocol

from zarrlink.aws_errors import service_error
from zarrlink.errors import SourceUnavailable
from zarrlink.links.token import KeyRing


class SecretsClient(Protocol):
    """What is asked of botocore's client."""

    def get_secret_value(self, **request: Any) -> Mapping[str, Any]: ...


def read_key_ring(client: SecretsClient, secret: str) -> KeyRing:
    """The key ring in a secret, given by name or ARN.

    Raises ValueError where it is none, SourceUnavailable where it cannot be read. Both name the secret and tell
    nothing of its content; so they have no cause, which would.
    """
    try:
        answer = client.get_secret_value(SecretId=secret)
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        raise SourceUnavailable(f"secret {secret}: {code}") from error
    ring = _parse(answer.get("SecretString", ""))
    if ring is None:
        raise ValueError(f"the secret {secret} is not a key ring")
    return ring


def _parse(text: str) -> KeyRing | None:
    try:
        parts = json.loads(text)
        if "keys" in parts:
            keys = {key_id: base64.b64decode(key, validate=True) for key_id, key in parts["keys"].items()}
        else:
            keys = {key_id: key.encode() for key_id, key in parts.items() if key_id != "current"}
        return KeyRing(keys, parts["current"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
