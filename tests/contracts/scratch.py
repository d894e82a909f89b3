"""What every `Scratch` keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from zarrlink.exports.scratch import Scratch
from zarrlink.exports.spill import Spill


class ScratchContract(ABC):
    """Inherit it, and give a `scratch` fixture."""

    @pytest.fixture
    @abstractmethod
    def scratch(self) -> Scratch:
        """One in which nothing is."""

    def test_what_was_put_is_there_until_it_is_cleared(self, scratch: Scratch) -> None:
        scratch.put("a/1", b"one")
        scratch.put("a/2", b"two")
        scratch.put("b", b"")
        assert (scratch.get("a/1"), scratch.get("b")) == (b"one", b"")
        assert scratch.keys() == {"a/1", "a/2", "b"}
        assert scratch.keys("a/") == {"a/1", "a/2"}
        scratch.clear()
        scratch.clear()
        assert scratch.keys() == set()
        assert scratch.get("a/1") is None

    def test_what_was_never_put_is_none(self, scratch: Scratch) -> None:
        assert scratch.get("a/1") is None
        assert scratch.get("a/1", 5, 7) is None
        assert scratch.keys() == set()

    def test_the_last_writer_wins(self, scratch: Scratch) -> None:
        scratch.put("a", b"one")
        scratch.put("a", b"another")
        assert scratch.get("a") == b"another"

    def test_a_range_of_what_was_spilled(self, scratch: Scratch, tmp_path: Path) -> None:
        with Spill(tmp_path) as spill:
            spill.write(b"0123456789")
            scratch.put("a", spill)
        assert scratch.get("a") == b"0123456789"
        assert scratch.get("a", 3, 4) == b"3456"
        assert scratch.get("a", 7) == b"789"
        assert scratch.get("a", 7, 9) == b"789"
