"""Calls of AWS's services in a function's trace, as X-Ray's daemon gets them."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from builders.moto_aws import MotoAws, moto_aws
from zarrlink.aws_parts import LazyClient
from zarrlink.aws_tables import LINKS
from zarrlink.aws_trace import DAEMON, TRACE

HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:1"


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture
def daemon(aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        variables = {
            DAEMON: f"127.0.0.1:{daemon.getsockname()[1]}",
            TRACE: HEADER,
            **aws.environment(),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield daemon


def told(daemon: socket.socket) -> list[dict[str, Any]]:
    """All that has come: on loopback a datagram is there when it was sent."""
    daemon.setblocking(False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            header, _, document = daemon.recv(65536).partition(b"\n")
            assert json.loads(header) == {"format": "json", "version": 1}
            found.append(json.loads(document))
    return found


def test_a_call_is_a_subsegment_and_tells_no_names(aws: MotoAws, daemon: socket.socket) -> None:
    table = aws.new_table(LINKS)
    LazyClient("dynamodb").get_item(TableName=table, Key={"id": {"S": "a-secret-id"}})
    (found,) = told(daemon)
    assert (found["type"], found["name"], found["namespace"]) == ("subsegment", "DynamoDB", "aws")
    assert found["aws"] == {"operation": "GetItem"}
    assert (found["trace_id"], found["parent_id"]) == ("1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8")
    assert len(found["id"]) == 16
    assert found["start_time"] <= found["end_time"]
    assert not found.keys() & {"error", "fault"}
    for secret in ("a-secret-id", table):
        assert secret not in json.dumps(found)


def test_what_was_refused_is_an_error_and_no_answer_a_fault(
    daemon: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match="ResourceNotFoundException"):
        LazyClient("dynamodb").get_item(TableName="no-such-table", Key={"id": {"S": "1"}})
    (found,) = told(daemon)
    assert (found["error"], found["http"]["response"]["status"]) == (True, 400)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Exception, match="connect"):
        LazyClient("dynamodb").get_item(TableName="no-such-table", Key={"id": {"S": "1"}})
    (found,) = told(daemon)
    assert (found["fault"], found["aws"]) == (True, {"operation": "GetItem"})


@pytest.mark.parametrize("header", ["", HEADER.replace("Sampled=1", "Sampled=0"), "nonsense"])
def test_what_is_not_traced_is_not_told(
    aws: MotoAws, daemon: socket.socket, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    monkeypatch.setenv(TRACE, header)
    LazyClient("s3").list_buckets()
    assert told(daemon) == []


def test_streaming_is_not_slowed_by_it(daemon: socket.socket) -> None:
    LazyClient("s3", traced=False).list_buckets()
    assert told(daemon) == []


def test_without_a_daemon_calls_go_on(daemon: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("", "127.0.0.1", "no.such.host.invalid:2000"):
        monkeypatch.setenv(DAEMON, address)
        assert "Buckets" in LazyClient("s3").list_buckets()
