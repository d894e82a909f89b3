"""template.yaml as a form, and what it makes."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from builders.template import ROOT, references
from zarrlink import aws_tables
from zarrlink.annotations import import_job, large_uploads, s3_vault
from zarrlink.errors import ExportTooLarge, JobEnded, SourceReplaced
from zarrlink.exports import store_s3
from zarrlink.exports.work import FINAL

API_GATEWAY_WAITS_S = 29
DEFINITION = (ROOT / "infra" / "export.asl.json").read_text()
# As JSON: a substitution that is no text would be none.
MACHINE: dict[str, Any] = json.loads(DEFINITION)


def needs(template: dict[str, Any]) -> dict[str, set[str]]:
    """Resource -> the resources that must be there before it. As SAM translates: an API holds its functions' ARNs."""
    resources = copy.deepcopy(template["Resources"])
    edges: dict[str, set[str]] = {name: set() for name in resources}
    for name, resource in resources.items():
        for event in resource["Properties"].pop("Events", {}).values():
            if event["Type"] == "Api":
                edges[event["Properties"]["RestApiId"]["Ref"]].add(name)
            else:
                # By a resource of its own, which the function does not wait for; here it does, as that makes more cycles.
                edges[name] |= set(references(event["Properties"])) & resources.keys()
        edges[name] |= set(references(resource)) & resources.keys()
    return edges


def has_cycle(edges: dict[str, set[str]]) -> bool:
    left = dict(edges)
    while left:
        free = [name for name, needed in left.items() if not needed & left.keys()]
        if not free:
            return True
        for name in free:
            del left[name]
    return False


def test_no_resource_waits_for_itself(template: dict[str, Any]) -> None:
    assert not has_cycle(needs(template))


def test_a_function_that_names_its_api_would_be_a_cycle(template: dict[str, Any]) -> None:
    """Why PUBLIC_URL is a parameter; and the test above can fail."""
    changed = copy.deepcopy(template)
    address = {"Fn::Sub": "https://${Api}.execute-api.${AWS::Region}.amazonaws.com/v1"}
    changed["Resources"]["ApiFunction"]["Properties"]["Environment"]["Variables"]["PUBLIC_URL"] = address

    assert has_cycle(needs(changed))


def test_whatever_is_named_is_there_and_every_parameter_is_used(template: dict[str, Any]) -> None:
    named = {name for part in ("Conditions", "Globals", "Resources", "Outputs") for name in references(template[part])}
    there = template["Parameters"].keys() | template["Resources"].keys()

    assert {name for name in named if not name.startswith("AWS::")} <= there
    assert template["Parameters"].keys() <= named


def sentences(template: dict[str, Any]) -> list[tuple[str, str]]:
    parts = [*template["Parameters"].items(), *template["Outputs"].items()]
    return [(name, it.get("Description", "")) for name, it in parts]


def test_every_parameter_and_output_says_what_it_is(template: dict[str, Any]) -> None:
    for name, text in sentences(template):
        assert len(text) >= 20, name
        # CloudFormation's limit; an output's and a parameter's alike.
        assert len(text) <= 1024, name


def test_every_parameter_is_in_one_group_and_has_a_label(template: dict[str, Any]) -> None:
    form = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in form["ParameterGroups"] for name in group["Parameters"]]

    assert sorted(grouped) == sorted(template["Parameters"])
    assert form["ParameterLabels"].keys() == template["Parameters"].keys()


def test_every_parameter_refuses_what_does_not_fit(template: dict[str, Any]) -> None:
    for name, parameter in template["Parameters"].items():
        if parameter["Type"] == "Number":
            assert {"MinValue", "MaxValue"} <= parameter.keys() or "AllowedValues" in parameter, name
        else:
            assert {"AllowedValues", "AllowedPattern"} & parameter.keys(), name


