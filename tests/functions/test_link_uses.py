"""`link_uses` over S3 and DynamoDB as moto plays them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from builders.edge_logs import log_file, row
from builders.emf import NAMES, emf_lines, values
from builders.lambda_door import S3Objects, load_function
from builders.moto_aws import MotoAws
from contracts.link_store import link
from zarrlink.aws_tables import LINKS
from zarrlink.links.dynamodb import DynamoLinks

PREFIX = "edge/"
PLENTY = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 300_000)


@pytest.fixture
def names(aws: MotoAws) -> dict[str, str]:
    return {"LINKS_TABLE": aws.new_table(LINKS), "EDGE_LOG_BUCKET": aws.new_bucket(), "EDGE_LOG_PREFIX": PREFIX}


@pytest.fixture
def function(aws: MotoAws, names: dict[str, str]) -> Iterator[Any]:
    environment = names | {
        **aws.environment(),
        "POWERTOOLS_SERVICE_NAME": "link_uses",
        "POWERTOOLS_METRICS_NAMESPACE": "zarrlink",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield load_function("link_uses")


@pytest.fixture
def links(aws: MotoAws, names: dict[str, str]) -> DynamoLinks:
    links = DynamoLinks(aws.client("dynamodb"), names["LINKS_TABLE"])
    for number in range(3):
        links.add(link(number))
    return links


@pytest.fixture
def logs(aws: MotoAws, names: dict[str, str]) -> S3Objects:
    return S3Objects(aws.client("s3"), names["EDGE_LOG_BUCKET"])


def test_each_file_is_counted_once(function: Any, links: DynamoLinks, logs: S3Objects) -> None:
    links.revoke(link(2).id, None, 5)
    logs["edge/1.gz"] = log_file(row(link(0).id), row(link(1).id), row(), row(link(9).id))
    logs["edge/2.gz"] = log_file(row(link(0).id, "10:00:01"), row(link(2).id))
    logs["other/3.gz"] = log_file(row(link(0).id))
    assert function.handler({}, PLENTY) == {"files": 2, "openings": 5, "spoilt": 0}
    assert function.handler({}, PLENTY) == {"files": 0, "openings": 0, "spoilt": 0}
    found = links.get(link(0).id)
    assert found == link(0, uses=2, last_used_ms=1_795_428_001_000)
    assert links.get(link(1).id) == link(1, uses=1, last_used_ms=1_795_428_000_000)
    assert links.get(link(2).id) == link(2, revoked_ms=5)
    assert links.get(link(9).id) is None
    assert list(logs) == ["other/3.gz"]


def test_what_is_no_log_stops_nothing_and_stays(function: Any, links: DynamoLinks, logs: S3Objects) -> None:
    whole = log_file(row(link(0).id))
    spoilt = {
        "edge/a": b"no gzip",
        "edge/b": whole[:-4],
        "edge/c": log_file(("x",)),
        "edge/d": b"",
        "edge/e": b"\x1f\x8b\x08",
    }
    logs.update(spoilt)
    logs["edge/z"] = whole
    done = function.handler({}, PLENTY)
    # An empty file is an empty log.
    assert (done["files"], done["openings"], done["spoilt"]) == (2, 1, 4)
    assert links.get(link(0).id).uses == 1  # type: ignore[union-attr]
    assert list(logs) == ["edge/a", "edge/b", "edge/c", "edge/e"]


def test_what_it_did_is_counted_and_tells_of_no_link(
    function: Any,
    links: DynamoLinks,
    logs: S3Objects,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logs["edge/1.gz"] = log_file(row(link(0).id))
    logs["edge/2.gz"] = b"no gzip"
    function.handler({}, PLENTY)
    out = capsys.readouterr().out
    (line,) = emf_lines(out)
    assert values(line) == {"ColdStarts": 1, "Attempts": 1, "SpoiltLogs": 1}
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "zarrlink"
    assert values(line).keys() <= NAMES["link_uses"]
    assert link(0).id not in out
    monkeypatch.setattr(function, "count_logs", None)
    with pytest.raises(TypeError):
        function.handler({}, PLENTY)
    (line,) = emf_lines(capsys.readouterr().out)
    assert values(line) == {"ColdStarts": 0, "Attempts": 1, "Failed": 1}


def test_what_there_is_no_time_for_waits(function: Any, links: DynamoLinks, logs: S3Objects) -> None:
    for number in range(3):
        logs[f"edge/{number}"] = log_file(row(link(0).id))
    left = iter([60_000, 31_000, 29_000])
    hurried = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: next(left))
    assert function.handler({}, hurried)["files"] == 2
    assert function.handler({}, PLENTY)["files"] == 1
    assert links.get(link(0).id).uses == 3  # type: ignore[union-attr]
