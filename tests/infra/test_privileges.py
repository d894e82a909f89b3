"""Who may do what: every role may do what its function's code asks for, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from builders.template import as_created
from contracts.annotations import CELLS
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads, UploadRecord
from zarrlink.dynamodb_table import delete_action, update_action
from zarrlink.edge.kvs import KvsClient
from zarrlink.edge.memory import MemoryStore
from zarrlink.edge.sync import EdgeSync
from zarrlink.jobs.dynamodb import DynamoJobs
from zarrlink.jobs.model import Job
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.model import Link, Uses
from zarrlink.links.token import KeyRing
from zarrlink.users.dynamodb import DynamoUsers
from zarrlink.view import View

Grants = set[tuple[str, str]]
ACTION = {"get_item": "GetItem", "put_item": "PutItem", "update_item": "UpdateItem", "query": "Query", "scan": "Scan"}
# What a transaction asks for: each of its writes by itself.
READING_A_STREAM = ("dynamodb:GetRecords", "dynamodb:GetShardIterator")
WRITES = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
DATASET = "0123456789abcdef01234567"
JOB = Job(DATASET, "ann", "ome_tiff", DATASET, "", "{}", "mouse.ome.tif", "submission", 1)
EXPORT_STEPS = ("Plan", "Part", "Finish", "Abort")
LINK = Link(
    "Utbk2MqW8rns9yGf", "ann", View(DATASET, ("em",)), {"em": "f"}, name="", note="", created_ms=1, expires_ms=None
)


def statements(template: dict[str, Any], logical: str) -> Iterator[dict[str, Any]]:
    """Of a role or managed policy, with what it is granted under a condition."""
    properties = template["Resources"][logical]["Properties"]
    documents = [properties[it] for it in ("PolicyDocument",) if it in properties]
    documents += [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    for document in documents:
        for statement in document["Statement"]:
            yield from statement["Fn::If"][1:2] if "Fn::If" in statement else [statement]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def grants(template: dict[str, Any], logical: str, service: str) -> Grants:
    """(action, resource) pairs of a service; resources by logical name."""
    return {
        (action, _name(resource))
        for statement in statements(template, logical)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
        if action.startswith(f"{service}:")
    }


def _name(resource: Any) -> str:
    if isinstance(resource, str):
        return resource
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    return str(resource.get("Ref") or resource["Fn::Sub"])


class Recorder:
    """A DynamoDB client that answers nothing and notes what it was asked for."""

    def __init__(self) -> None:
        self.used: Grants = set()

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        def call(*, TableName: str = "", IndexName: str = "", **request: Any) -> dict[str, Any]:  # noqa: N803 (botocore's)
            if operation == "transact_write_items":
                writes = [write for item in request["TransactItems"] for write in item.items()]
                self.used |= {(f"dynamodb:{WRITES[kind]}", write["TableName"]) for kind, write in writes}
                return {}
            where = f"${{{TableName}.Arn}}/index/{IndexName}" if IndexName else TableName
            self.used.add((f"dynamodb:{ACTION[operation]}", where))
            return {"Items": [], "Attributes": {}}

        return call


def test_streaming_may_read_the_rows_that_it_reads(template: dict[str, Any]) -> None:
    client = Recorder()
    DynamoLinks(client, "LinksTable").get(LINK.id)
    DynamoCatalogue(client, "CatalogueTable").get(DATASET)
    DynamoAnnotations(client, "AnnotationsTable").get(DATASET)

    assert grants(template, "StreamRole", "dynamodb") == client.used


def test_the_api_may_do_to_tables_what_its_routes_do(template: dict[str, Any]) -> None:
    client = Recorder()
    links = DynamoLinks(client, "LinksTable")
    catalogue = DynamoCatalogue(client, "CatalogueTable")
    links.get(LINK.id)
    links.of_owner("ann")
    links.of_owner(None)
    links.add(LINK)
    for change in (lambda: links.change(LINK.id, "ann", name="new"), lambda: links.revoke(LINK.id, "ann", 1)):
        with contextlib.suppress(KeyError):  # the answer has no row
            change()
    catalogue.get(DATASET)
    catalogue.all()
    catalogue.register("em", "s3://bucket/em", 1)
    with contextlib.suppress(KeyError, TypeError):  # the answer has no row
        catalogue.change(DATASET, Changes(name="new"))
    # What `DynamoCatalogue.remove` does where there is one.
    catalogue._table.transact(delete_action(DATASET, "attribute_exists(#id)", {}))
    annotations = DynamoAnnotations(client, "AnnotationsTable")
    annotations.all()
    annotations.add(CELLS)
    with contextlib.suppress(KeyError, TypeError):  # the answer has no row
        annotations.change(CELLS.id, Changes(name="new"))
    annotations.get(CELLS.id)
    # What `DynamoAnnotations.remove` does where there is one.
    annotations._table.transact(delete_action(CELLS.id, "attribute_exists(#id)", {}))
    use_uploads(client)
    DynamoUsers(client, "UsersTable").by_token_hash("0" * 64)
    jobs = DynamoJobs(client, "JobsTable")
    jobs.add(JOB)
    jobs.of_owner("ann")
    jobs.running("ann")
    jobs.get(JOB.id)
    jobs.end(JOB.id, 1, "CANCELLED", 1)
    jobs.remove(JOB.id)
    # What `DynamoJobs.retry` does where there is one.
    jobs._table.transact(update_action(JOB.id, "SET #attempt = :next", "#attempt = :before", {"next": 2, "before": 1}))

    assert grants(template, "ApiRole", "dynamodb") == client.used


def use_uploads(client: Recorder) -> DynamoUploads:
    uploads = DynamoUploads(client, "AnnotationsTable")
    uploads.add(UploadRecord("1", "ann", "cells.zip", 1, "", CELLS.id, "", 1))
    uploads.remove("1")
    uploads.get("1")
    with contextlib.suppress(KeyError):  # the answer has no row
        uploads.set_state("1", "done")
    return uploads


def test_an_import_may_do_to_tables_what_it_does(template: dict[str, Any]) -> None:
    client = Recorder()
    annotations, uploads = DynamoAnnotations(client, "AnnotationsTable"), DynamoUploads(client, "AnnotationsTable")
    annotations.get(CELLS.id)
    annotations.add(CELLS)
    uploads.get("1")
    with contextlib.suppress(KeyError):  # the answer has no row
        uploads.set_state("1", "done")
    with contextlib.suppress(KeyError):
        uploads.begin_attempt("1")
    catalogue = DynamoCatalogue(client, "CatalogueTable")
    catalogue.get(DATASET)
    catalogue.all()

    assert grants(template, "AnnotationImportRole", "dynamodb") == client.used


def work_on_a_job(client: Recorder) -> None:
    jobs = DynamoJobs(client, "JobsTable")
    jobs.get(JOB.id)
    with contextlib.suppress(KeyError):  # the answer has no row
        jobs.start(JOB.id, 1, 1)
    DynamoCatalogue(client, "CatalogueTable").get(DATASET)
    DynamoAnnotations(client, "AnnotationsTable").get(DATASET)


@pytest.mark.parametrize("step", ["Plan", "Part", "Finish"])
def test_a_step_of_an_export_may_look_up_what_it_reads_and_change_its_job(template: dict[str, Any], step: str) -> None:
    client = Recorder()
    work_on_a_job(client)
    assert every_grant(template, f"Export{step}Role", "dynamodb") == client.used


def test_an_end_of_an_export_changes_its_job_alone(template: dict[str, Any]) -> None:
    granted = every_grant(template, "ExportAbortRole", "dynamodb")
    assert granted == {("dynamodb:GetItem", "JobsTable"), ("dynamodb:UpdateItem", "JobsTable")}


def test_telling_the_cdn_reads_rows_and_confirms_in_a_links_own(template: dict[str, Any]) -> None:
    client = Recorder()
    links = DynamoLinks(client, "LinksTable")
    catalogue, annotations = DynamoCatalogue(client, "CatalogueTable"), DynamoAnnotations(client, "AnnotationsTable")
    sync = EdgeSync(links, catalogue, annotations, lambda: KeyRing({"a": b"a" * 32}, "a"), MemoryStore(), lambda: 1)
    sync.reconcile()
    sync.sync_sources({DATASET})
    sync.sync_links([LINK.id])
    # What it does where there are rows.
    catalogue.get(DATASET)
    annotations.get(DATASET)
    links.confirm_revoked(LINK.id, 1)

    granted = grants(template, "LinkSyncRole", "dynamodb")
    of_streams = {(action, table) for action, table in granted if "Stream" in action or action in READING_A_STREAM}
    assert granted - of_streams == client.used
    tables = ("LinksTable", "CatalogueTable", "AnnotationsTable")
    assert of_streams == {
        *((action, table) for action in ("dynamodb:DescribeStream", *READING_A_STREAM) for table in tables),
        *(("dynamodb:ListStreams", f"${{{table}.Arn}}/stream/*") for table in tables),
    }


def test_counting_openings_adds_to_links_and_takes_log_files_away(template: dict[str, Any]) -> None:
    client = Recorder()
    DynamoLinks(client, "LinksTable").count({LINK.id: Uses(1, 1)})
    assert grants(template, "LinkUsesRole", "dynamodb") == client.used
    assert grants(template, "LinkUsesRole", "s3") == {
        ("s3:ListBucket", "EdgeLogBucket"),
        ("s3:GetObject", "${EdgeLogBucket.Arn}/AWSLogs/*"),
        ("s3:DeleteObject", "${EdgeLogBucket.Arn}/AWSLogs/*"),
    }


def test_one_function_alone_writes_what_the_cdn_knows_of_links(template: dict[str, Any], of_type: Any) -> None:
    service = "cloudfront-keyvaluestore"
    granted = {role: grants(template, role, service) for role in of_type("AWS::IAM::Role")}
    asked = {name.title().replace("_", "") for name in vars(KvsClient) if not name.startswith("_")}
    assert {role: it for role, it in granted.items() if it} == {
        "LinkSyncRole": {(f"{service}:{operation}", "EdgeStore") for operation in asked}
    }
    assert "UpdateKeys" in asked


def every_grant(template: dict[str, Any], role: str, service: str) -> Grants:
    """With those of the managed policies, but for the volumes'."""
    managed = {it["Ref"] for it in template["Resources"][role]["Properties"].get("ManagedPolicyArns", [])}
    return set().union(*(grants(template, logical, service) for logical in {role, *managed} - {"ReadVolumes"}))