@pytest.mark.parametrize(
    ("name", "fits", "not_so"),
    [
        (
            "DataBucketArns",
            ["arn:aws:s3:::my-volumes", "arn:aws-cn:s3:::a.b.c"],
            ["my-volumes", "arn:aws:s3:::a/b", ""],
        ),
        ("DataKeyArns", ["", "arn:aws:kms:eu-central-1:123456789012:key/12ab-34"], ["alias/key", "*"]),
        (
            "PublicUrl",
            ["", "https://links.example.org", "http://127.0.0.1:8080"],
            ["links.example.org", "https://a/", "https://a/v1"],
        ),
        (
            "AllowedSources",
            ["", "s3://other/volumes", "https://host/a,s3://b/c"],
            ["/etc", "file:///etc", "https://a https://b", "https://a,/etc"],
        ),
    ],
)
def test_patterns(template: dict[str, Any], name: str, fits: list[str], not_so: list[str]) -> None:
    """CloudFormation matches the whole value, and of a list each one."""
    pattern = re.compile(template["Parameters"][name]["AllowedPattern"])
    assert [value for value in fits if not pattern.fullmatch(value)] == []
    assert [value for value in not_so if pattern.fullmatch(value)] == []


def test_every_function_has_its_limits_as_parameters(
    template: dict[str, Any], functions: dict[str, dict[str, Any]]
) -> None:
    for name, function in functions.items():
        for limit in ("MemorySize", "Timeout"):
            assert template["Parameters"][function[limit]["Ref"]]["Type"] == "Number", (name, limit)
        if name.startswith("Export") or name == "LinkUsesFunction":
            # The state machine says how many run at once; a schedule calls one, and not again while it may run.
            assert "ReservedConcurrentExecutions" not in function
            continue
        condition, reserved, none = function["ReservedConcurrentExecutions"]["Fn::If"]
        assert none == {"Ref": "AWS::NoValue"}, name
        assert template["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [reserved, 0]}]}, name


def test_snapstart_is_off_as_the_decision_says(template: dict[str, Any], functions: dict[str, dict[str, Any]]) -> None:
    """docs/decisions/0015: what turning it on takes."""
    for properties in (template["Globals"]["Function"], *functions.values()):
        assert not {"SnapStart", "AutoPublishAlias"} & properties.keys()


def test_no_function_outlives_api_gateways_patience(
    template: dict[str, Any], functions: dict[str, dict[str, Any]]
) -> None:
    for function in functions.values():
        if any(event["Type"] == "Api" for event in function.get("Events", {}).values()):
            assert template["Parameters"][function["Timeout"]["Ref"]]["MaxValue"] < API_GATEWAY_WAITS_S


def test_an_import_has_as_many_invocations_as_its_code_counts_on(functions: dict[str, dict[str, Any]]) -> None:
    """Those that import, and one that says that they came to nothing."""
    throttled, failed = MACHINE["States"]["Import"]["Retry"]
    assert (throttled["ErrorEquals"], failed["ErrorEquals"]) == (["Lambda.TooManyRequestsException"], ["States.ALL"])
    assert 1 + failed["MaxAttempts"] == import_job.MAX_ATTEMPTS + 1
    # Of downloads.
    assert functions["AnnotationImportFunction"]["EventInvokeConfig"]["MaximumRetryAttempts"] == 2


def test_an_import_has_room_for_the_largest_upload(template: dict[str, Any]) -> None:
    limit, scratch = (template["Parameters"][name] for name in ("UploadLimit", "ImportScratch"))
    assert limit["Default"] * 2 < scratch["Default"]
    assert limit["MaxValue"] < scratch["MaxValue"]
    assert limit["MaxValue"] * 2**20 <= large_uploads.MAX_PARTS * 5 * 2**30


def test_every_log_group_is_a_functions_or_the_apis_and_ends(
    of_type: Any, functions: dict[str, dict[str, Any]]
) -> None:
    groups = of_type("AWS::Logs::LogGroup")
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())
    used = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions.values()]
    assert sorted([*used, "AccessLogGroup", "ExportMachineLog"]) == sorted(groups)


