"""What an operator runs after `make deploy`: the first user, and the checks with one's own rights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from builders.gateway import Gateway
from builders.kept import KeptInStack
from builders.lambda_door import ENVIRONMENT, S3Objects, load_function
from builders.loopback import served
from builders.moto_aws import REGION, MotoAws, moto_aws
from builders.moto_stack import ADDRESS, deploy, environment
from builders.template import ROOT
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.geometry import Mag
from zarrlink.users.interface import hash_user_token
from zarrlink_local.cloud import CloudState, open_stack

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="stream", memory_limit_in_mb=512)


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture
def shell(aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in environment(aws).items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "infra" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_first_user_is_an_admin_and_is_told_where_to_sign_in(aws: MotoAws, shell: Any) -> None:
    kept = KeptInStack(aws)
    run = script("first_run.py", kept.name, "ann")
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0] == f"zarrlink answers at {ADDRESS}/"
    assert f"s3://{min(kept.bucket, 'another-bucket')}/FOLDER" in lines[3]
    found = kept.opened().users.by_token_hash(hash_user_token(lines[2]))
    assert found is not None
    assert (found.name, found.is_admin) == ("ann", True)


def test_a_name_that_is_taken_keeps_its_token(aws: MotoAws, shell: Any) -> None:
    kept = KeptInStack(aws)
    token = script("first_run.py", kept.name, "ann").stdout.splitlines()[2]
    again = script("first_run.py", kept.name, "ann")
    assert (again.returncode, again.stdout) == (2, "")
    assert "users token ann" in again.stderr
    assert kept.opened().users.by_token_hash(hash_user_token(token)) is not None


@pytest.mark.parametrize("arguments", [("no-such-stack", "ann"), ("zarrlink", "not a name")])
def test_what_cannot_be_is_said_in_one_line(shell: Any, arguments: tuple[str, str]) -> None:
    run = script("first_run.py", *arguments)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert run.stderr.startswith("first_run: ")


def test_a_first_user_without_a_name_is_asked_for_one() -> None:
    run = script("first_run.py", "zarrlink", "")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "first_run: say who the first user is: make first-user NAME=ann\n"


# --- make smoke-stack ---


@pytest.fixture
def deployed(aws: MotoAws, shell: Any) -> Iterator[CloudState]:
    """A stack with a dataset, whose links are answered by the function behind a gateway on this machine."""
    bucket = aws.new_bucket()
    S3Objects(aws.client("s3"), bucket).update(dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((40, 40, 40))})))
    functions: dict[str, Any] = {}
    with served(Gateway({"zarr": lambda event: functions["stream"].handler(event, CONTEXT)})) as address:
        state = open_stack(deploy(aws, [bucket], PublicUrl=address))
        state.add_datasets(f"s3://{bucket}", 1, print)
        stack = state.stack
        names = {"LINKS_TABLE": stack.links_table, "CATALOGUE_TABLE": stack.catalogue_table}
        names |= {"ANNOTATIONS_TABLE": stack.annotations_table, "LINK_KEYS_SECRET": stack.keys_secret}
        names |= {"HEAD_WITH_BODY": "true", "POWERTOOLS_SERVICE_NAME": "smoke", "AWS_DEFAULT_REGION": REGION}
        for name, value in {**ENVIRONMENT, **names}.items():
            shell.setenv(name, value)
        functions["stream"] = load_function("stream")
        yield state
        functions["stream"].LOOP.close()


def test_a_deployed_stack_is_checked_and_nothing_stays(
    deployed: CloudState, smoke_stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = (record.name for record in deployed.catalogue.all())
    assert smoke_stack.check(deployed, name) == 0
    out = capsys.readouterr().out
    assert "ok      change: a new link opens: after" in out
    assert "ok      change: a revoked link is closed: after" in out
    assert "ok      chunk: HEAD length equals GET length" in out
    assert "FAILED" not in out
    # Of links that are not revoked.
    assert deployed.links.of_owner(None) == []


def test_a_link_that_stays_open_is_a_fault(
    deployed: CloudState, smoke_stack: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a CDN does not learn of it."""
    client = SimpleNamespace(send=lambda *_asked, **_headers: SimpleNamespace(status=200))
    monkeypatch.setattr(smoke_stack, "CHANGED_WITHIN_S", 0)
    monkeypatch.setattr(smoke_stack, "_LOOK_AGAIN_S", 0)
    assert smoke_stack.opens(client)
    assert not smoke_stack.closes(client)
    assert "FAILED  change: a revoked link is closed" in capsys.readouterr().out


@pytest.mark.parametrize(("percent", "failed"), [(31.0, 0), (88.0, 1), (None, 0)])
def test_the_time_that_the_edge_takes_is_looked_at(
    aws: MotoAws, smoke_stack: Any, shell: Any, percent: float | None, failed: int
) -> None:
    name = f"edge-{percent}"
    state: Any = SimpleNamespace(stack=SimpleNamespace(edge_function=name), client=_in_us_east_1(aws))
    if percent is not None:
        point = {
            "MetricName": "FunctionComputeUtilization",
            "Dimensions": [{"Name": "FunctionName", "Value": name}, {"Name": "Region", "Value": "Global"}],
            "Timestamp": datetime.now(UTC) - timedelta(minutes=5),
            "Value": percent,
        }
        state.client("cloudwatch", region="us-east-1").put_metric_data(Namespace="AWS/CloudFront", MetricData=[point])
    assert list(smoke_stack.utilisation(state)) == [(name, percent)]
    assert (percent is not None and percent > smoke_stack.MOST_UTILISATION) is bool(failed)


def _in_us_east_1(aws: MotoAws) -> Any:
    import boto3

    make: Any = boto3.client

    def client(service: str, *, region: str) -> Any:
        assert region == "us-east-1"
        return make(service, region_name=region, endpoint_url=aws.endpoint)

    return client


def test_a_stack_without_an_edge_has_no_such_check(smoke_stack: Any) -> None:
    state: Any = SimpleNamespace(stack=SimpleNamespace(edge_function=""))
    assert list(smoke_stack.utilisation(state)) == []


def test_without_a_stack_there_is_nothing_to_check(shell: Any) -> None:
    run = script("smoke_stack.py", "no-such-stack", "mouse")
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
