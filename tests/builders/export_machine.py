"""The state machine of long jobs, run for real: moto's interpreter of Amazon States Language calls our own handlers."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from moto.awslambda.models import LambdaFunction
from moto.core.config import default_user_config

from builders.annotation_stack import Context
from builders.lambda_door import S3Objects, load_function
from builders.moto_aws import MotoAws
from builders.moto_parts import multipart_as_s3
from builders.stack import Stack, make_stack
from builders.template import ROOT, resources_of
from zarrlink import aws_exports
from zarrlink.exports.request import Limits
from zarrlink.jobs.dynamodb import DynamoJobs
from zarrlink.jobs.model import Job
from zarrlink.jobs.step_functions import StepFunctionsEngine, execution_name

MACHINE = "ExportMachine"
ENDS_WITHIN_S = 60
_ROLE = "arn:aws:iam::123456789012:role/any"
Event = dict[str, Any]


def _nothing(_event: Event) -> None:
    pass


class Sandbox:
    """A function as Lambda has it: one environment, which takes one event at a time."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.calls: list[Event] = []
        # Stands between the machine and the handler.
        self.before: Callable[[Event], None] = _nothing
        self._turn = threading.Lock()
        self._calling = 0
        self._idle = threading.Condition()

    def __call__(self, event: Event) -> Any:
        with self._idle:
            self.calls.append(event)
            self._calling += 1
        try:
            self.before(event)
            return self.run(event)
        finally:
            with self._idle:
                self._calling -= 1
                self._idle.notify_all()

    def finish(self) -> None:
        """Wait until it is called no more."""
        with self._idle:
            assert self._idle.wait_for(lambda: not self._calling, ENDS_WITHIN_S)

    def run(self, event: Event) -> Any:
        """The handler's answer, with nothing between."""
        with self._turn:
            return json.loads(json.dumps(self.module.handler(event, Context())))


@dataclass
class ExportMachine:
    """`functions` by the name that the definition substitutes. `bucket`: of the results."""

    stack: Stack
    functions: dict[str, Sandbox]
    engine: StepFunctionsEngine
    jobs: DynamoJobs
    bucket: str
    objects: S3Objects

    def execution(self, name: str) -> dict[str, Any]:
        arn = self.stack.made[MACHINE].replace(":stateMachine:", ":execution:")
        found: dict[str, Any] = self.stack.aws.client("stepfunctions").describe_execution(executionArn=f"{arn}:{name}")
        return found

    def ended(self, name: str) -> str:
        """The status that an execution comes to."""
        limit = time.monotonic() + ENDS_WITHIN_S
        while (status := str(self.execution(name)["status"])) == "RUNNING":
            assert time.monotonic() < limit, "the execution does not end"
            threading.Event().wait(0.02)
        return status

    def run(self, job: Job) -> tuple[str, Job]:
        """Submit a job, and wait for its end: the execution's status, and the job."""
        self.jobs.add(job)
        self.engine.start(job)
        return self.ended(execution_name(job)), self.job(job)

    def job(self, job: Job) -> Job:
        found = self.jobs.get(job.id)
        assert found is not None
        return found

    def finish_calls(self) -> None:
        """Wait for functions that are still at work, as they are when their execution was stopped."""
        for function in self.functions.values():
            function.finish()

    def uploads(self) -> list[str]:
        """Multipart uploads that are open."""
        listed = self.stack.aws.client("s3").list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in listed.get("Uploads", [])]

    def reset(self) -> None:
        """As if nothing had been called, and nothing stood between."""
        for function in self.functions.values():
            function.calls.clear()
            function.before = _nothing

    def units(self) -> list[int]:
        """What was called, in the order of the calls."""
        return [call["unit"] for call in self.functions["ExportPart"].calls if "unit" in call]


@contextmanager
def export_machine(aws: MotoAws, limits: Limits) -> Iterator[ExportMachine]:
    """A stack with the functions that the machine calls. Steps are tried again after a second at most."""
    stack = make_stack(aws)
    machine = resources_of(stack.template, "AWS::Serverless::StateMachine")[MACHINE]
    named = {name: it["Fn::GetAtt"][0] for name, it in machine["DefinitionSubstitutions"].items()}
    functions: dict[str, Sandbox] = {}
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as closing:
        monkeypatch.setitem(default_user_config, "stepfunctions", {"execute_state_machine": True})
        monkeypatch.setenv("MOTO_PORT", aws.endpoint.rpartition(":")[2])
        monkeypatch.setattr(aws_exports, "LIMITS", limits)
        monkeypatch.setattr(LambdaFunction, "invoke", _invoke(functions))
        closing.enter_context(multipart_as_s3())
        closing.enter_context(patch("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", limits.least_part))
        arns = {}
        for name, logical in named.items():
            folder = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
            environment = stack.environment(logical, ExportConcurrency="4") | {
                "POWERTOOLS_SERVICE_NAME": f"{folder}-{uuid4().hex}"
            }
            for key, value in environment.items():
                monkeypatch.setenv(key, value)
            arns[name] = _create(aws, f"{name}-{uuid4().hex}")
            sandbox = functions[arns[name].rpartition(":")[2]] = Sandbox(load_function(folder))
            functions[name] = sandbox
            if hasattr(sandbox.module, "STEPS"):
                closing.callback(sandbox.module.STEPS.loop.close)
        definition = quick(definition_of(arns))
        stack.made[MACHINE] = aws.client("stepfunctions").create_state_machine(
            name=f"machine-{uuid4().hex}", definition=json.dumps(definition), roleArn=_ROLE
        )["stateMachineArn"]
        bucket = stack.made["ExportBucket"]
        s3 = aws.client("s3")
        engine = StepFunctionsEngine(aws.client("stepfunctions"), stack.made[MACHINE], s3, bucket)
        jobs = DynamoJobs(aws.client("dynamodb"), stack.made["JobsTable"])
        yield ExportMachine(stack, functions, engine, jobs, bucket, S3Objects(s3, bucket))


def definition_of(arns: Mapping[str, str]) -> dict[str, Any]:
    """The definition, with what CloudFormation would fill in."""
    text = (ROOT / "infra" / "export.asl.json").read_text()
    found: dict[str, Any] = json.loads(re.sub(r"\$\{(\w+)\}", lambda name: arns[name[1]], text))
    return found


def quick(value: Any) -> Any:
    """A definition that tries again as often, and does not wait for it."""
    if isinstance(value, list):
        return [quick(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    waits = {"IntervalSeconds": 1, "BackoffRate": 1.0} if "IntervalSeconds" in value else {}
    return {key: quick(inner) for key, inner in value.items()} | waits


def _create(aws: MotoAws, name: str) -> str:
    found = aws.client("lambda").create_function(
        FunctionName=name, Runtime="python3.13", Role=_role(aws), Handler="app.handler", Code={"ZipFile": b"never run"}
    )
    return str(found["FunctionArn"])


def _role(aws: MotoAws) -> str:
    return str(
        aws.client("iam").create_role(RoleName=f"role-{uuid4().hex}", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    )


def _invoke(functions: Mapping[str, Sandbox]) -> Callable[..., str]:
    """In place of moto's own way, which takes docker: what Lambda answers, errors as its Python puts them."""

    def invoke(function: LambdaFunction, body: str, _headers: object, answer_headers: dict[str, str]) -> str:
        try:
            return json.dumps(functions[str(function.function_name)](json.loads(body or "{}")))
        except Exception as error:  # noqa: BLE001 (as Lambda does)
            answer_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []})

    return invoke
