"""`make audit`: known weaknesses of the pinned dependencies, a bill of materials, and secrets among the files.

python infra/audit.py [--out dist] [--strict]    prints a line for each part; status 1 where something was found

Weaknesses come from an advisory service. Where it cannot be reached, or knows nothing of the packages, nothing was found out, in
either direction: that is said for each list, once more at the end, and is a failure (status 2) only with `--strict`. Packages of npm,
which only tests use, are in bills of materials; nobody asks for their weaknesses here, which is said too.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

ROOT: Final = Path(__file__).resolve().parents[1]
# What is served and deployed first; then what builds, tests and measures it.
CONSTRAINTS: Final = (
    "constraints.txt", "constraints-aws.txt", "constraints-webknossos.txt", "constraints-audit.txt",
    "constraints-clients.txt", "constraints-localstack.txt", "constraints-ministack.txt", "constraints-peers.txt",
)  # fmt: skip
# Of npm: what tests read links with.
LOCKS: Final = ("tests/clients/javascript/package-lock.json", "tests/end_to_end/zarrita/package-lock.json")
NOT_ASKED: Final = (
    "NOT ASKED FOR: weaknesses of packages from npm, which only tests use:"
    f" `npm audit` in {' and '.join(name.rpartition('/')[0] for name in LOCKS)} does it."
    " The bundles of vizarr and itk-vtk-viewer (tests/clients/fetch_bundles.py) are in no list."
)
_PATIENCE_S: Final = 300
# Tokens that say themselves what they are. Guesses by entropy would name every digest and fixture of this repository.
_KINDS: Final = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "GitHubTokenDetector",
    "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector",
    "PypiTokenDetector", "SendGridDetector", "SlackDetector", "StripeDetector", "TwilioKeyDetector",
)  # fmt: skip
# What is private by its name, whatever it holds.
_PRIVATE: Final = (
    "*.key",
    "*.pem",
    "*.p12",
    "*.pfx",
    ".env",
    ".env.*",
    "id_rsa*",
    "id_ed25519*",
    "*.sqlite",
    ".netrc",
    ".pypirc",
)
# Made-up ones: that such addresses are refused is what tests are about.
_MADE_UP: Final = re.compile(
    r"//(?:user:word@127\.0\.0\.1|key:secret@bucket/|ann:secret@webknossos\.example|user:secret@host\.example)"
)


class Found(NamedTuple):
    """What came of a part of the audit. `wrong`: what somebody must look at, a line each. `is_known` False: nobody could say."""

    said: str
    wrong: tuple[str, ...] = ()
    is_known: bool = True


def weaknesses(report: str) -> Found:
    """From what pip-audit wrote as JSON; anything else is a service that was not reached."""
    try:
        dependencies = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Found("the advisory service cannot be reached: nothing is known about the dependencies", is_known=False)
    audited = [each for each in dependencies if "skip_reason" not in each]
    if not audited:
        return Found(
            "the advisory service knows none of the packages here: nothing is known about the dependencies",
            is_known=False,
        )
    wrong = [
        f"{each['name']} {each['version']}: {weakness['id']}, mended in {', '.join(weakness['fix_versions']) or 'none'}"
        for each in audited
        for weakness in each["vulns"]
    ]
    return Found(f"{len(audited)} of {len(dependencies)} packages asked about, {len(wrong)} weaknesses", tuple(wrong))


def ask_for_weaknesses(constraints: Path) -> Found:
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip",
        "--progress-spinner", "off", "--timeout", "15", "--format", "json",
    ]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 (words of our own)
            command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return weaknesses("")
    return weaknesses(done.stdout)


def write_bill(constraints: Path, out: Path) -> Found:
    """A bill of materials in CycloneDX's JSON, of what is pinned. Raises CalledProcessError."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(constraints), "--of", "JSON", "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 (as above)
    components = json.loads(out.read_text())["components"]
    return Found(f"{len(components)} packages in {out}")


def write_bill_of_lock(lock: Path, out: Path) -> Found:
    """A bill of materials in CycloneDX's JSON, of what a lock file of npm (lockfileVersion 2 or 3) pins."""
    components = []
    for place, package in json.loads(lock.read_text())["packages"].items():
        # "" is the folder itself.
        if place:
            name = package.get("name", place.rpartition("node_modules/")[2])
            purl = f"pkg:npm/{quote(name)}@{package['version']}"
            components.append(
                {"type": "library", "bom-ref": place, "name": name, "version": package["version"], "purl": purl}
            )
    out.parent.mkdir(parents=True, exist_ok=True)
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    out.write_text(json.dumps(bill, indent=1) + "\n")
    return Found(f"{len(components)} packages in {out}")


def secrets(files: list[Path], root: Path) -> Found:
    """Keys and tokens in files, and files that are private by their name."""
    # Of the audit's own environment: the tests of this module have none.
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    wrong = [f"{name}: private by its name" for name in private_names([str(file.relative_to(root)) for file in files])]
    with transient_settings({"plugins_used": [{"name": kind} for kind in _KINDS]}):
        for file in files:
            lines: list[str] = []
            for secret in scan_file(str(file)):
                lines = lines or file.read_text(errors="replace").splitlines()
                if not _MADE_UP.search(lines[secret.line_number - 1]):
                    wrong.append(f"{file.relative_to(root)}:{secret.line_number}: {secret.type}")
    return Found(f"{len(files)} files looked through, {len(wrong)} secrets", tuple(wrong))


def private_names(names: list[str]) -> list[str]:
    return [name for name in names if any(fnmatch(name.rpartition("/")[2], pattern) for pattern in _PRIVATE)]


def project_files(root: Path) -> list[Path]:
    """What is, or would be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(  # noqa: S603 (as above)
        command, cwd=root, check=True, capture_output=True, text=True
    ).stdout
    paths = [root / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def main() -> int:
    parser = argparse.ArgumentParser(description="Look for weaknesses and secrets, and write a bill of materials.")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="where the bills of materials go (default: dist)"
    )
    parser.add_argument("--strict", action="store_true", help="fail where the advisory service says nothing")
    wanted = parser.parse_args()
    out: Path = wanted.out
    parts: dict[str, Any] = {}
    for name in CONSTRAINTS:
        parts[f"{name}, weaknesses"] = lambda name=name: ask_for_weaknesses(ROOT / name)
        bill = out / f"zarrlink-{Path(name).stem}.cdx.json"
        parts[f"{name}, bill"] = lambda name=name, bill=bill: write_bill(ROOT / name, bill)
    for name in LOCKS:
        bill = out / f"zarrlink-npm-{Path(name).parent.name}.cdx.json"
        parts[f"{name}, bill"] = lambda name=name, bill=bill: write_bill_of_lock(ROOT / name, bill)
    parts["secrets"] = lambda: secrets(project_files(ROOT), ROOT)
    sound, unknown = True, []
    for label, part in parts.items():
        found = part()
        unknown += [] if found.is_known else [label]
        print(f"{label}: {found.said}", flush=True)
        for line in found.wrong:
            print(f"  {line}")
            sound = False
    print(NOT_ASKED)
    if unknown:
        print(f"NOT AUDITED: {', '.join(unknown)}. Ask again from where the advisory service can be reached.")
    return 1 if not sound else 2 if unknown and wanted.strict else 0


if __name__ == "__main__":
    sys.exit(main())
