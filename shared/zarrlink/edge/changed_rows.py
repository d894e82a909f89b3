"""Which rows of a state file have changed, for `EdgeSync`: what a stream tells of a table in the cloud."""

from __future__ import annotations

from typing import Any, Final

from zarrlink.sqlite_file import SqliteFile

# What an entry of the edge's store is made of, as far as it may change.
_LINKS: Final = "SELECT id, expires_ms, revoked_ms FROM links"
_SOURCES: Final = "SELECT id, revision FROM datasets UNION ALL SELECT id, revision FROM annotations"


class ChangedRows:
    """Changes since it was last asked, at first since it was made. A hundred thousand links take some tenths of a second."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._links = self._read(_LINKS)
        self._sources = self._read(_SOURCES)

    def links(self) -> list[str]:
        """Ids of links that were made, changed, revoked or removed."""
        before, self._links = self._links, self._read(_LINKS)
        return sorted({row[0] for row in before ^ self._links})

    def sources(self) -> list[str]:
        """Ids of datasets and annotations that came, went, or have another revision."""
        before, self._sources = self._sources, self._read(_SOURCES)
        return sorted({row[0] for row in before ^ self._sources})

    def _read(self, query: str) -> set[tuple[Any, ...]]:
        return set(self._file.rows(query))
