"""What is asked of a dataset's files to verify them, wherever they lie."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from zarrlink.errors import CorruptFile
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.reach import Reach


class Tree(Protocol):
    """A dataset's folder. Keys are relative, with `/`. Any call may raise OSError or a ZarrlinkError."""

    async def is_file(self, key: str) -> bool:
        """False where there is nothing; what may not be looked at is an error."""
        ...

    async def names(self, folder: str) -> list[str]:
        """What lies directly in a folder, sorted."""
        ...

    def opened(self, key: str) -> AbstractAsyncContextManager[BinaryIO]:
        """The bytes of a file that is there, as they are at one moment."""
        ...


class FolderTree:
    """A folder of this machine. Symbolic links are followed, as the server does and where it does."""

    def __init__(self, root: Path, reach: Reach) -> None:
        self._root = root
        self._files = LocalFiles(root, reach)

    async def is_file(self, key: str) -> bool:
        # Unlike the method of Path, whose newer versions take what may not be looked at for absent.
        try:
            return stat.S_ISREG(self._files.look(key).st_mode)
        except FileNotFoundError:
            return False

    async def names(self, folder: str) -> list[str]:
        self._files.look(folder)
        return sorted(path.name for path in (self._root / folder).iterdir())

    @asynccontextmanager
    async def opened(self, key: str) -> AsyncIterator[BinaryIO]:
        if not stat.S_ISREG(self._files.look(key).st_mode):
            raise CorruptFile("not a regular file", key=key)
        with self._files.opened(key) as stream:
            yield stream
