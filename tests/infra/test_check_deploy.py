"""What `make deploy` looks at before it builds anything."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.canned import CannedServer, answer
from builders.documents import blocks, commands
from builders.moto_aws import REGION, MotoAws, moto_aws
from builders.moto_stack import deploy, environment
from builders.template import ROOT

FIRST = "DataBucketArns=arn:aws:s3:::my-volumes"
# The longest name of a region that there is.
LONGEST_REGION = "ap-southeast-1"
INLINE = re.compile(r"`(make deploy PARAMETERS=[^`]+)`")
Check = Callable[..., str]


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture
def check(
    aws: MotoAws,
    check_deploy: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Check:
    """What the script prints, in a newcomer's shell; or its one line of why not, with exit status 2."""

    def run(parameters: str = FIRST, *, stack: str = "zarrlink", arch: str = "arm64", **more: str) -> str:
        with monkeypatch.context() as shell:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                shell.delenv(name)
            for name, value in {**environment(aws), "PARAMETERS": parameters, **more}.items():
                shell.setenv(name, value)
            shell.setattr(sys, "argv", ["check_deploy.py", stack, arch, str(tmp_path / "made" / "p.yaml")])
            status: Any = 0
            try:
                check_deploy.main()
            except SystemExit as ended:
                status = ended.code
        out, err = capsys.readouterr()
        if status == 0:
            assert err == ""
            return out
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("make deploy: ")
        assert not (tmp_path / "made").exists()
        return err

    return run


def written(tmp_path: Path) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load((tmp_path / "made" / "p.yaml").read_text())
    return found


def test_parameters_are_written_as_they_were_said(check: Check, tmp_path: Path) -> None:
    told = check(f"{FIRST},arn:aws:s3:::more AlarmEmail= AllowedSources='https://host/a/b=\"c\"&d' StreamMemory=3008")
    assert told == f"account 123456789012, {REGION}: stack zarrlink is new\n"
    assert written(tmp_path) == {
        "Architecture": "arm64",
        "DataBucketArns": "arn:aws:s3:::my-volumes,arn:aws:s3:::more",
        "AlarmEmail": "",
        "AllowedSources": 'https://host/a/b="c"&d',
        "StreamMemory": "3008",
    }


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("DataBucketArn=x", "no parameter DataBucketArn; did you mean DataBucketArns"),
        ("streammemory=2000", "no parameter streammemory; did you mean StreamMemory"),
        ("Qqqqqqqq=1", "no parameter Qqqqqqqq; it has AccessLog, AccountConcurrency, "),
        ("AlarmEmail", "Name=value"),
        ("DataBucketArns=arn:aws:s3:::a, arn:aws:s3:::b", "arn:aws:s3:::b is no such pair"),
        (
            "DataBucketArns=arn:aws:s3:::a-volume,,b",
            "DataBucketArns=arn:aws:s3:::a-volume,,b cannot be: each is a bucket's ARN",
        ),
        ("DataKeyArns=arn:aws:kms:eu-central-1:123456789012:key/1,", "cannot be: each is a key's ARN"),
        ("AlarmEmail='a", "quotation mark"),
        ("Cdn=true Cdn=false", "Cdn is given twice"),
        ("Cdn=yes", "Cdn=yes cannot be: it is one of true, false"),
        ("LogRetentionDays=8", "it is one of 1, 3, 5"),
        ("StreamMemory=1", "StreamMemory=1 cannot be: it is a number from "),
        ("StreamMemory=much", "it is a number from "),
        ("PublicUrl=links.example.org", "an address such as https://links.example.org"),
        ("Architecture=x86_64", "ARCH=x86_64"),
        ("", "a new one needs DataBucketArns"),
        ("Cdn=false", "a new one needs DataBucketArns"),
    ],
)
def test_what_cannot_be_is_said(check: Check, parameters: str, said: str) -> None:
    assert said in check(parameters)


ROLE = "VolumesRoleArn=arn:aws:iam::222222222222:role/read-volumes"
CERTIFICATE = "CdnCertificateArn=arn:aws:acm:us-east-1:123456789012:certificate/1"


