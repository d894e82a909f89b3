"""docs/cost.md holds what its model computes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import cost  # noqa: E402


def test_the_document_is_as_it_is_computed() -> None:
    text = cost.DOCUMENT.read_text()
    assert cost.filled(text) == text
    assert {found[2] for found in cost.MARKED.finditer(text)} == set(cost.tables())


def test_a_million_small_chunks_by_hand() -> None:
    """1 million of 32.9 kB: 1.00 + 2 x 0.10 + 2 x 0.03 of requests, 32.9 GB x 0.085 of bytes."""
    found = cost.hit(32_900)
    assert found.requests == pytest.approx(1.26)
    assert found.bytes == pytest.approx(2.7965)
    assert found.per_terabyte(32_900) == pytest.approx((1.26 + 2.7965) / 0.0329)
    # 3.50 + 0.20 + 0.40, and 0.03 s x 1.7275 GB x 13.3334 a million GB-seconds.
    assert cost.miss(32_900).requests - found.requests == pytest.approx(4.10 + 0.691, abs=0.001)
