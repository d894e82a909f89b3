"""What `tests/faults/run.py` refuses to be asked for."""

from __future__ import annotations

import pytest

from faults.run import main


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--reads", "0"),
        ("--reads", "-5"),
        ("--reads", "1e3"),
        ("--seconds", "-1"),
        ("--seconds", "nan"),
        ("--seconds", "inf"),
    ],
)
def test_numbers_that_would_test_nothing_are_refused_in_a_line(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", option, value])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert option in line
    assert repr(value) in line
