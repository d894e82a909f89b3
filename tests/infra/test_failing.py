"""What becomes of work that nobody waits for when it fails, and what bounds the rest."""

from __future__ import annotations

from typing import Any

from builders.template import ROOT, load_template

TWO_WEEKS_S = 14 * 24 * 3600
DEAD_LETTERS = {"Fn::GetAtt": ["DeadLetters", "Arn"]}


def test_what_no_function_takes_lies_in_the_queue(of_type: Any) -> None:
    for rule in of_type("AWS::Events::Rule").values():
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": DEAD_LETTERS}
            # Hours, for somebody to find and mend what is in the way.
            assert 3600 <= target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 24 * 3600


def test_what_a_function_fails_at_lies_in_the_queue(of_type: Any, functions: dict[str, dict[str, Any]]) -> None:
    """Of those that are called without anybody waiting: by a rule, or by the API with an event."""
    called = {
        target["Arn"]["Fn::GetAtt"][0] for it in of_type("AWS::Events::Rule").values() for target in it["Targets"]
    }
    called |= {
        value["Ref"]
        for value in functions["ApiFunction"]["Environment"]["Variables"].values()
        if isinstance(value, dict) and value.get("Ref") in functions
    }
    assert called == {"ExportAbortFunction", "AnnotationImportFunction"}
    for name in called:
        config = functions[name]["EventInvokeConfig"]
        assert config["DestinationConfig"] == {"OnFailure": {"Type": "SQS", "Destination": DEAD_LETTERS}}, name
        assert config["MaximumRetryAttempts"] == 2


def test_dead_letters_are_kept_as_long_as_sqs_keeps_anything(of_type: Any) -> None:
    queues = of_type("AWS::SQS::Queue")
    assert queues.keys() == {"DeadLetters", "LinkSyncFailures"}
    for queue in queues.values():
        assert queue["MessageRetentionPeriod"] == TWO_WEEKS_S
        assert queue["SqsManagedSseEnabled"] is True
        # Its name may be made anew beside one that is kept.
        assert "QueueName" not in queue


def test_queues_are_asked_over_tls_alone(template: dict[str, Any], of_type: Any) -> None:
    refused = {}
    for name, policy in of_type("AWS::SQS::QueuePolicy").items():
        (queue,) = policy["Queues"]
        statement = policy["PolicyDocument"]["Statement"][0]
        assert statement["Resource"] == {"Fn::GetAtt": [queue["Ref"], "Arn"]}
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        refused[queue["Ref"]] = template["Resources"][name].get("Condition")
    assert refused == {name: template["Resources"][name].get("Condition") for name in of_type("AWS::SQS::Queue")}


def test_every_function_ends(template: dict[str, Any], functions: dict[str, dict[str, Any]]) -> None:
    for name, function in functions.items():
        parameter = template["Parameters"][function["Timeout"]["Ref"]]
        assert parameter["MaxValue"] <= 900, name
        assert parameter["MinValue"] <= parameter["Default"] <= parameter["MaxValue"], name


def test_every_function_is_traced_by_lambda_itself(
    template: dict[str, Any], functions: dict[str, dict[str, Any]]
) -> None:
    """Without the X-Ray SDK (tests/functions/test_import_budget.py)."""
    assert template["Globals"]["Function"]["Tracing"] == "Active"
    assert not [name for name, function in functions.items() if "Tracing" in function]


def test_no_function_logs_its_events(template: dict[str, Any], functions: dict[str, dict[str, Any]]) -> None:
    """Powertools would: they hold addresses that are secrets."""
    variables = set(template["Globals"]["Function"]["Environment"]["Variables"])
    for function in functions.values():
        variables |= function["Environment"]["Variables"].keys()
    assert not {name for name in variables if name.startswith("POWERTOOLS_LOGGER") or name == "POWERTOOLS_DEV"}


def test_whatever_may_keep_data_is_encrypted(template: dict[str, Any]) -> None:
    """By type; a type that is not known here has to be thought about first."""
    encrypted = {
        "AWS::DynamoDB::Table": lambda it: it["SSESpecification"]["SSEEnabled"],
        "AWS::S3::Bucket": lambda it: it["BucketEncryption"],
        "AWS::SQS::Queue": lambda it: it["SqsManagedSseEnabled"],
        # By AWS's own key, always.
        "AWS::SecretsManager::Secret": lambda it: True,
        "AWS::Logs::LogGroup": lambda it: True,
    }
    keeps_none = {
        "AWS::ApiGateway::Account", "AWS::CloudFormation::Stack", "AWS::Events::Rule", "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Role", "AWS::IAM::RolePolicy", "AWS::Lambda::Permission", "AWS::S3::BucketPolicy",
        "AWS::SQS::QueuePolicy", "AWS::Serverless::Api", "AWS::Serverless::Function", "AWS::Serverless::LayerVersion",
        "AWS::Serverless::StateMachine", "AWS::Logs::Delivery", "AWS::Logs::DeliveryDestination",
        "AWS::Logs::DeliverySource",
    }  # fmt: skip
    for name, resource in template["Resources"].items():
        kind = resource["Type"]
        if not kind.startswith("AWS::CloudFront::"):
            assert kind in encrypted or kind in keeps_none, name
        if kind in encrypted:
            assert encrypted[kind](resource["Properties"]), name


def test_what_can_grow_has_a_rule_that_ends_it(of_type: Any) -> None:
    """Buckets: what was begun and not finished, in all of them. Logs: after LogRetentionDays."""
    for name, bucket in of_type("AWS::S3::Bucket").items():
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule], name


def test_the_watching_stacks_grant_nothing_with_a_wildcard() -> None:
    for path in (ROOT / "infra" / "watching.yaml", ROOT / "infra" / "edge_watching.yaml"):
        assert "AWS::IAM::" not in path.read_text()
        policy = load_template(path)["Resources"]["TopicPolicy"]["Properties"]["PolicyDocument"]
        assert "*" not in str(policy)
