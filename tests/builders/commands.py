"""The `zarrlink` command, as people and scripts call it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zarrlink_local.cli import main


class Result:
    """What a command printed, and its exit status."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        self.status = ended.value.code
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one line that a command refused with."""
        assert (self.status, self.out) == (2, "")
        assert self.err.startswith("zarrlink: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("zarrlink: ").strip()
