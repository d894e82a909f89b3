"""The benchmark of the functions still runs. How fast anything is, is not tested."""

from __future__ import annotations

import sys
from pathlib import Path

from builders.emulator import skip_unless_built
from builders.template import ROOT

skip_unless_built()
sys.path.append(str(ROOT / "benchmarks"))

import data  # noqa: E402
import lambda_functions  # noqa: E402
import measure  # noqa: E402

TINY = measure.Scale((128, 128, 128), rounds=1, seconds=1, calls=64)


def test_every_kind_of_request_is_measured(tmp_path: Path) -> None:
    part = lambda_functions.run(data.write_dataset(tmp_path, TINY.size_xyz), TINY)
    imports, cold, warm = part.tables
    assert [row[0] for row in imports.rows] == ["StreamFunction", "ApiFunction"]
    assert "aim 300" in imports.rows[0][1]
    assert [row[0] for row in cold.rows] == ["bare", *(row[0] for row in warm.rows)]
    for table in part.tables:
        assert {len(row) for row in table.rows} == {len(table.head)}