def test_one_python_version(template: dict[str, Any], of_type: Any, bundle: Any) -> None:
    runtime = template["Globals"]["Function"]["Runtime"]
    layers = of_type("AWS::Serverless::LayerVersion").values()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert runtime == f"python{bundle.PYTHON_VERSION}"
    assert all(layer["CompatibleRuntimes"] == [runtime] for layer in layers)
    oldest = project["requires-python"].removeprefix(">=").split(".")
    assert [int(part) for part in bundle.PYTHON_VERSION.split(".")] >= [int(part) for part in oldest]


def test_code_is_built_by_makefiles_for_the_processor_that_the_form_names(
    template: dict[str, Any], bundle: Any, sizes: Any
) -> None:
    architecture = template["Parameters"]["Architecture"]
    assert architecture["Default"] == "arm64"
    assert set(architecture["AllowedValues"]) == set(bundle.PLATFORMS)
    assert template["Globals"]["Function"]["Architectures"] == [{"Ref": "Architecture"}]
    built = {}
    for name, resource in template["Resources"].items():
        if "BuildMethod" in resource.get("Metadata", {}):
            properties = resource["Properties"]
            built[name] = properties.get("ContentUri") or properties["CodeUri"]
            assert resource["Metadata"]["BuildMethod"] == "makefile"
            assert f"\nbuild-{name}:\n" in (ROOT / built[name] / "Makefile").read_text()
    assert built.keys() == sizes.LIMITS.keys()


def test_the_core_layer_has_what_the_package_needs() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    core = (ROOT / "shared" / "Makefile").read_text().partition("build-ArraysLayer:")[0]
    assert [name for name in needed if not re.search(rf"bundle\.py .*\b{name}\b", core)] == []


@pytest.mark.parametrize(
    ("logical", "definition"),
    [
        ("LinksTable", aws_tables.LINKS),
        ("CatalogueTable", aws_tables.CATALOGUE),
        ("AnnotationsTable", aws_tables.ANNOTATIONS),
        ("UsersTable", aws_tables.USERS),
        ("JobsTable", aws_tables.JOBS),
    ],
)
def test_tables_are_what_the_adapters_take_them_for(of_type: Any, logical: str, definition: dict[str, Any]) -> None:
    table = of_type("AWS::DynamoDB::Table")[logical]
    assert {name: table.get(name) for name in definition} == definition
    assert "GlobalSecondaryIndexes" in definition or "GlobalSecondaryIndexes" not in table


def test_tables_can_be_got_back(of_type: Any) -> None:
    for table in of_type("AWS::DynamoDB::Table").values():
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["SSESpecification"] == {"SSEEnabled": True}
        assert table["DeletionProtectionEnabled"] == {"Ref": "ProtectTables"}
        # A table with a name of its own could not be made anew beside the one that was kept.
        assert "TableName" not in table


def test_what_cannot_be_made_again_is_kept(template: dict[str, Any]) -> None:
    kept = {"AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::S3::Bucket", "AWS::S3::BucketPolicy"}
    for name, resource in template["Resources"].items():
        # What CDN and API say to each other is made again with them.
        if resource["Type"] in kept and name != "EdgeSecret":
            # What a deployment that fails has made goes again, but for tables, whose protection would make that fail as well.
            created = "Retain" if resource["Type"] == "AWS::DynamoDB::Table" else "RetainExceptOnCreate"
            assert resource["DeletionPolicy"] == created, name
            assert resource["UpdateReplacePolicy"] == "Retain", name


@pytest.mark.parametrize("logical", ["AnnotationBucket", "ExportBucket"])
def test_a_bucket_is_nobody_elses(of_type: Any, logical: str) -> None:
    bucket = of_type("AWS::S3::Bucket")[logical]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    policy = of_type("AWS::S3::BucketPolicy")[f"{logical}Policy"]
    assert policy["Bucket"] == {"Ref": logical}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    # A bucket with a name of its own could not be made anew beside the one that was kept.
    assert "BucketName" not in bucket


