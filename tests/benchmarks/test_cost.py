"""docs/cost.md and docs/deploy.md hold what one model computes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import cost  # noqa: E402


def test_the_documents_are_as_they_are_computed() -> None:
    found = []
    for document in cost.DOCUMENTS:
        text = document.read_text()
        assert cost.filled(text) == text, f"{document.name}: run benchmarks/cost.py"
        found += [it[2] for it in cost.MARKED.finditer(text)]
    assert sorted(found) == sorted(cost.tables())


def test_a_million_small_chunks_by_hand() -> None:
    """1 million of 32.9 kB: 1.00 + 2 x 0.10 + 2 x 0.03 of requests, 32.9 GB x 0.085 of bytes."""
    chunk = cost.ANSWERS["v2 chunk 32^3"]
    found = cost.hit(chunk)
    assert found.requests == pytest.approx(1.26)
    assert found.bytes == pytest.approx(2.7965)
    assert found.per_terabyte(chunk.size) == pytest.approx((1.26 + 2.7965) / 0.0329)
    # 3.50 + 0.20 + 0.40 + 1.5 x 0.50 + 0.05 x 5.00, and 0.0565 s x 1.7275 GB x 13.3334 a million GB-seconds.
    assert cost.miss(chunk).requests - found.requests == pytest.approx(5.10 + 1.301, abs=0.001)


def test_what_is_said_of_lambda_is_what_is_reckoned_with() -> None:
    text = cost.DOCUMENTS[0].read_text()
    chunk, shard = (
        f"{answer.processor_s * 1000:.1f} ms for a {name}"
        for answer, name in zip(cost.ANSWERS.values(), ("chunk", "shard"), strict=True)
    )
    assert f"{cost.WAITING_S * 1000:.0f} ms of waiting" in text
    assert chunk in text
    assert shard in text
