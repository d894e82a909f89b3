"""What the emulator's answer to an invocation means in Lambda's own words."""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

_OK: Final = 200
# An exception's description, as Lambda's Python writes it; an answer of a function's own has other fields.
_FIELDS: Final = frozenset({"errorType", "errorMessage", "requestId", "stackTrace"})
_NEEDED: Final = frozenset({"errorType", "errorMessage"})
# A description is small; what is larger is an answer.
_LONGEST: Final = 1_000_000
_TIMED_OUT: Final = re.compile(rb"Task timed out after ([0-9.]+) seconds", re.ASCII)


class Outcome(NamedTuple):
    """`payload`: what Lambda hands to whoever called. `failed`: it says what the function raised, or what ended it."""

    payload: bytes
    failed: bool


def outcome_of(status: int, body: bytes) -> Outcome:
    """The emulator says most failures with status 200, and a timeout as plain text."""
    found = _TIMED_OUT.match(body.strip())
    if found is not None:
        description = {"errorType": "Sandbox.Timedout", "errorMessage": body.decode("utf-8", "replace").strip()}
        return Outcome(json.dumps(description).encode(), failed=True)
    return Outcome(body, failed=status != _OK or _describes_an_error(body))


def _describes_an_error(body: bytes) -> bool:
    if len(body) > _LONGEST or b'"errorType"' not in body:
        return False
    try:
        value = json.loads(body)
    except ValueError:
        return False
    return isinstance(value, dict) and _NEEDED <= value.keys() <= _FIELDS
