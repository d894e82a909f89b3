"""The documents name files that exist, and the README's commands are the Makefile's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_that_is_named_exists(document: Path) -> None:
    text = document.read_text()
    named = re.findall(r"`((?:shared|local|web|tests|docs|benchmarks|functions)/[^`\s*]+)`", text)
    linked = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [path for path in named if not _exists(*path.partition("::"))]
    missing += [path for path in linked if not (document.parent / path).exists()]
    assert missing == []


def _exists(path: str, _: str, test: str) -> bool:
    """`tests/FILE.py::TEST` names a test in it."""
    file = ROOT / path
    return file.exists() and (
        not test or re.search(rf"^ *(async )?def {test}\(", file.read_text(), re.MULTILINE) is not None
    )


def test_every_verb_that_is_named_is_in_the_makefile() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE)) <= verbs, document


def test_every_decision_has_its_four_parts() -> None:
    for decision in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        text = decision.read_text()
        for part in ("Context", "Decision", "Consequences", "What would change our mind"):
            assert f"**{part}.**" in text, (decision.name, part)


def test_dependencies_are_pinned_without_any_address() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert pins
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][^ /]*( ; .*)?", line)] == []
    locks = [path for path in ROOT.glob("tests/**/package-lock.json") if "node_modules" not in path.parts]
    for lock in locks:
        assert '"resolved"' not in lock.read_text()
