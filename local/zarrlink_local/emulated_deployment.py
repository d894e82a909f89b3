"""template.yaml deployed to LocalStack as an operator deploys it to AWS: by `sam deploy`, with parameters alone."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from zarrlink.errors import InvalidRequest
from zarrlink_local.emulated_aws import ACCESS, DOOR, REGION, EmulatedAws, Programs

STACK: Final = "zarrlink"
BUCKET: Final = "zarrlink-volumes"
# Everything else is as template.yaml says.
PARAMETERS: Final = {
    "DataBucketArns": f"arn:aws:s3:::{BUCKET}",
    # The name of LocalStack's gateway needs its makers' DNS; this one needs nobody's.
    "PublicUrl": DOOR,
    # All of it goes when LocalStack ends.
    "ProtectTables": "false",
    # Each unit is a process here.
    "ExportConcurrency": "2",
}
# What the community edition of LocalStack has not, by the parameter that leaves it out.
_LEFT_OUT: Final = {"Cdn": "false"}
# Four times what it takes on two slow processors.
LIMIT_S: Final = 300
_FAILED: Final = re.compile(r"CREATE_FAILED|UPDATE_FAILED|^Error:", re.MULTILINE)


class Deployment:
    """`build`: a build folder of `sam build` for this machine's processor. `sam`: SAM's program."""

    def __init__(self, aws: EmulatedAws, build: Path, sam: Path) -> None:
        self._aws = aws
        self._build = build
        self._template = build / "template.yaml"
        self._architecture = build.name
        self._sam = sam
        self._log = aws.home / "deploy.log"
        self._note = aws.home / "deployed"

    def make(self, programs: Programs) -> bool:
        """Have this build deployed. False where it was, by an earlier call. Raises InvalidRequest.

        LocalStack's CloudFormation cannot update a stack (seen in 4.7: it no longer finds attributes of what is there), so
        another build begins from nothing.
        """
        digest = self._digest()
        was = self._note.read_text() if self._note.exists() else None
        if was != digest:
            self._aws.stop()
        if not self._aws.start(programs):
            return False
        self._deploy()
        self._note.write_text(digest)
        return True

    def _deploy(self) -> None:
        make_bucket()
        command = [str(self._sam), "deploy", "--template-file", str(self._template), "--stack-name", STACK]
        command += ["--resolve-s3", "--no-confirm-changeset"]
        command += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
        command += ["--no-fail-on-empty-changeset", "--no-progressbar", "--parameter-overrides", *self._parameters()]
        # SAM leaves empty folders behind.
        variables = environment({"TMPDIR": str(self._aws.tmp)})
        with self._log.open("w") as out:
            try:
                run = subprocess.run(  # noqa: S603 (our own words)
                    command, env=variables, stdout=out, stderr=subprocess.STDOUT, check=False, timeout=LIMIT_S
                )
            except subprocess.TimeoutExpired as error:
                raise InvalidRequest(f"sam deploy does not come to an end; {self._way_out()}") from error
        if run.returncode != 0:
            raise InvalidRequest(f"sam deploy failed: {self._reason()}; {self._way_out()}")

    def _parameters(self) -> list[str]:
        if not self._template.exists():
            raise InvalidRequest(f"there is no {self._template}: make build-here makes it")
        known = self._template.read_text()
        left_out = {name: value for name, value in _LEFT_OUT.items() if re.search(f"^  {name}:$", known, re.MULTILINE)}
        given = {"Architecture": self._architecture, **PARAMETERS, **left_out}
        return [f"{name}={value}" for name, value in given.items()]

    def _way_out(self) -> str:
        return f"its words stand in {self._log}"

    def _digest(self) -> str:
        """Of all that was built, and of how it is deployed."""
        digest = hashlib.blake2b(repr(self._parameters()).encode())
        for path in sorted(path for path in self._build.rglob("*") if path.is_file()):
            digest.update(path.relative_to(self._build).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _reason(self) -> str:
        lines = [line.strip() for line in self._log.read_text().splitlines()]
        return next((line for line in lines if _FAILED.search(line)), lines[-1] if lines else "it wrote nothing")


def make_bucket() -> None:
    """The one that the stack may read; once more is no harm."""
    client = aws_client("s3")
    try:
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    except client.exceptions.BucketAlreadyOwnedByYou:
        return


def upload(folder: Path, prefix: str) -> None:
    """Every file below a folder, its description last: a dataset is there when that is."""
    client = aws_client("s3")
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.parent == folder)
    for path in files:
        client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder).as_posix()}")


def aws_client(service: str) -> Any:
    """boto3's, of LocalStack."""
    import boto3

    make_client: Any = boto3.client
    return make_client(
        service,
        endpoint_url=ACCESS["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=ACCESS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ACCESS["AWS_SECRET_ACCESS_KEY"],
    )


def zarrlink(*words: str, token: str | None = None) -> Any:
    """What the command line answers, as JSON: on the stack, or with a token through its API. Raises InvalidRequest."""
    place = {"ZARRLINK_STACK": STACK} if token is None else {"ZARRLINK_API": DOOR, "ZARRLINK_TOKEN": token}
    command = [sys.executable, "-m", "zarrlink_local.cli", *words, "--json"]
    run = subprocess.run(command, env=environment(place), capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    if run.returncode != 0:
        raise InvalidRequest(f"zarrlink {' '.join(words)}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """As of this process, with LocalStack in place of the AWS that somebody may be signed in to."""
    others = ("AWS_", "ZARRLINK_", "SAM_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, **ACCESS, "SAM_CLI_TELEMETRY": "0", **(more or {})}