BUCKET = "AnnotationBucket"
LISTING = ("s3:ListBucket", BUCKET)


def objects_of(folder: str, *actions: str) -> Grants:
    return {(f"s3:{action}", f"${{{BUCKET}.Arn}}/{folder}/*") for action in actions}


def test_annotations_are_read_by_streaming_and_written_by_whoever_imports(template: dict[str, Any]) -> None:
    """What each does with the bucket: `tests/functions/test_annotation_rights.py` asks for it, and of the bucket of
    results `test_export_rights.py`."""
    kept = ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload")
    assert grants(template, "StreamRole", "s3") == {LISTING} | objects_of("annotations", "GetObject")
    written = {grant for grant in grants(template, "ApiRole", "s3") if "ExportBucket" not in grant[1]}
    assert written == {LISTING} | objects_of("annotations", *kept) | objects_of("uploads", *kept)
    assert grants(template, "AnnotationImportRole", "s3") == {LISTING} | objects_of("annotations", *kept) | objects_of(
        "uploads", "GetObject", "DeleteObject"
    )


def test_no_function_removes_for_good_what_was_kept(template: dict[str, Any], of_type: Any) -> None:
    """A version, that is: only the bucket's own rules do."""
    actions = {
        action
        for logical in (*of_type("AWS::IAM::Role"), *of_type("AWS::IAM::ManagedPolicy"))
        for statement in statements(template, logical)
        for action in as_list(statement["Action"])
        if action.startswith("s3:")
    }
    assert "s3:DeleteObject" in actions
    assert not [action for action in actions if "Version" in action or "*" in action]


