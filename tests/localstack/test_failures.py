"""An operator's bad day: each failure answered as the table of statuses says, and seen in the log and its metrics."""

from __future__ import annotations

from typing import Any

import pytest

from builders.deployed import until
from builders.emf import emf_lines, total
from zarrlink_local.emulated_deployment import BUCKET

BELOW = "v3/em.zarr/0/c/0/0/0"


def assert_tried_again_by_readers(answer: Any) -> None:
    """503 and when to come back; for pages elsewhere as well, and kept by nobody."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"


def failed_in(log: Any) -> str:
    """The log, once its metrics count a failure."""
    text: str = until(log.text, lambda text: total(emf_lines(text), "Failed") > 0)
    return text


def test_a_throttled_table(deployed: Any, mouse: Any) -> None:
    page, log = deployed.link(mouse.id), deployed.log("StreamLog")
    throttled = {
        "service": "dynamodb",
        "operation": "GetItem",
        "of": deployed.outputs["LinksTable"],
        "code": "ProvisionedThroughputExceededException",
    }
    with deployed.fault(throttled):
        assert_tried_again_by_readers(deployed.ask("GET", page + BELOW))
    text = failed_in(log)
    assert "ProvisionedThroughputExceededException" in text
    assert page.split("/")[-2] not in text
    assert deployed.ask("GET", page + BELOW).status_code == 200


@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("InternalError", 500), ("AccessDenied", 403)])
def test_s3_out_of_order_or_denied(deployed: Any, mouse: Any, code: str, status: int) -> None:
    """Never a 404, which readers paint as fill value."""
    log = deployed.log("StreamLog")
    with deployed.fault({"service": "s3", "operation": "GetObject", "of": BUCKET, "code": code, "status": status}):
        assert_tried_again_by_readers(deployed.ask("GET", mouse.link + BELOW))
    assert f"S3 answered {status} {code}" in failed_in(log)
    assert deployed.ask("GET", mouse.link + BELOW).status_code == 200


def test_a_bucket_that_is_gone(deployed: Any, mouse: Any) -> None:
    log = deployed.log("StreamLog")
    gone = {"service": "s3", "operation": "GetObject", "of": BUCKET, "code": "NoSuchBucket", "status": 404}
    with deployed.fault(gone):
        assert_tried_again_by_readers(deployed.ask("GET", mouse.link + BELOW))
    assert "NoSuchBucket" in failed_in(log)


def test_a_function_that_takes_too_long(deployed: Any, mouse: Any) -> None:
    """Lambda ends it, and counts that itself, since the function no longer can; API Gateway then speaks, with the headers that the
    template gives it."""
    page = deployed.link(mouse.id)
    log = deployed.log("StreamLog")
    ended = deployed.lambda_errors("StreamFunction")
    slow = {"service": "dynamodb", "operation": "GetItem", "of": deployed.outputs["LinksTable"], "delay_s": 5}
    deployed.configure("StreamFunction", Timeout=3)
    try:
        with deployed.fault(slow):
            assert_tried_again_by_readers(deployed.ask("GET", page + BELOW))
        until(log.text, lambda text: "timed out" in text.lower() or "timeout" in text.lower())
        # What the alarm `killed` looks at.
        until(lambda: deployed.lambda_errors("StreamFunction"), lambda found: found > ended)
        assert emf_lines(log.text()) == []
    finally:
        deployed.configure("StreamFunction", Timeout=25)
    assert deployed.ask("GET", page + BELOW).status_code == 200


def test_a_poisoned_row_of_a_link(deployed: Any, mouse: Any) -> None:
    """Spoilt by hand: an error that is counted and named, no other link suffers, and it can be revoked."""
    page = deployed.link(mouse.id)
    link_id = page.split("/")[-2][1:17]
    deployed.client("dynamodb").update_item(
        TableName=deployed.outputs["LinksTable"],
        Key={"id": {"S": link_id}},
        UpdateExpression="SET geometry = :spoilt",
        ExpressionAttributeValues={":spoilt": {"S": "{"}},
    )
    log = deployed.log("StreamLog")
    answer = deployed.ask("GET", page + BELOW)
    assert answer.status_code == 500
    assert answer.json()["detail"] == "the row of this link cannot be read"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    text = failed_in(log)
    assert answer.json()["instance"] in text
    assert link_id in text
    assert deployed.ask("GET", mouse.link + BELOW).status_code == 200
    listed = {link["id"] for link in deployed.api("GET", "zarrPrivateLinks")}
    assert listed
    assert link_id not in listed
    deployed.api("DELETE", f"zarrPrivateLinks/{link_id}")
    row = deployed.client("dynamodb").get_item(
        TableName=deployed.outputs["LinksTable"], Key={"id": {"S": link_id}}, ConsistentRead=True
    )
    assert "revoked_ms" in row["Item"]


def test_tables_clean_up_after_themselves(deployed: Any) -> None:
    for name in ("LinksTable", "JobsTable"):
        found = deployed.client("dynamodb").describe_time_to_live(TableName=deployed.outputs[name])
        assert found["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}


def test_expiry_does_not_wait_for_that(deployed: Any, mouse: Any) -> None:
    page = deployed.link(mouse.id)
    deployed.client("dynamodb").update_item(
        TableName=deployed.outputs["LinksTable"],
        Key={"id": {"S": page.split("/")[-2][1:17]}},
        UpdateExpression="SET expires_ms = :past",
        ExpressionAttributeValues={":past": {"N": "1000"}},
    )
    assert deployed.ask("GET", page + BELOW).status_code == 410