@pytest.mark.parametrize(
    ("parameters", "names", "why"),
    [
        ("OidcIssuer=https://login.example.org", "OidcIssuer, OidcAudience", "an issuer and an audience"),
        ("OidcAudience=zarrlink", "OidcIssuer, OidcAudience", "an issuer and an audience"),
        ("OidcIssuer=https://u:p@host OidcAudience=zarrlink", "OidcIssuer, OidcAudience", "such as https://host"),
        ("WkOrganization=lab", "WkUrl, WkOrganization, WkAdmins", "say its address as well"),
        ("WkAdmins=true", "WkUrl, WkOrganization, WkAdmins", "say its address as well"),
        ("WkUrl=https://u:p@host", "WkUrl, WkOrganization, WkAdmins", "such as https://host"),
        ("WkUrl=https://[x", "WkUrl, WkOrganization, WkAdmins", "such as https://host"),
        ("UiOrigins=https://*.example.org", "UiOrigins", "is not the origin of a UI"),
        ("UiOrigins=https://u@host", "UiOrigins", "is not the origin of a UI"),
        ("UiOrigins=https://ui.example.org,https://host:", "UiOrigins", "is not the origin of a UI"),
        ("AllowedSources=https://host/x?y=1", "AllowedSources", "neither query nor fragment"),
        ("AllowedSources=s3://ok/x,s3://o/../x", "AllowedSources", "without . and .."),
        ("AllowedSources=https://u@h/x", "AllowedSources", "no user name or password"),
        ("AllowedSources=s3:///x", "AllowedSources", "a plain host name, or a bucket"),
        ("AllowedSources=https://h:99999/x", "AllowedSources", "a host and port that can be read"),
        ("CdnDomain=links.example.org", "CdnDomain, CdnCertificateArn", "CdnDomain needs CdnCertificateArn"),
        (ROLE, "VolumesRoleArn, VolumesRoleBuckets", "VolumesRoleArn needs VolumesRoleBuckets"),
        ("VolumesRoleBuckets=my-volumes", "VolumesRoleBuckets, VolumesRoleArn", "needs VolumesRoleArn"),
        (
            f"{ROLE} VolumesRoleBuckets=my-volumes,theirs",
            "VolumesRoleBuckets, DataBucketArns",
            "theirs has to be among DataBucketArns",
        ),
        ("RequesterPaysBuckets=open-data", "RequesterPaysBuckets, DataBucketArns", "open-data has to be among"),
        (
            "UploadLimit=5120 ImportScratch=10000",
            "UploadLimit, ImportScratch",
            "10000 MiB of scratch space hold an upload of 5000",
        ),
        (
            "UiOrigins=" + ",".join(f"https://ui-{number}.example.org" for number in range(60)),
            "UiOrigins",
            "of which a function takes 1024",
        ),
        ("StreamConcurrency=950", "StreamConcurrency, AccountConcurrency", "at most 900 of an account's 1000"),
        (
            "StreamConcurrency=500 ApiConcurrency=401",
            "StreamConcurrency, ApiConcurrency, AccountConcurrency",
            "at most 900",
        ),
        ("AccountConcurrency=10 ApiConcurrency=1", "ApiConcurrency, AccountConcurrency", "at most 0 of"),
        ("AccountConcurrency=10", "ExportConcurrency, AccountConcurrency", "the account runs 10 functions"),
        ("ImportScratch=4096", "UploadLimit, ImportScratch", "4096 MiB of scratch space hold an upload of 2048"),
    ],
)
def test_what_no_function_would_start_with_or_do_is_said(check: Check, parameters: str, names: str, why: str) -> None:
    told = check(f"{FIRST} {parameters}")
    assert told.startswith(f"make deploy: {names} cannot be as given, or as the stack has it: ")
    assert why in told


@pytest.mark.parametrize(
    "parameters",
    [
        "OidcIssuer=https://login.example.org/realms/lab OidcAudience=zarrlink OidcUserClaim=email",
        "WkUrl=https://webknossos.example.org WkOrganization=lab WkAdmins=true",
        "UiOrigins=https://ui.example.org,http://127.0.0.1:9000",
        "AllowedSources=s3://other/volumes,gs://b/x,https://host:8443/volumes",
        f"CdnDomain=links.example.org {CERTIFICATE}",
        CERTIFICATE,
        f"{ROLE} VolumesRoleBuckets=my-volumes",
        "RequesterPaysBuckets=my-volumes",
        "UploadLimit=1024 ImportScratch=2560",
        "DataKeyArns= UiOrigins= WkUrl= OidcIssuer= AllowedSources=",
    ],
)
def test_what_goes_together_is_let_through(check: Check, parameters: str) -> None:
    assert check(f"{FIRST} {parameters}").endswith("is new\n")


