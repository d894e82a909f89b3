"""What a function finds in its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def variables(given: Mapping[str, Any], runtime: str, task: Path, layers: Sequence[Path]) -> dict[str, str]:
    """Lambda's own and the deployment's, nothing of LocalStack's process.

    `layers`: the folders of layers, those that cover others first.
    """
    kept = {name: str(value) for name, value in given.items() if value is not None and "LOCALSTACK" not in name}
    return {
        **kept,
        "PATH": os.environ.get("PATH", ""),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "LAMBDA_TASK_ROOT": str(task),
        "PYTHONPATH": os.pathsep.join(map(str, [task, *(layer / "python" for layer in layers)])),
        # In Lambda these folders are read-only.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
