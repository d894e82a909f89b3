"""The key ring of the links, from Secrets Manager.

The secret is JSON in one of the two forms of `parse_key_ring`. CloudFormation's comes of `GenerateSecretString` with
`SecretStringTemplate: '{"current": "a"}'`, `GenerateStringKey: a` and `PasswordLength: 64`. To change the key, add
`"b"` with new random text and make it current; links made with `a` work until `"a"` is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from zarrlink.aws_errors import service_error
from zarrlink.errors import SourceUnavailable
from zarrlink.links.token import KeyRing, parse_key_ring


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
    ring = parse_key_ring(answer.get("SecretString", ""))
    if ring is None:
        raise ValueError(f"the secret {secret} is not a key ring")
    return ring
