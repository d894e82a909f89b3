"""What our plugins for LocalStack decide by themselves; joined to it they are tested by tests/localstack."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from builders.template import ROOT

sys.path.append(str(ROOT / "local" / "localstack"))

from zarrlink_localstack.door import Door
from zarrlink_localstack.emulator import Emulator, EmulatorFailed
from zarrlink_localstack.faults import Fault, Faults
from zarrlink_localstack.outcome import outcome_of
from zarrlink_localstack.own_answers import constant_headers, own_answers
from zarrlink_localstack.variables import variables

# Takes the emulator's options, answers in capitals, and writes the lines that it writes.
EMULATOR = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        print("a line of the function's")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.upper())
        self.wfile.flush()
        print("REPORT RequestId: 1", flush=True)

    def log_message(self, *_):
        pass

host, port = sys.argv[sys.argv.index("--runtime-interface-emulator-address") + 1].split(":")
HTTPServer((host, int(port)), Answers).serve_forever()
"""


def program(tmp_path: Path, code: str) -> str:
    file = tmp_path / "emulator"
    file.write_text(f"#!{sys.executable}\n{code}")
    file.chmod(0o700)
    return str(file)


def test_an_invocation_and_what_was_written_meanwhile(tmp_path: Path) -> None:
    emulator = Emulator([program(tmp_path, EMULATOR), "python"], tmp_path, {"PATH": os.environ["PATH"]})
    try:
        for _ in range(2):
            status, body, log = emulator.invoke(b"abc")
            assert (status, body) == (200, b"ABC")
            assert log.splitlines() == ["a line of the function's", "REPORT RequestId: 1"]
        assert emulator.log().count("REPORT") == 2
    finally:
        emulator.stop()
    emulator.stop()
    assert emulator.log() == ""
    with pytest.raises(EmulatorFailed):
        emulator.invoke(b"abc")


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmulatorFailed, match="status 3: no room"):
        Emulator([program(tmp_path, "print('no room'); raise SystemExit(3)")], tmp_path, {})


@pytest.mark.parametrize(
    ("status", "body", "failed"),
    [
        (200, b'{"statusCode": 200}', False),
        (200, b'{"errorMessage": "x", "errorType": "SourceUnavailable", "requestId": "", "stackTrace": []}', True),
        (200, b'{"errorType": "Runtime.ExitError", "errorMessage": "x"}', True),
        # A function's own answer that speaks of errors.
        (200, b'{"errorType": "x", "errorMessage": "y", "statusCode": 500}', False),
        (200, b'["errorType", "errorMessage"]', False),
        (200, b'{"errorType"', False),
        (502, b'{"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "x"}', True),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, failed: bool) -> None:
    assert outcome_of(status, body) == (body, failed)


def test_a_timeout_has_lambdas_name() -> None:
    found = outcome_of(200, b"Task timed out after 3.00 seconds")
    assert found.failed
    assert b'"errorType": "Sandbox.Timedout"' in found.payload


def test_a_function_sees_nothing_of_localstacks_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("SECRET", "of the user's")
    given = {"LINKS_TABLE": "links", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": 512, "LOCALSTACK_RUNTIME_ID": "x", "NONE": None}
    assert variables(given, "python3.13", Path("/task"), [Path("/b"), Path("/a")]) == {
        "LINKS_TABLE": "links",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "PATH": "/bin",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "LAMBDA_TASK_ROOT": "/task",
        "PYTHONPATH": "/task:/b/python:/a/python",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def test_a_fault_concerns_what_it_names_as_often_as_it_says() -> None:
    faults = Faults()
    faults.put([Fault("dynamodb", "GetItem", of="Links", code="Throttled", times=2)])
    assert faults.meet("dynamodb", "PutItem", {"TableName": "Links-1"}) is None
    assert faults.meet("dynamodb", "GetItem", {"TableName": "Users-1"}) is None
    for _ in range(2):
        met = faults.meet("dynamodb", "GetItem", {"TableName": "Links-1"})
        assert met is not None
        assert met.code == "Throttled"
    assert faults.meet("dynamodb", "GetItem", {"TableName": "Links-1"}) is None
    assert faults.left() == []


def test_a_delay_alone_answers_nothing() -> None:
    faults = Faults()
    faults.put([Fault("s3", "GetObject", delay_s=0.001)])
    assert faults.meet("s3", "GetObject", {"Bucket": "b"}) is None
    assert len(faults.left()) == 1


@pytest.mark.parametrize("value", [{"service": "s3"}, {"service": "s3", "operation": "x", "cod": "y"}])
def test_a_fault_that_makes_no_sense_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Fault.from_json(value)
    with pytest.raises(ValueError, match="0 to 60 seconds"):
        Fault.from_json({"service": "s3", "operation": "x", "delay_s": 61})


class Asked:
    """A request as LocalStack hands it on, and who was asked."""

    path = "/zarr/a b/"

    def __init__(self) -> None:
        self.environ = {"RAW_URI": "/zarr/a%20b/?x"}
        self.where: dict[str, str] = {}

    def __call__(self, request: Any, **where: str) -> str:
        assert request is self
        self.where = where
        return "an answer"


def test_the_door_leads_to_the_one_api() -> None:
    asked = Asked()
    door = Door(asked, lambda: {"abc123": {"v1": "d"}}, str)
    assert door(asked, path="zarr/a b/") == "an answer"
    assert asked.where == {"api_id": "abc123", "stage": "v1", "path": "zarr/a b/"}
    assert asked.environ["RAW_URI"] == "/v1/zarr/a%20b/?x"


@pytest.mark.parametrize("apis", [{}, {"a": {}}, {"a": {"v1": ""}, "b": {"v1": ""}}])
def test_the_door_leads_nowhere_else(apis: Any) -> None:
    assert "APIs are deployed" in Door(Asked(), lambda: apis, str)(Asked())


def test_headers_of_a_gateway_response() -> None:
    parameters = {
        "gatewayresponse.header.Retry-After": "'2'",
        "gatewayresponse.header.X": "method.request.header.X",
        "gatewayresponse.querystring.a": "'b'",
    }
    assert constant_headers(parameters) == {"Retry-After": "2"}


def test_the_gateways_own_answers_of_a_document() -> None:
    parameters = {"gatewayresponse.header.Retry-After": "'2'"}
    given = {"DEFAULT_5XX": {"statusCode": 503, "responseParameters": parameters}, "DEFAULT_4XX": {}}
    found = own_answers({"x-amazon-apigateway-gateway-responses": given})
    assert found["DEFAULT_5XX"]["statusCode"] == "503"
    assert found["DEFAULT_5XX"]["responseParameters"] == parameters
    assert found["DEFAULT_4XX"]["statusCode"] is None
    assert own_answers({}) == {}
