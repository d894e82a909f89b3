"""What `make audit` makes of what its tools say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from builders.modules import load_module

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    return load_module("audit", ROOT / "infra/audit.py")


@pytest.mark.parametrize("report", ["", "Traceback", "[]", "{}"])
def test_a_service_that_is_not_reached_is_said_and_is_no_finding(audit: ModuleType, report: str) -> None:
    found = audit.weaknesses(report)
    assert "cannot be reached" in found.said
    assert (found.wrong, found.is_known) == ((), False)


def test_a_service_that_knows_nothing_is_said_and_is_no_finding(audit: ModuleType) -> None:
    found = audit.weaknesses(json.dumps({"dependencies": [{"name": "lz4", "skip_reason": "not found"}]}))
    assert "knows none of the packages" in found.said
    assert (found.wrong, found.is_known) == ((), False)


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--strict"], 2)])
def test_what_nobody_could_say_is_said_at_the_end_and_fails_where_it_must_not_pass(
    audit: ModuleType,
    options: list[str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(audit, "ask_for_weaknesses", lambda _: audit.weaknesses(""))
    monkeypatch.setattr(audit, "write_bill", lambda *_: audit.Found("written"))
    monkeypatch.setattr(audit, "secrets", lambda *_: audit.Found("none"))
    monkeypatch.setattr(sys, "argv", ["audit.py", "--out", str(tmp_path), *options])
    assert audit.main() == status
    *_, not_asked, last = capsys.readouterr().out.splitlines()
    assert last.startswith("NOT AUDITED: constraints.txt, weaknesses, ")
    assert not_asked == audit.NOT_ASKED


def test_no_list_of_pins_is_forgotten(audit: ModuleType) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert sorted(audit.CONSTRAINTS) == [name for name in listed if name.startswith("constraints")]
    assert sorted(audit.LOCKS) == [name for name in listed if name.endswith("package-lock.json")]


def test_the_packages_of_npm_are_in_a_bill(audit: ModuleType, tmp_path: Path) -> None:
    for name in audit.LOCKS:
        found = audit.write_bill_of_lock(ROOT / name, tmp_path / "bill.json")
        components = json.loads((tmp_path / "bill.json").read_text())["components"]
        assert found.said.startswith(f"{len(components)} packages in ")
        assert "zarrita" in {each["name"] for each in components}
        assert all(each["purl"].startswith("pkg:npm/") and each["version"] for each in components)
        assert any(each["purl"].startswith("pkg:npm/%40zarrita/storage@") for each in components)


def test_a_weakness_is_named_with_what_mends_it(audit: ModuleType) -> None:
    weak = {"name": "some", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
    sound = {"name": "other", "version": "2.0", "vulns": []}
    found = audit.weaknesses(json.dumps({"dependencies": [weak, sound]}))
    assert found.wrong == ("some 1.0: PYSEC-1, mended in 1.1",)
    assert "2 of 2 packages" in found.said


def test_no_file_of_the_project_is_private_by_its_name(audit: ModuleType) -> None:
    names = [str(path.relative_to(ROOT)) for path in audit.project_files(ROOT)]
    assert len(names) > 300
    assert audit.private_names(names) == []
    assert audit.private_names(["a/state.sqlite", "b/id_rsa", "keys.py", "deploy/.env"]) == [
        "a/state.sqlite",
        "b/id_rsa",
        "deploy/.env",
    ]


def test_no_link_among_the_files_leads_out_of_the_project() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    links = [path for name in listed.splitlines() if (path := ROOT / name).is_symlink()]
    assert [path for path in links if not path.resolve().is_relative_to(ROOT) or not path.exists()] == []


def test_pins_hold_no_address(audit: ModuleType) -> None:
    for name in audit.CONSTRAINTS:
        assert "://" not in (ROOT / name).read_text()
