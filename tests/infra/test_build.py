"""What fills the layers, and what looks at them afterwards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def write(folder: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_trimming_leaves_what_runs(tmp_path: Path, bundle: Any) -> None:
    kept = {
        "a/__init__.py",
        "a/testing/tools.py",
        "a/lib.so",
        "a-1.dist-info/METADATA",
        "a-1.dist-info/licenses/LICENSE",
    }
    gone = {
        "a/tests/test_a.py",
        "a/__pycache__/a.pyc",
        "a/a.pyi",
        "bin/a",
        ".lock",
        "a-1.dist-info/RECORD",
        "a/b/tests/t",
    }
    write(tmp_path, *kept, *gone)

    bundle.trim(tmp_path)

    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_a_pin_counts_whatever_its_spelling_and_marker(tmp_path: Path, bundle: Any) -> None:
    write(tmp_path, "google_crc32c-1.9.0.dist-info/METADATA", "numpy-2.5.5.dist-info/METADATA")
    pins = bundle.pinned(["google-crc32c==1.9.0", "numpy==2.5.5 ; python_full_version >= '3.12'"])

    assert set(bundle.installed(tmp_path)) == pins


def test_code_is_compiled_without_times(tmp_path: Path, bundle: Any) -> None:
    """So that the same sources make the same layer."""
    if bundle.find_python() is None:
        pytest.skip(f"no Python {bundle.PYTHON_VERSION} here")
    write(tmp_path, "a.py", data=b"x = 1\n")

    bundle.compile_all(tmp_path)

    (compiled,) = (tmp_path / "__pycache__").iterdir()
    # PEP 552: flags after the magic number; 1 is "by hash, not checked".
    assert compiled.read_bytes()[4:8] == (1).to_bytes(4, "little")


@pytest.fixture
def build(tmp_path: Path, sizes: Any) -> Path:
    """A build folder with something in everything."""
    (tmp_path / "template.yaml").write_text("    Metadata:\n      BuildArchitecture: arm64\n")
    for name in sizes.LIMITS:
        write(tmp_path, f"{name}/{name}.py")
    return tmp_path


def test_a_sound_build_has_no_faults(build: Path, sizes: Any) -> None:
    assert sizes.architecture(build) == "arm64"
    assert [*sizes.check_sizes(build), *sizes.check_files(build, "arm64")] == []


def test_too_much_is_a_fault(build: Path, sizes: Any) -> None:
    with (build / "CoreLayer" / "big").open("wb") as out:
        out.truncate(sizes.LIMITS["CoreLayer"])

    (fault,) = sizes.check_sizes(build)

    assert fault.startswith("CoreLayer has ")


def test_limits_together_stay_below_lambdas(sizes: Any) -> None:
    largest = max(limit for name, limit in sizes.LIMITS.items() if name not in sizes.LAYERS)
    assert sum(sizes.LIMITS[name] for name in sizes.LAYERS) + largest <= sizes.LAMBDA_BYTES


def test_nothing_built_is_a_fault(build: Path, sizes: Any) -> None:
    (build / "ApiFunction" / "ApiFunction.py").unlink()

    assert list(sizes.check_sizes(build)) == ["ApiFunction was not built"]


@pytest.mark.parametrize(("machine", "faults"), [(183, []), (62, ["CoreLayer/lib.so is for another processor"])])
def test_a_library_for_another_processor_is_a_fault(build: Path, sizes: Any, machine: int, faults: list[str]) -> None:
    write(build, "CoreLayer/lib.so", data=b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little"))

    assert list(sizes.check_files(build, "arm64")) == faults


def test_two_versions_of_one_file_are_a_fault(build: Path, sizes: Any) -> None:
    write(build, "CoreLayer/python/a.py", data=b"1")
    write(build, "ArraysLayer/python/a.py", data=b"2")

    assert list(sizes.check_files(build, "arm64")) == ["python/a.py differs between layers"]


def test_a_build_that_does_not_name_its_processor_is_refused(build: Path, sizes: Any) -> None:
    (build / "template.yaml").write_text("")
    with pytest.raises(SystemExit, match="processor"):
        sizes.architecture(build)


def test_the_makefiles_recipes_start_with_tabs() -> None:
    for makefile in (ROOT / "shared" / "Makefile", *(ROOT / "functions").glob("*/Makefile")):
        recipes = [line for line in makefile.read_text().splitlines() if re.match(r"\s", line)]
        assert recipes
        assert all(line.startswith("\t") for line in recipes)
