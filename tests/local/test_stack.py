"""Commands on a deployed stack: which one, what it must have, and what AWS may refuse."""

import builtins
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from builders.canned import CannedServer, answer, s3_error
from builders.commands import Result
from builders.kept import KeptInFile, KeptInStack
from builders.moto_aws import REGION, MotoAws, moto_aws
from builders.moto_stack import ADDRESS, deploy, environment
from builders.template import as_created, load_template
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.errors import InvalidRequest
from zarrlink.geometry import Mag
from zarrlink_local import stack
from zarrlink_local.bucket import check_bucket

LIST = ("datasets", "list")
DESCRIPTION = "worm/datasource-properties.json"


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture(autouse=True)
def _shell(aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(aws).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def kept(aws: MotoAws) -> KeptInStack:
    kept = KeptInStack(aws)
    kept.put("worm", dataset(LayerFiles("a", {Mag(1, 1, 1): ramp((8, 8, 8))})))
    return kept


# --- the template ---


def test_what_is_read_of_a_stack_is_in_the_template() -> None:
    template = load_template()
    assert set(stack.OUTPUTS) <= template["Outputs"].keys()
    assert set(stack.PARAMETERS) <= template["Parameters"].keys()
    # A parameter that is not shown could not be read.
    assert not any(template["Parameters"][name].get("NoEcho") for name in stack.PARAMETERS)


def test_the_outputs_are_what_they_are_taken_for() -> None:
    template = load_template()
    kinds = {
        name: template["Resources"][template["Outputs"][name]["Value"]["Ref"]]["Type"]
        for name in stack.OUTPUTS
        if name != "Address"
    }
    assert kinds.pop("LinkKeysSecret") == "AWS::SecretsManager::Secret"
    assert kinds.pop("AnnotationBucket") == "AWS::S3::Bucket"
    assert set(kinds.values()) == {"AWS::DynamoDB::Table"}
    stage = template["Resources"]["Api"]["Properties"]["StageName"]
    addresses = {
        cdn: as_created(template, {"Cdn": cdn})["Outputs"]["Address"]["Value"]["Fn::Sub"] for cdn in ("true", "false")
    }
    assert addresses["true"] == "https://${Distribution.DomainName}"
    assert addresses["false"].endswith(f"/{stage}")


def test_links_begin_with_the_public_url_where_there_is_one(aws: MotoAws) -> None:
    client = aws.client("cloudformation")
    plain = stack.describe_stack(client, deploy(aws, ["one", "two"]), REGION)
    assert (plain.address, plain.buckets) == (ADDRESS, {"one", "two"})
    named = deploy(aws, ["one"], PublicUrl="https://links.example.org")
    assert stack.describe_stack(client, named, REGION).address == "https://links.example.org"


# --- which state ---


def test_a_stack_may_be_named_before_the_command_after_it_or_by_the_environment(capsys, kept, monkeypatch) -> None:
    assert Result(capsys, "datasets", "add", kept.place("worm"), "--stack", kept.name).status == 0
    assert "worm" in Result(capsys, "--stack", kept.name, *LIST).out
    monkeypatch.setenv("ZARRLINK_STACK", kept.name)
    assert "worm" in Result(capsys, *LIST).out
    # The nearer word counts.
    assert "no stack 'other'" in Result(capsys, "--stack", kept.name, *LIST, "--stack", "other").refusal


def test_a_state_file_on_the_command_line_counts_before_a_stack_of_the_environment(
    capsys, tmp_path, monkeypatch
) -> None:
    file = KeptInFile(tmp_path)
    monkeypatch.setenv("ZARRLINK_STACK", "nope")
    assert Result(capsys, *LIST, *file.options, "--json").json == []
    monkeypatch.setenv("ZARRLINK_STATE", file.options[1])
    assert "ZARRLINK_STACK are both set" in Result(capsys, *LIST).refusal
    assert Result(capsys, *LIST, *file.options, "--json").json == []
    assert "no stack 'mine'" in Result(capsys, *LIST, "--stack", "mine").refusal


@pytest.mark.parametrize("before", [True, False])
def test_a_state_file_and_a_stack_exclude_each_other(capsys, tmp_path: Path, before: bool) -> None:
    words = ("--stack", "x", *LIST) if before else (*LIST, "--stack", "x")
    assert "exclude each other" in Result(capsys, *words, *KeptInFile(tmp_path).options).refusal


def test_a_server_runs_on_no_stack(capsys, tmp_path: Path, monkeypatch) -> None:
    for command in (("serve", "--data", tmp_path), ("sample", tmp_path / "new")):
        assert "takes no --stack" in Result(capsys, "--stack", "x", *command).refusal
    monkeypatch.setenv("ZARRLINK_STACK", "x")
    assert "is there already" in Result(capsys, "sample", tmp_path).err


# --- stacks that cannot be used ---


def test_an_unknown_stack_is_named_with_its_region(capsys) -> None:
    assert Result(capsys, "--stack", "nope", *LIST).refusal == f"there is no stack 'nope' in {REGION}"
    assert Result(capsys, "--stack", "", *LIST).refusal == "the name of the stack is empty"


@pytest.mark.parametrize("key", [*stack.OUTPUTS, *stack.PARAMETERS])
def test_what_a_stack_lacks_is_named(capsys, aws: MotoAws, key: str) -> None:
    name = deploy(aws, ["one"], without=key)
    refusal = Result(capsys, "--stack", name, *LIST).refusal
    kind = "output" if key in stack.OUTPUTS else "parameter"
    assert f"the stack {name} (CREATE_COMPLETE) lacks {kind} {key}:" in refusal


def test_without_credentials_it_is_said_how_to_get_some(capsys, kept, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert "AWS_PROFILE" in Result(capsys, *LIST, *kept.options).refusal


@pytest.mark.parametrize("default", [None, ""])
def test_without_a_region_it_is_said_how_to_set_one(capsys, monkeypatch, default: str | None) -> None:
    monkeypatch.setenv("AWS_REGION", "")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    if default is not None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", default)
    assert "set AWS_REGION" in Result(capsys, *LIST, "--stack", "x").refusal


def test_what_cannot_be_a_region_is_said(capsys, monkeypatch) -> None:
    monkeypatch.setenv("AWS_REGION", "Frankfurt am Main")
    assert "such as eu-central-1" in Result(capsys, *LIST, "--stack", "x").refusal


def test_an_unknown_profile_is_said(capsys, monkeypatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "AWS_PROFILE" in Result(capsys, *LIST, "--stack", "x").refusal


def test_the_credentials_may_be_a_profiles(capsys, kept, monkeypatch, tmp_path: Path) -> None:
    """For S3 as well, whose reader knows no profiles itself."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        f"[profile lab]\nregion = {REGION}\naws_access_key_id = k\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    added = Result(capsys, "datasets", "add", kept.place("worm"), *kept.options)
    assert added.status == 0, added.err


DENIED_QUERY = answer(
    "403 Forbidden",
    b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>arn of me</Message></Error></ErrorResponse>",
    Content_Type="text/xml",
)
DENIED_JSON = answer(
    "400 Bad Request", b'{"__type":"x#AccessDeniedException","message":"arn of me"}', Content_Type="application/json"
)


@pytest.mark.parametrize(
    ("service", "denied", "command", "words"),
    [
        ("CLOUDFORMATION", DENIED_QUERY, LIST, "AWS refuses CloudFormation DescribeStacks: AccessDenied"),
        ("DYNAMODB", DENIED_JSON, LIST, "DynamoDB scan: AccessDeniedException"),
        (
            "DYNAMODB",
            DENIED_JSON,
            ("users", "add", "ann", "--inherits"),
            "DynamoDB transact_write_items: AccessDeniedException",
        ),
        ("SECRETS_MANAGER", DENIED_JSON, ("links", "create", "worm"), "-keys"),
    ],
    ids=["stack", "tables", "users", "keys"],
)
def test_what_aws_refuses_is_said_in_one_line(capsys, kept, monkeypatch, service, denied, command, words) -> None:
    Result(capsys, "datasets", "add", kept.place("worm"), *kept.options)
    with CannedServer(denied) as server:
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", server.endpoint)
        refusal = Result(capsys, *command, *kept.options).refusal
        monkeypatch.delenv(f"AWS_ENDPOINT_URL_{service}")
    assert words in refusal
    assert "AccessDenied" in refusal
    assert "arn of me" not in refusal
    assert kept.opened().links.of_owner(None) == [], "a link that cannot be shown is not made"


def test_without_boto3_it_is_said_what_to_install(capsys, monkeypatch) -> None:
    importing = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "boto3":
            raise ModuleNotFoundError(name=name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "zarrlink[aws]" in Result(capsys, *LIST, "--stack", "x").refusal


def test_who_needs_no_stack_loads_nothing_of_it() -> None:
    code = "import sys, zarrlink_local.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "zarrlink_local.cli.datasets" in loaded
    assert not {"boto3", "botocore", "obstore", "zarrlink_local.cloud"} & set(loaded)


def test_the_keys_are_shown_nowhere(capsys, kept) -> None:
    Result(capsys, "datasets", "add", kept.place("worm"), *kept.options)
    made = Result(capsys, "links", "create", "worm", *kept.options)
    assert "k" * 32 not in made.out + made.err
    assert "k" * 32 not in repr(kept.opened().keys)


# --- buckets ---


def test_a_bucket_that_the_functions_may_not_read_is_refused(capsys, aws: MotoAws, kept) -> None:
    refusal = Result(capsys, "datasets", "add", f"s3://{aws.new_bucket()}/worm", *kept.options).refusal
    assert "DataBucketArns" in refusal
    assert kept.bucket in refusal
    assert kept.opened().catalogue.all() == []


def test_a_bucket_that_is_not_there_is_named(capsys, kept) -> None:
    refusal = Result(capsys, "datasets", "add", "s3://another-bucket/worm", *kept.options).refusal
    assert refusal == "there is no bucket another-bucket"


def test_a_bucket_of_another_region_is_refused_with_both(capsys, aws: MotoAws) -> None:
    there = boto3.client("s3", endpoint_url=aws.endpoint, region_name="us-west-2")
    there.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    refusal = Result(capsys, "datasets", "add", "s3://far-away/worm", "--stack", deploy(aws, ["far-away"])).refusal
    assert "lies in us-west-2" in refusal
    assert f"in {REGION}" in refusal


@pytest.mark.parametrize("error", ["301 Moved Permanently", "400 Bad Request", "403 Forbidden"])
def test_s3_tells_the_region_when_it_refuses_too(error: str) -> None:
    made = stack.Stack("s", REGION, ADDRESS, "l", "c", "a", "b", "u", "k", "", frozenset({"far-away"}), has_edge=False)
    with CannedServer(answer(error, x_amz_bucket_region="us-west-2")) as server:
        client = boto3.client("s3", endpoint_url=server.endpoint, region_name=REGION)
        with pytest.raises(InvalidRequest, match="us-west-2"):
            check_bucket(client, made, "far-away")


def test_a_bucket_that_you_may_not_read_is_said_with_the_rights_it_takes(capsys, kept, monkeypatch) -> None:
    with CannedServer(s3_error("403 Forbidden", "AccessDenied")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        refusal = Result(capsys, "datasets", "add", kept.place("worm"), *kept.options).refusal
    assert f"{kept.place(DESCRIPTION)} cannot be read: S3 answered 403 AccessDenied" in refusal
    assert "s3:GetObject" in refusal


def test_a_description_that_is_none_is_refused(capsys, kept) -> None:
    for data in (b"", b"{", b"[]"):
        kept.write(DESCRIPTION, data)
        refusal = Result(capsys, "datasets", "add", kept.place("worm"), *kept.options).refusal
        assert kept.place("worm") in refusal
    assert kept.opened().catalogue.all() == []


@pytest.mark.parametrize(
    "place", ["worm", "s3://", "s3:///x", "s3://Bucket/x", "s3://a/x", "s3://one/../x", "s3://one//x", "s3://one/./x"]
)
def test_what_is_no_folder_in_s3_is_refused(capsys, kept, place: str) -> None:
    assert "is no folder in S3" in Result(capsys, "datasets", "add", place, *kept.options).refusal


def test_a_whole_bucket_can_be_a_dataset(capsys, aws: MotoAws) -> None:
    kept = KeptInStack(aws)
    for key, data in dataset(LayerFiles("a", {Mag(1, 1, 1): ramp((8, 8, 8))})).items():
        kept.write(key, data)
    for place in (f"s3://{kept.bucket}", f"s3://{kept.bucket}/"):
        (made,) = Result(capsys, "datasets", "add", place, *kept.options, "--json").json
    (listed,) = Result(capsys, *LIST, *kept.options, "--json").json
    assert listed["location"] == f"s3://{kept.bucket}"
    assert made["name"] == kept.bucket
    assert Result(capsys, "datasets", "verify", kept.bucket, *kept.options, "--json").json["blocks"] > 0


def test_a_file_longer_than_one_part_is_verified_whole(capsys, kept, monkeypatch) -> None:
    monkeypatch.setattr("zarrlink_local.s3_tree.PART_BYTES", 100)
    Result(capsys, "datasets", "add", kept.place("worm"), *kept.options)
    report = Result(capsys, "datasets", "verify", "worm", *kept.options, "--json").json
    assert (report["damage"], report["files"]) == ([], 1)