def test_the_api_has_downloads_made_and_the_machine_calls_the_rest(template: dict[str, Any], of_type: Any) -> None:
    granted = {role: grants(template, role, "lambda") for role in of_type("AWS::IAM::Role")}
    called = of_type("AWS::Serverless::StateMachine")["ExportMachine"]["DefinitionSubstitutions"].values()
    assert {role: it for role, it in granted.items() if it} == {
        "ApiRole": {("lambda:InvokeFunction", "AnnotationImportFunction")},
        "ExportMachineRole": {("lambda:InvokeFunction", function["Fn::GetAtt"][0]) for function in called},
    }


def test_the_api_starts_and_stops_jobs_and_the_machine_its_units(template: dict[str, Any], of_type: Any) -> None:
    executions = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${ExportMachine.Name}"
    granted = {role: grants(template, role, "states") for role in of_type("AWS::IAM::Role")}
    assert {role: it for role, it in granted.items() if it} == {
        "ApiRole": {("states:StartExecution", "ExportMachine"), ("states:StopExecution", f"{executions}:*")}
    }
    assert grants(template, "ExportMachineMap", "states") == {
        ("states:StartExecution", "ExportMachine"),
        *(
            (f"states:{action}Execution", f"{executions}{those}")
            for action in ("Describe", "Stop")
            for those in (":*", "/*")
        ),
    }


