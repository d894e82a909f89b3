"""The suites speak as clearly as the tests that inherit them."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "contracts.byte_source",
    "contracts.catalogue",
    "contracts.damaged_rows",
    "contracts.edge_store",
    "contracts.job_store",
    "contracts.link_store",
    "contracts.pack_sink",
    "contracts.part_sink",
    "contracts.scratch",
    "contracts.users",
    "contracts.vault",
)
