"""Reading the fields of a JSON object that may hold anything."""

from __future__ import annotations

from typing import Any, TypeVar

from zarrlink.errors import CorruptFile

T = TypeVar("T")


class Fields:
    """An object of the document, whose fields are what they are asked to be or damage."""

    def __init__(self, document: object, label: str) -> None:
        if not isinstance(document, dict):
            raise damaged(label)
        self._document = document
        self._label = label

    def value(self, name: str) -> Any:
        if name not in self._document:
            raise damaged(f"{self._label}: {name} is missing")
        return self._document[name]

    def text_or_none(self, name: str) -> str | None:
        return None if self.value(name) is None else self.text(name)

    def text(self, name: str) -> str:
        return self._of_type(name, str)

    def flag(self, name: str) -> bool:
        return self._of_type(name, bool)

    def items(self, name: str) -> list[Any]:
        return self._of_type(name, list)

    def fields(self, name: str) -> Fields:
        return Fields(self.value(name), name)

    def whole(self, name: str, end: int) -> int:
        """A number from 0 to `end` - 1."""
        value = self.value(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
            raise damaged(f"{self._label}: {name}")
        return value

    def _of_type(self, name: str, kind: type[T]) -> T:
        value = self.value(name)
        if not isinstance(value, kind):
            raise damaged(f"{self._label}: {name}")
        return value


def damaged(what: str) -> CorruptFile:
    """`what`: the field, and of which object."""
    return CorruptFile(f"the description of an annotation: {what}", key="annotation.json")