def test_an_import_reads_no_volumes(template: dict[str, Any]) -> None:
    assert "ManagedPolicyArns" not in template["Resources"]["AnnotationImportRole"]["Properties"]


def test_no_other_role_reads_a_secret_but_the_one_that_copies_keys(template: dict[str, Any], of_type: Any) -> None:
    granted = {role: grants(template, role, "secretsmanager") for role in of_type("AWS::IAM::Role")}
    others = {role: it for role, it in granted.items() if it and role not in ("StreamRole", "ApiRole")}
    assert others == {"LinkSyncRole": {("secretsmanager:GetSecretValue", "LinkKeys")}}


@pytest.mark.parametrize("role", ["StreamRole", "ApiRole"])
def test_both_read_the_keys_and_the_volumes(template: dict[str, Any], role: str) -> None:
    asked = "secretsmanager:GetSecretValue"
    assert grants(template, role, "secretsmanager") == {(asked, "LinkKeys"), (asked, "EdgeSecret")}
    alone = as_created(template, {"Cdn": "false"})
    assert grants(alone, role, "secretsmanager") == {(asked, "LinkKeys")}
    assert template["Resources"][role]["Properties"]["ManagedPolicyArns"] == [{"Ref": "ReadVolumes"}]


@pytest.mark.parametrize(
    ("role", "log"),
    [
        ("StreamRole", "StreamLog"),
        ("ApiRole", "ApiLog"),
        ("AnnotationImportRole", "AnnotationImportLog"),
        ("ExportPlanRole", "ExportPlanLog"),
        ("ExportPartRole", "ExportPartLog"),
        ("ExportFinishRole", "ExportFinishLog"),
        ("ExportAbortRole", "ExportAbortLog"),
        ("LinkSyncRole", "LinkSyncLog"),
        ("LinkUsesRole", "LinkUsesLog"),
    ],
)
def test_each_writes_its_own_log_and_can_make_none(template: dict[str, Any], role: str, log: str) -> None:
    assert grants(template, role, "logs") == {("logs:CreateLogStream", log), ("logs:PutLogEvents", log)}


def test_each_function_has_its_own_role(functions: dict[str, dict[str, Any]]) -> None:
    """Given by us: a role that SAM makes has rights that do not stand in the template."""
    roles = {name: function["Role"] for name, function in functions.items()}
    assert roles == {
        "StreamFunction": {"Fn::GetAtt": ["StreamRole", "Arn"]},
        "ApiFunction": {"Fn::GetAtt": ["ApiRole", "Arn"]},
        "AnnotationImportFunction": {"Fn::GetAtt": ["AnnotationImportRole", "Arn"]},
        "LinkSyncFunction": {"Fn::GetAtt": ["LinkSyncRole", "Arn"]},
        "LinkUsesFunction": {"Fn::GetAtt": ["LinkUsesRole", "Arn"]},
        **{f"Export{it}Function": {"Fn::GetAtt": [f"Export{it}Role", "Arn"]} for it in EXPORT_STEPS},
    }


def test_volumes_are_read_and_never_written(template: dict[str, Any]) -> None:
    actions = {action for it in statements(template, "ReadVolumes") for action in as_list(it["Action"])}
    assert actions == {"s3:GetObject", "s3:ListBucket", "kms:Decrypt", "sts:AssumeRole"}


def test_a_role_of_another_account_is_taken_on_where_one_is_named_alone(template: dict[str, Any]) -> None:
    assert grants(template, "ReadVolumes", "sts") == {("sts:AssumeRole", "VolumesRoleArn")}
    (statement,) = (
        it["Fn::If"]
        for it in template["Resources"]["ReadVolumes"]["Properties"]["PolicyDocument"]["Statement"]
        if "Fn::If" in it and it["Fn::If"][1]["Action"] == "sts:AssumeRole"
    )
    assert (statement[0], statement[2]) == ("HasVolumesRole", {"Ref": "AWS::NoValue"})