def test_what_the_stack_has_counts(check: Check, aws: MotoAws, tmp_path: Path) -> None:
    has = {"WkUrl": "https://webknossos.example.org", "WkOrganization": "lab", "OidcAudience": "zarrlink"}
    name = deploy(aws, ["one", "two"], **has)
    assert "WkUrl, WkOrganization, WkAdmins cannot be" in check("OidcAudience= WkUrl=", stack=name)
    # What it could not be started with before, either.
    assert "OidcIssuer, OidcAudience cannot be" in check("ResultDays=30", stack=name)
    assert "two has to be among" in check(
        "OidcAudience= RequesterPaysBuckets=two DataBucketArns=arn:aws:s3:::one-more", stack=name
    )
    good = "OidcIssuer=https://login.example.org WkUrl= WkOrganization= RequesterPaysBuckets=two"
    assert check(good, stack=name).endswith("is updated\n")
    assert written(tmp_path)["WkOrganization"] == ""


@pytest.mark.parametrize("stack", ["", "a" * 33, "1lab", "my_lab", "a b"])
def test_a_name_that_no_stack_can_have(check: Check, stack: str) -> None:
    assert "at most 32 letters, digits and hyphens" in check(stack=stack)


def test_a_processor_that_there_is_not(check: Check) -> None:
    assert "ARCH=i386 cannot be: it is one of arm64, x86_64" in check(arch="i386")


def test_names_made_of_the_stacks_are_short_enough(template: dict[str, Any]) -> None:
    """Of the longest stack in the region with the longest name."""
    words = {"AWS::StackName": "s" * 32, "AWS::Region": LONGEST_REGION}
    names = [
        re.sub(r"\$\{([A-Za-z:]+)\}", lambda found: words[found[1]], text)
        for it in template["Resources"].values()
        for text in texts_of_names(it["Properties"])
    ]
    assert len(names) > 8
    # A delivery source's, and everybody else's.
    assert max(len(name) for name in names if name.endswith("-edge")) <= 60
    assert max(map(len, names)) <= 64


def texts_of_names(value: Any) -> Iterator[str]:
    """What `Name: !Sub` makes of the stack's name."""
    if isinstance(value, dict):
        name = value.get("Name")
        if isinstance(name, dict) and "AWS::StackName" in str(name.get("Fn::Sub")):
            yield name["Fn::Sub"]
        for inner in value.values():
            yield from texts_of_names(inner)


def test_every_parameter_can_be_checked(template: dict[str, Any]) -> None:
    for name, it in template["Parameters"].items():
        if "AllowedPattern" in it:
            assert it["ConstraintDescription"], name
            if "Default" in it:
                assert re.fullmatch(it["AllowedPattern"], it["Default"]), name


def test_a_stack_that_is_there_keeps_what_is_not_named(check: Check, aws: MotoAws, tmp_path: Path) -> None:
    name = deploy(aws, ["one"])
    assert (
        check("ResultDays=30", stack=name) == f"account 123456789012, {REGION}: stack {name} is there, and is updated\n"
    )
    assert written(tmp_path) == {"Architecture": "arm64", "ResultDays": "30"}


def test_more_buckets_than_a_policy_has_room_for_are_refused(check: Check) -> None:
    arns = [f"arn:aws:s3:::a-bucket-with-quite-a-long-name-{number:02}" for number in range(60)]
    assert "too many for a role's policy" in check(f"DataBucketArns={','.join(arns)}")
    check(f"DataBucketArns={','.join(arns[:40])}")


