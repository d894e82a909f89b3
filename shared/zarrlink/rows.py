"""Values out of rows of tables, whichever the table is kept in.

A damaged row harms nothing but what it is about: reading it is a failure of its own, and lists go on without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from types import UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from zarrlink.errors import DamagedRow, InvalidRequest, RowKind

R = TypeVar("R")
T = TypeVar("T")

LOG: Final = logging.getLogger("zarrlink")
# 9999-12-31: what JavaScript and ISO dates can still write.
MAX_TIME_MS: Final = 253_402_300_799_999
# What a row that nothing can be made of is noticed by.
_DAMAGED: Final = (KeyError, TypeError, ValueError, AttributeError, InvalidRequest)
_MOST_TOLD: Final = 100


def reads(kind: RowKind, row_id: Callable[[Any], object]) -> Callable[[Callable[[R], T]], Callable[[R], T]]:
    """For a function that makes a dataclass of a row: it raises DamagedRow where that cannot be done, or gives `checked` no
    whole one. `row_id`: by what the row is told of."""

    def reading(parse: Callable[[R], T]) -> Callable[[R], T]:
        @wraps(parse)
        def read(row: R) -> T:
            try:
                return checked(parse(row))
            except _DAMAGED:
                # Without its cause, whose words may be those of the row.
                raise DamagedRow(kind, str(row_id(row))) from None

        return read

    return reading


def whole(read: Callable[[R], T], rows: Iterable[R]) -> list[T]:
    """What can be read of rows, in their order. Of the others the log tells."""
    found: list[T] = []
    damaged: list[DamagedRow] = []
    for row in rows:
        try:
            found.append(read(row))
        except DamagedRow as error:
            damaged.append(error)
    if damaged:
        tell(damaged)
    return found


def whole_or_none(read: Callable[[R], T | None], row: R) -> T | None:
    """What can be read, for what is told beside something else."""
    found = whole(read, (row,))
    return found[0] if found else None


def tell(damaged: Iterable[DamagedRow]) -> None:
    """Have the log say which rows something goes on without; people at a terminal see it as well."""
    names = [f"{error.row_kind} {error.row_id}" for error in damaged]
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    LOG.error("damaged rows are left out: %s%s", ", ".join(names[:_MOST_TOLD]), more)


def checked(record: T) -> T:
    """The dataclass, if its fields are what they are declared as: it takes anything itself, and whoever sorts or shows it
    would fail. Raises TypeError, ValueError."""
    declared: Any = type(record)
    for name, kind in _fields(declared).items():
        value = getattr(record, name)
        if not _is(value, kind):
            raise TypeError(name)
        if name.endswith("_ms") and value is not None and not 0 <= value <= MAX_TIME_MS:
            raise ValueError(name)
    return record


def flag(value: object, no: int | None) -> bool:
    """A truth value as rows keep it: 1, or `no` where it is not so. Raises ValueError for all else: a flag that somebody
    wrote by hand is neither."""
    if value not in (1, no):
        raise ValueError("no flag")
    return value == 1


@cache
def _fields(record: type[Any]) -> dict[str, Any]:
    return get_type_hints(record)


def _is(value: object, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (UnionType, Union):
        return any(_is(value, one) for one in inner)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(all(map(_is, pair, inner)) for pair in value.items())
    if origin is tuple:
        kinds = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is Ellipsis else inner
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_is, value, kinds))
    if isinstance(value, str):
        # JSON can write halves of characters, which no answer can.
        value.encode()
    # Not a truth value for a number.
    return type(value) is kind