def test_what_was_not_done_is_told_by_whoever_is_called_by_events(
    template: dict[str, Any], of_type: Any, functions: dict[str, dict[str, Any]]
) -> None:
    """And the queue takes it from them and from EventBridge's one rule, encrypted."""
    granted = {role: grants(template, role, "sqs") for role in of_type("AWS::IAM::Role")}
    # Of the CDN's link_sync it is said in test_cdn.py; link_uses counts in the next hour what it did not in this one.
    assert granted.pop("LinkSyncRole") == {("sqs:SendMessage", "LinkSyncFailures")}
    told = {name for name, function in functions.items() if "EventInvokeConfig" in function}
    told -= {"LinkSyncFunction", "LinkUsesFunction"}
    roles = {functions[name]["Role"]["Fn::GetAtt"][0] for name in told}
    assert told == {"AnnotationImportFunction", "ExportAbortFunction"}
    assert {role: it for role, it in granted.items() if it} == {
        role: {("sqs:SendMessage", "DeadLetters")} for role in roles
    }
    refused, allowed = of_type("AWS::SQS::QueuePolicy")["DeadLettersPolicy"]["PolicyDocument"]["Statement"]
    assert (refused["Effect"], refused["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ExportEnded", "Arn"]}}}
    assert of_type("AWS::SQS::Queue")["DeadLetters"]["SqsManagedSseEnabled"] is True


def test_every_right_is_of_a_service_that_has_a_test(template: dict[str, Any], of_type: Any) -> None:
    """Each of these is held down above, or in test_annotation_rights.py and test_export_rights.py."""
    services = {
        action.partition(":")[0]
        for logical in (*of_type("AWS::IAM::Role"), *of_type("AWS::IAM::ManagedPolicy"), "ExportMachineMap")
        for statement in statements(template, logical)
        for action in as_list(statement["Action"])
    }
    assert services == {
        "cloudfront-keyvaluestore", "dynamodb", "kms", "lambda", "logs", "s3", "secretsmanager", "sqs", "states", "sts",
        "xray",
    }  # fmt: skip


def test_a_missing_key_is_a_404(template: dict[str, Any], lines: list[str]) -> None:
    """By the right to list the bucket itself; the reason stands beside it."""
    (listing,) = (it for it in statements(template, "ReadVolumes") if it["Action"] == "s3:ListBucket")
    assert listing["Resource"] == {"Ref": "DataBucketArns"}
    line = next(number for number, text in enumerate(lines) if text.strip() == "Action: s3:ListBucket")
    reason = " ".join(text.strip() for text in lines[line - 3 : line])
    assert "403" in reason
    assert "fill value" in reason


def wildcards(node: yaml.Node, key: str = "") -> Iterator[yaml.ScalarNode]:
    """Every text with a `*` below an Action or a Resource."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inside = name.value if name.value in ("Action", "Resource", "NotAction", "NotResource") else key
            yield from wildcards(value, inside)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from wildcards(value, key)
    elif isinstance(node, yaml.ScalarNode) and key and "*" in node.value:
        yield node


def reasonless(root: yaml.Node, lines: list[str]) -> list[str]:
    """Lines with a wildcard and no comment on them or just above."""
    numbers = {node.start_mark.line for node in wildcards(root)}
    return [
        lines[number]
        for number in sorted(numbers)
        if " # " not in lines[number] and not lines[number - 1].strip().startswith("# ")
    ]


def test_no_wildcard_without_a_reason(root_node: yaml.Node, lines: list[str]) -> None:
    assert list(wildcards(root_node))
    assert reasonless(root_node, lines) == []


def test_a_wildcard_without_a_reason_is_seen() -> None:
    text = 'Statement:\n  - Action: ["s3:Get*"]\n    # all of it\n    Resource: "*"\n  - Action: a\n    Resource: "*"\n'
    root = yaml.compose(text, yaml.SafeLoader)
    assert root is not None
    assert reasonless(root, text.splitlines()) == ['  - Action: ["s3:Get*"]', '    Resource: "*"']


def test_nothing_is_granted_in_the_negative(template: dict[str, Any], of_type: Any) -> None:
    for logical in (*of_type("AWS::IAM::Role"), *of_type("AWS::IAM::ManagedPolicy")):
        for statement in statements(template, logical):
            assert statement.keys() <= {"Sid", "Effect", "Action", "Resource"}, (logical, statement)


def test_functions_are_called_by_their_api_alone(template: dict[str, Any], of_type: Any) -> None:
    """By the permissions that SAM makes of the routes and schedules; no function address.

    Those without routes are called by a right of the API's own role or the machine's, and one by the rule of bad ends.
    """
    assert [name for name, it in template["Resources"].items() if it["Type"].startswith("AWS::Lambda::")] == [
        "ExportEndedMayAbort"
    ]
    permission = of_type("AWS::Lambda::Permission")["ExportEndedMayAbort"]
    assert permission["FunctionName"] == {"Ref": "ExportAbortFunction"}
    assert permission["SourceArn"] == {"Fn::GetAtt": ["ExportEnded", "Arn"]}
    assert not [name for name, it in of_type("AWS::Serverless::Function").items() if "FunctionUrlConfig" in it]