def test_a_stack_is_moved_to_the_other_processor_by_word_alone(check: Check, aws: MotoAws, tmp_path: Path) -> None:
    parameters = {"DataBucketArns": "arn:aws:s3:::one", "Architecture": "x86_64"}
    body = {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {"Q": {"Type": "AWS::SQS::Queue"}},
    }
    aws.client("cloudformation").create_stack(
        StackName="intel",
        TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    told = check("ResultDays=30", stack="intel", arch="")
    assert "the stack intel runs on x86_64: ARCH=x86_64 keeps it there, ARCH=arm64 moves it" in told
    check("ResultDays=30", stack="intel", arch="x86_64")
    assert written(tmp_path)["Architecture"] == "x86_64"


def test_a_stack_of_something_else_is_left_alone(check: Check, aws: MotoAws) -> None:
    body = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'
    aws.client("cloudformation").create_stack(StackName="theirs", TemplateBody=body)
    assert "is something else's; name another with STACK=" in check(stack="theirs")


STACK = (
    '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>'
    "<StackName>zarrlink</StackName><StackStatus>{}</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>"
    "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("ROLLBACK_COMPLETE", '"When a first deployment fails"'),
        ("ROLLBACK_FAILED", '"When a first deployment fails"'),
        ("DELETE_FAILED", '"When a first deployment fails"'),
        ("UPDATE_IN_PROGRESS", "wait until"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait until"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
    ],
)
def test_a_stack_that_takes_no_update_says_what_comes_first(check: Check, status: str, said: str) -> None:
    with CannedServer(answer("200 OK", STACK.format(status).encode(), Content_Type="text/xml")) as server:
        told = check(AWS_ENDPOINT_URL_CLOUDFORMATION=server.endpoint)
    assert f"the stack zarrlink is {status}: " in told
    assert said in told


def test_what_a_broken_off_first_time_left_is_no_stack(check: Check) -> None:
    """A change set that nobody said yes to."""
    body = STACK.format("REVIEW_IN_PROGRESS").encode()
    with CannedServer(answer("200 OK", body, Content_Type="text/xml")) as server:
        assert "is new" in check(AWS_ENDPOINT_URL_CLOUDFORMATION=server.endpoint)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_credentials_that_do_not_hold_are_said(check: Check, code: str) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>arn of me</Message></Error></ErrorResponse>".encode()
    with CannedServer(answer("403 Forbidden", body, Content_Type="text/xml")) as server:
        told = check(AWS_ENDPOINT_URL_STS=server.endpoint)
    assert "sign in again" in told
    assert "arn of me" not in told


def test_without_credentials_or_region_it_is_said_what_to_set(check: Check) -> None:
    assert "choose a profile with AWS_PROFILE" in check(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert "set AWS_REGION" in check(AWS_REGION="")
    assert "set AWS_REGION" in check(AWS_REGION="", AWS_DEFAULT_REGION="")
    assert "such as eu-central-1" in check(AWS_REGION="Frankfurt am Main")


# --- the verb ---


def told_by_make(*words: str) -> str:
    return subprocess.run(
        ["make", "-n", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_it_is_looked_at_before_anything_is_built() -> None:
    told = told_by_make("deploy", "STACK=lab", "ARCH=x86_64", "AWS_REGION=eu-west-1")
    looked, built, deployed = (told.index(it) for it in ("check_deploy.py", "sam build", "sam deploy"))
    assert looked < built < deployed
    assert 'check_deploy.py "lab" "x86_64" .aws-sam/parameters.yaml' in told
    assert "AWS_DEFAULT_REGION=eu-west-1" in told
    assert '--stack-name "lab"' in told
    assert f"--parameter-overrides file://{ROOT}/.aws-sam/parameters.yaml" in told
    assert "ARCH=arm64" not in told


def test_what_documents_deploy_is_let_through(check: Check, aws: MotoAws) -> None:
    """Up to where it would be built: to stacks that are there, as most of it changes one parameter."""
    there: set[str] = set()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        found = [words for block in blocks(page) if block.kind == "sh" for words in commands(block)]
        inline = [
            shlex.split(it.replace("...", "123456789012:certificate/1")) for it in INLINE.findall(page.read_text())
        ]
        for words in [*found, *inline]:
            if words[:2] == ["make", "deploy"]:
                variables = dict(word.split("=", 1) for word in words[2:])
                stack = variables.get("STACK", "documented")
                if stack not in there:
                    there.add(deploy(aws, ["one"], name=stack))
                told = check(variables.get("PARAMETERS", "").replace("THAT", "1" * 32), stack=stack)
                assert told.endswith("is updated\n"), (page, words)
    assert len(there) == 2
