"""JSON from strangers: whole numbers, text and objects, told apart before anything is done with them."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, TypeGuard

from zarrlink.errors import CorruptFile

Json = dict[str, Any]


def is_text(text: str) -> bool:
    """Whether it is made of letters, marks, signs and spaces: nothing that controls, hides or is half a character."""
    return all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in text)


def is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole_numbers(value: object, *, least: int, most: int, at_most: int = 32) -> tuple[int, ...] | None:
    """A list of 1 to `at_most` whole numbers from `least` to `most` as a tuple, None for anything else."""
    if not isinstance(value, list) or not 1 <= len(value) <= at_most:
        return None
    if not all(is_whole(number) and least <= number <= most for number in value):
        return None
    return tuple(value)


def numbers(value: object, *, length: int | None = None, at_most: int = 32) -> tuple[float, ...] | None:
    """A list of `length` (or 1 to `at_most`) finite numbers of moderate size as floats, None for anything else."""
    if not isinstance(value, list) or not 1 <= len(value) <= at_most or length not in (None, len(value)):
        return None
    # Compared before float(), which fails on whole numbers of hundreds of digits; NaN compares as false.
    if not all(is_number(number) and -1e100 < number < 1e100 for number in value):
        return None
    return tuple(float(number) for number in value)


def short_text(value: object, *, at_most: int = 255) -> str | None:
    """A string that may be shown, None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= at_most and is_text(value) else None


def parse_object(data: bytes, what: str, *, max_bytes: int, key: str = "") -> Json:
    """A JSON object. Raises CorruptFile saying that `what` is none."""
    if len(data) > max_bytes:
        raise CorruptFile(f"{what} is too large", key=key, expected=f"at most {max_bytes} bytes", found=len(data))
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{what} is not JSON", key=key) from error
    if not isinstance(document, dict):
        raise CorruptFile(f"{what} is not a JSON object", key=key)
    return document
