"""Buckets of others: requester pays, and a role of another account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from builders.canned import CannedServer
from builders.moto_aws import REGION, MotoAws, moto_aws
from contracts.test_s3 import DATA, TEN, read, s3_part
from zarrlink.arrays.stores import Stores
from zarrlink.aws_parts import LazyClient, source_opener
from zarrlink.errors import SourceUnavailable
from zarrlink.sources.permission import parse_address
from zarrlink.storage.bucket_access import AssumedRole, BucketAccess

ROLE = "arn:aws:iam::210987654321:role/read-volumes"
SETTINGS = SimpleNamespace(requester_pays_buckets="paid,both", volumes_role=ROLE, volumes_role_buckets="theirs,both")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OURS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    return monkeypatch


@pytest.fixture(scope="module")
def aws() -> Any:
    with moto_aws() as aws:
        yield aws


def asked(environment: pytest.MonkeyPatch, aws: MotoAws, bucket: str, settings: Any = SETTINGS) -> dict[str, str]:
    """The headers of a read of a bucket, by functions with these settings."""
    with CannedServer(s3_part(DATA[:10])) as store:
        environment.setenv("AWS_ENDPOINT_URL", aws.endpoint)
        environment.setenv("AWS_ENDPOINT_URL_S3", store.endpoint)
        source = source_opener(BucketAccess.from_settings(settings))(f"s3://{bucket}/volumes")
        assert read(source, "the-key", TEN) is not None
        (request,) = store.requests
    return dict(request.headers)


@pytest.mark.parametrize(("bucket", "pays"), [("ours", False), ("theirs", False), ("paid", True), ("both", True)])
def test_requests_are_paid_for_where_it_is_said(
    environment: pytest.MonkeyPatch, aws: MotoAws, bucket: str, pays: bool
) -> None:
    headers = asked(environment, aws, bucket)
    assert headers.get("x-amz-request-payer") == ("requester" if pays else None)


@pytest.mark.parametrize(("bucket", "in_role"), [("ours", False), ("theirs", True), ("paid", False), ("both", True)])
def test_a_role_is_taken_on_for_the_buckets_that_are_named(
    environment: pytest.MonkeyPatch, aws: MotoAws, bucket: str, in_role: bool
) -> None:
    headers = asked(environment, aws, bucket)
    assert ("Credential=OURS/" in headers["authorization"]) is not in_role
    assert ("x-amz-security-token" in headers) is in_role


def test_without_a_role_no_bucket_is_read_in_one(environment: pytest.MonkeyPatch, aws: MotoAws) -> None:
    settings = SimpleNamespace(requester_pays_buckets="", volumes_role="", volumes_role_buckets="theirs")
    assert "Credential=OURS/" in asked(environment, aws, "theirs", settings)["authorization"]


def test_tensorstore_pays_as_well() -> None:
    stores = Stores(environ={"REQUESTER_PAYS_BUCKETS": "paid,both"})
    specs = {name: stores.spec(parse_address(f"s3://{name}/a")) for name in ("ours", "paid")}
    assert specs["paid"]["requester_pays"] is True
    assert "requester_pays" not in specs["ours"]


def test_a_role_is_asked_for_once_and_again_before_it_ends(environment: pytest.MonkeyPatch, aws: MotoAws) -> None:
    environment.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    clock = SimpleNamespace(now=datetime.now(UTC))
    role = AssumedRole(LazyClient("sts"), ROLE, now=lambda: clock.now)
    first = role()
    assert role() == first
    assert first["token"]
    assert timedelta(minutes=55) < first["expires_at"] - clock.now < timedelta(minutes=65)
    clock.now += timedelta(minutes=56)
    assert role()["access_key_id"] != first["access_key_id"]


def test_a_role_that_does_not_trust_us_is_an_error_and_not_absence(environment: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    def refuse(**_asked: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"not {ROLE}"}}, "AssumeRole")

    with pytest.raises(SourceUnavailable) as refused:
        AssumedRole(SimpleNamespace(assume_role=refuse), ROLE)()
    assert refused.value.reason == "STS answered AccessDenied"