def test_what_uploads_leave_behind_goes_by_itself_and_no_annotation_does(of_type: Any) -> None:
    bucket = of_type("AWS::S3::Bucket")["AnnotationBucket"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert [rule["Status"] for rule in rules] == ["Enabled"] * len(rules)
    assert [rule["AbortIncompleteMultipartUpload"] for rule in rules if "AbortIncompleteMultipartUpload" in rule] == [
        {"DaysAfterInitiation": 3}
    ]
    expiring = [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule]
    assert expiring == ["uploads/"]
    assert large_uploads.upload_key("1") == "uploads/1"
    assert s3_vault.TOP == "annotations"


def test_all_that_exports_leave_goes_by_itself(of_type: Any) -> None:
    rules = of_type("AWS::S3::Bucket")["ExportBucket"]["LifecycleConfiguration"]["Rules"]
    assert [rule["Status"] for rule in rules] == ["Enabled"] * 3
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    assert expiring == {f"{store_s3.RESULTS}/": {"Ref": "ResultDays"}, f"{store_s3.SCRATCH}/": 1}
    assert rules[-1]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    # Not under the feet of a job that is still at work.
    assert MACHINE["TimeoutSeconds"] < 24 * 3600


def test_jobs_expire_from_their_table(of_type: Any) -> None:
    assert of_type("AWS::DynamoDB::Table")["JobsTable"]["TimeToLiveSpecification"] == aws_tables.JOBS_TIME_TO_LIVE


def states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All of them, those of a Map as well."""
    for name, state in definition["States"].items():
        yield name, state
        if state["Type"] == "Map":
            yield from states(state["ItemProcessor"])


def test_the_machine_names_what_the_template_gives_it(of_type: Any) -> None:
    machine = of_type("AWS::Serverless::StateMachine")["ExportMachine"]
    assert (ROOT / machine["DefinitionUri"]).read_text() == DEFINITION
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION)) == machine["DefinitionSubstitutions"].keys()
    named = {it["Fn::GetAtt"][0] for it in machine["DefinitionSubstitutions"].values()}
    assert named <= of_type("AWS::Serverless::Function").keys()


def test_every_task_ends_and_fails_into_the_clean_up(template: dict[str, Any]) -> None:
    longest = max(template["Parameters"][name]["MaxValue"] for name in ("ExportTimeout", "ImportTimeout"))
    tasks = {name: state for name, state in states(MACHINE) if state["Type"] == "Task"}
    for name, task in tasks.items():
        # Lambda ends a function first: a task that is tried again while it still runs would have two.
        assert longest < task["TimeoutSeconds"] < MACHINE["TimeoutSeconds"], name
        assert task["Retry"], name
    caught = {name: task["Catch"][0]["Next"] for name, task in tasks.items() if "Catch" in task}
    assert caught == {"Plan": "Abort", "Small": "Abort", "Unit": "AbortUnit", "Finish": "Abort"}
    assert tasks.keys() - caught.keys() == {"Abort", "AbortUnit", "Import"}


def test_what_is_final_is_not_tried_again() -> None:
    """And what no execution can tell from something final is."""
    final = {kind.__name__ for kind in (*FINAL, ExportTooLarge, SourceReplaced, JobEnded)}
    for name, state in states(MACHINE):
        if state["Type"] == "Task" and name != "Import":
            again = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
            assert {"SourceUnavailable", "SourceChanged", "Lambda.TooManyRequestsException", "States.Timeout"} <= again
            assert not again & {*final, "States.ALL", "States.TaskFailed"}


def test_bad_ends_come_to_the_clean_up(of_type: Any) -> None:
    rule = of_type("AWS::Events::Rule")["ExportEnded"]
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["ABORTED", "FAILED", "TIMED_OUT"], "stateMachineArn": [{"Ref": "ExportMachine"}]},
    }
    assert [target["Arn"] for target in rule["Targets"]] == [{"Fn::GetAtt": ["ExportAbortFunction", "Arn"]}]


def test_links_expire_from_their_table_and_tell_of_changes_as_what_they_open_does(of_type: Any) -> None:
    tables = of_type("AWS::DynamoDB::Table")
    assert tables["LinksTable"]["TimeToLiveSpecification"] == aws_tables.LINKS_TIME_TO_LIVE
    streamed = {name: it["StreamSpecification"] for name, it in tables.items() if "StreamSpecification" in it}
    assert streamed == {
        name: {"StreamViewType": "NEW_AND_OLD_IMAGES"} for name in ("LinksTable", "CatalogueTable", "AnnotationsTable")
    }


def test_the_first_key_is_long_and_made_once(of_type: Any) -> None:
    """Any change of these words makes CloudFormation write a new key, and every link ends: do not adapt this test."""
    assert of_type("AWS::SecretsManager::Secret")["LinkKeys"]["GenerateSecretString"] == {
        "SecretStringTemplate": '{"current":"a"}',
        "GenerateStringKey": "a",
        "PasswordLength": 64,
        "ExcludePunctuation": True,
    }


def test_bytes_stay_bytes(of_type: Any) -> None:
    api = of_type("AWS::Serverless::Api")["Api"]
    assert api["BinaryMediaTypes"] == ["*/*"]
    assert "MinimumCompressionSize" not in api


def test_the_address_of_a_request_is_logged_nowhere(of_type: Any) -> None:
    """It is a secret. Each word of the access log is one of these; the path, in any form, is none of them."""
    api = of_type("AWS::Serverless::Api")["Api"]
    condition, setting, none = api["AccessLogSetting"]["Fn::If"]
    words = re.findall(r"\$context\.([A-Za-z.]+)", setting["Format"])

    assert condition == "HasAccessLog"
    assert none == {"Ref": "AWS::NoValue"}
    assert "status" in words
    assert set(words) <= {
        "requestId", "requestTimeEpoch", "httpMethod", "status", "responseLatency", "responseLength",
        "integrationLatency", "integrationStatus", "error.responseType",
    }  # fmt: skip
    assert setting["Format"].count("$") == len(words)
    assert api["TracingEnabled"] is False
    assert [it["LoggingLevel"] for it in api["MethodSettings"]] == ["OFF"]
    assert [it["DataTraceEnabled"] for it in api["MethodSettings"]] == [False]


def test_requests_are_throttled(of_type: Any) -> None:
    (settings,) = of_type("AWS::Serverless::Api")["Api"]["MethodSettings"]
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    assert settings["ThrottlingBurstLimit"] == {"Ref": "RequestBurst"}


def test_api_gateways_own_errors_are_no_fill_value(of_type: Any) -> None:
    """Without CORS, and as 403, a reader in a browser takes them for a chunk that was never written."""
    responses = of_type("AWS::Serverless::Api")["Api"]["GatewayResponses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= responses.keys()
    for response in responses.values():
        assert response["ResponseParameters"]["Headers"]["Access-Control-Allow-Origin"] == "'*'"
        assert response["ResponseParameters"]["Headers"]["Cache-Control"] == "'no-store'"
    for retried in ("THROTTLED", "DEFAULT_5XX"):
        assert responses[retried]["ResponseParameters"]["Headers"]["Retry-After"].strip("'").isdigit()
    assert responses["DEFAULT_5XX"]["StatusCode"] == 503
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["StatusCode"] == 404


def test_routes(functions: dict[str, dict[str, Any]]) -> None:
    routes = {
        (event["Properties"]["Path"], event["Properties"]["Method"]): name
        for name, function in functions.items()
        for event in function.get("Events", {}).values()
        if event["Type"] == "Api"
    }
    assert routes == {
        ("/zarr/{proxy+}", "ANY"): "StreamFunction",
        ("/c/{proxy+}", "ANY"): "StreamFunction",
        ("/u/{proxy+}", "ANY"): "StreamFunction",
        ("/api/{proxy+}", "ANY"): "ApiFunction",
        ("/data/{proxy+}", "ANY"): "ApiFunction",
        ("/", "GET"): "ApiFunction",
        ("/web/{proxy+}", "GET"): "ApiFunction",
    }


def test_the_tools_are_pinned_without_any_address() -> None:
    pins = (ROOT / "constraints-aws.txt").read_text().splitlines()
    assert {"aws-sam-cli", "cfn-lint", "uv"} <= {pin.partition("==")[0] for pin in pins}
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][^ /]*( ; .*)?", line)] == []
