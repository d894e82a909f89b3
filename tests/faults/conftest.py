"""What the harnesses share with one another."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from builders.moto_aws import MotoAws, moto_aws


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm has thousands of lines for the log."""
    monkeypatch.setattr(logging.getLogger("zarrlink"), "level", logging.CRITICAL)


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as server:
        yield server
