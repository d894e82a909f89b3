"""`S3Source`: the contract against moto, and answers that only S3, or a broken network, gives."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from builders.canned import (
    LAST_MODIFIED,
    NOTHING,
    SILENCE,
    Answer,
    CannedServer,
    answer,
    hanging,
    s3_error,
    s3_part,
)
from builders.moto_aws import REGION, MotoAws, fixed_credentials, moto_aws
from contracts.byte_source import DATA, KEY, ByteSourceContract, blob, read, stat
from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged, SourceUnavailable, ZarrlinkError
from zarrlink.storage import s3
from zarrlink.storage.interface import ByteSource, Stat
from zarrlink.storage.s3 import S3Source, open_bucket, open_s3


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as server:
        yield server


def moto_source(aws: MotoAws, bucket: str, prefix: str) -> S3Source:
    return open_s3(
        bucket,
        prefix,
        region=REGION,
        endpoint=aws.endpoint,
        credential_provider=fixed_credentials,
        allow_http=True,
    )


class TestS3Source(ByteSourceContract):
    prefix = "data/em"

    @pytest.fixture
    def source(self, aws: MotoAws) -> ByteSource:
        self.client, self.bucket = aws.client("s3"), aws.new_bucket()
        return moto_source(aws, self.bucket, self.prefix)

    def full_key(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def put(self, source: ByteSource, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.full_key(key), Body=data)

    def remove(self, source: ByteSource, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.full_key(key))


class TestS3SourceOfAWholeBucket(TestS3Source):
    prefix = ""

    def full_key(self, key: str) -> str:
        return key


# --- moto: where things lie ---


@pytest.mark.parametrize("prefix", ["data/em", "data/em/"])
def test_a_prefix_may_end_in_a_slash(aws: MotoAws, prefix: str) -> None:
    bucket = aws.new_bucket()
    aws.client("s3").put_object(Bucket=bucket, Key="data/em/x", Body=DATA)
    assert bytes(blob(moto_source(aws, bucket, prefix), "x").data) == DATA


def test_neighbours_of_a_prefix_are_not_in_it(aws: MotoAws) -> None:
    bucket = aws.new_bucket()
    for key in ("data/em2/x", "data/emx", "x"):
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=DATA)
    source = moto_source(aws, bucket, "data/em")
    assert read(source, "x") is None


def test_sources_of_one_bucket_may_share_a_store(aws: MotoAws) -> None:
    bucket = aws.new_bucket()
    aws.client("s3").put_object(Bucket=bucket, Key="a/x", Body=b"a")
    aws.client("s3").put_object(Bucket=bucket, Key="b/x", Body=b"b")
    store = open_bucket(
        bucket, region=REGION, endpoint=aws.endpoint, credential_provider=fixed_credentials, allow_http=True
    )
    assert [bytes(blob(S3Source(store, prefix, prefix), "x").data) for prefix in "ab"] == [b"a", b"b"]


def test_a_missing_bucket_is_not_absence(aws: MotoAws) -> None:
    source = moto_source(aws, "no-such-bucket", "em")
    for ask in (read, stat):
        with pytest.raises(SourceUnavailable) as refused:
            ask(source, KEY)
        assert refused.value.reason == "S3 answered 404 NoSuchBucket"


def test_absence_in_an_object_store_is_trusted() -> None:
    assert S3Source.absence_trust_s == math.inf


def test_names_tell_buckets_prefixes_and_stores_apart() -> None:
    opened = [
        open_s3("one", "a", region=REGION),
        open_s3("one", "b", region=REGION),
        open_s3("two", "a", region=REGION),
        open_s3("one", "a", region=REGION, endpoint="https://s3.example.org"),
    ]
    assert opened[0].name == "s3://one/a"
    assert len({source.name for source in opened}) == 4


# --- answers by the byte ---


def canned_source(server: CannedServer, prefix: str = "the-prefix") -> S3Source:
    return open_s3(
        "the-bucket",
        prefix,
        region=REGION,
        endpoint=server.endpoint,
        credential_provider=fixed_credentials,
        allow_http=True,
    )


TEN = ByteRange(0, 10)


def refusal(*answers: Answer, part: ByteRange | None = TEN, if_match: str | None = None) -> ZarrlinkError:
    """What reading raises over these answers."""
    with CannedServer(*answers) as server, pytest.raises(ZarrlinkError) as refused:
        read(canned_source(server), "the-key", part, if_match=if_match)
    assert not any(word in str(refused.value) for word in ("the-bucket", "the-key", "the-prefix", "127.0.0.1"))
    return refused.value


def reason(*answers: Answer) -> str:
    """Why reading is not possible, for the log."""
    refused = refusal(*answers)
    assert isinstance(refused, SourceUnavailable)
    assert not any(word in refused.reason for word in ("the-bucket", "the-key", "the-prefix", "127.0.0.1"))
    assert refused.key == "the-key"
    return refused.reason


def test_a_guarded_part_is_one_request() -> None:
    with CannedServer(s3_part(DATA[10:20], start=10)) as server:
        found = read(canned_source(server), "the-key", ByteRange(10, 20), if_match='"one"')
    assert found is not None
    assert (found.data, found.etag, found.object_bytes) == (DATA[10:20], '"one"', 100)
    (asked,) = server.requests
    assert asked.line == "GET /the-bucket/the-prefix/the-key HTTP/1.1"
    assert (asked.headers["range"], asked.headers["if-match"]) == ("bytes=10-19", '"one"')


def test_asking_for_the_etag_is_one_request_of_one_byte() -> None:
    with CannedServer(s3_part(DATA[:1])) as server:
        assert stat(canned_source(server), "the-key") == Stat('"one"', 100)
    (asked,) = server.requests
    assert asked.headers["range"] == "bytes=0-0"


def test_denied_read_is_not_absence() -> None:
    assert reason(s3_error("403 Forbidden", "AccessDenied")) == "S3 answered 403 AccessDenied"


def test_denied_asking_is_not_absence() -> None:
    with CannedServer(s3_error("403 Forbidden", "AccessDenied")) as server, pytest.raises(SourceUnavailable):
        stat(canned_source(server), "the-key")


@pytest.mark.parametrize(
    "not_found",
    [
        answer("404 Not Found"),
        answer("404 Not Found", b"<html>no such page</html>"),
        s3_error("404 Not Found", "NoSuchBucket"),
        s3_error("404 Not Found", "NoSuchVersion"),
    ],
    ids=["empty", "of-a-proxy", "no-bucket", "no-version"],
)
def test_a_404_that_is_not_of_the_key_is_not_absence(not_found: Answer) -> None:
    assert reason(not_found).startswith("S3 answered 404")
    with CannedServer(not_found) as server, pytest.raises(SourceUnavailable):
        stat(canned_source(server), "the-key")


def test_only_the_word_for_a_missing_key_is_absence() -> None:
    with CannedServer(s3_error("404 Not Found", "NoSuchKey")) as server:
        assert read(canned_source(server), "the-key") is None
        assert stat(canned_source(server), "the-key") is None


@pytest.mark.parametrize(
    ("status", "code"),
    [("503 Slow Down", "SlowDown"), ("500 Internal Server Error", "InternalError"), ("429 Too Many", "Throttled")],
)
def test_throttling_that_does_not_end_is_an_error_after_four_tries(status: str, code: str) -> None:
    with CannedServer(s3_error(status, code)) as server, pytest.raises(SourceUnavailable) as refused:
        read(canned_source(server), "the-key", TEN)
    assert refused.value.reason == f"S3 answered {status[:3]} {code}"
    assert len(server.requests) == 1 + s3.MAX_RETRIES


def test_throttling_that_ends_is_waited_for() -> None:
    slow = s3_error("503 Slow Down", "SlowDown")
    with CannedServer(slow, slow, s3_part(DATA[:10])) as server:
        found = read(canned_source(server), "the-key", TEN)
    assert found is not None
    assert found.data == DATA[:10]


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "KeyTooLongError"])
def test_a_request_that_s3_does_not_take_is_an_error_at_once(code: str) -> None:
    with CannedServer(s3_error("400 Bad Request", code)) as server, pytest.raises(SourceUnavailable) as refused:
        read(canned_source(server), "the-key")
    assert refused.value.reason == f"S3 answered 400 {code}"
    assert len(server.requests) == 1


def test_a_bucket_in_another_region_is_an_error() -> None:
    moved = s3_error("301 Moved Permanently", "PermanentRedirect")
    assert reason(moved) == "the bucket is in another region"


# --- answers cut short ---

CUT = s3_part(DATA[:5], said_length=10)


def test_an_answer_that_is_cut_short_each_time_is_an_error() -> None:
    with CannedServer(CUT) as server, pytest.raises(SourceUnavailable) as refused:
        read(canned_source(server), "the-key", TEN)
    assert refused.value.reason == "S3 could not be reached or broke off"
    assert len(server.requests) == 1 + s3.MAX_RETRIES


def test_a_whole_object_that_is_cut_short_is_an_error() -> None:
    cut = answer("200 OK", DATA[:50], said_length=100, ETag='"one"', Last_Modified=LAST_MODIFIED)
    assert isinstance(refusal(cut, part=None), SourceUnavailable)


def test_an_answer_that_is_cut_short_is_continued_where_it_broke_off() -> None:
    with CannedServer(CUT, s3_part(DATA[5:10], start=5)) as server:
        found = read(canned_source(server), "the-key", TEN)
    assert found is not None
    assert (found.data, found.object_bytes) == (DATA[:10], 100)
    assert [asked.headers["range"] for asked in server.requests] == ["bytes=0-9", "bytes=5-9"]


def test_an_answer_is_not_continued_with_another_object() -> None:
    other = s3_part(DATA[::-1][5:10], start=5, etag='"two"')
    assert isinstance(refusal(CUT, other), SourceUnavailable)


def test_an_object_replaced_while_the_rest_is_fetched_has_changed() -> None:
    failed = s3_error("412 Precondition Failed", "PreconditionFailed")
    assert isinstance(refusal(CUT, failed, if_match='"one"'), SourceChanged)


def test_an_object_removed_while_the_rest_is_fetched_is_not_absence() -> None:
    assert isinstance(refusal(CUT, s3_error("404 Not Found", "NoSuchKey")), SourceChanged)


@pytest.mark.parametrize("length", [5, 12])
def test_more_or_fewer_bytes_than_the_range_says_are_an_error(length: int) -> None:
    odd = answer(
        "206 Partial Content", DATA[:length], ETag='"one"', Last_Modified=LAST_MODIFIED, Content_Range="bytes 0-9/100"
    )
    assert reason(odd) == f"S3 sent {length} bytes of 10"


@pytest.mark.parametrize(
    "odd",
    [
        answer("200 OK", DATA, ETag='"one"', Last_Modified=LAST_MODIFIED),
        s3_part(DATA[5:15], start=5),
        answer("206 Partial Content", DATA[:10], ETag='"one"', Last_Modified=LAST_MODIFIED),
        answer("206 Partial Content", DATA[:10], ETag='"one"', Content_Range="bytes 0-9/*"),
        answer("206 Partial Content", DATA[:10], ETag='"one"', Content_Range="bytes 0-9/100", Content_Length=None),
    ],
    ids=["range-ignored", "another-range", "no-range", "no-size", "no-length"],
)
def test_an_answer_that_makes_no_sense_is_an_error(odd: Answer) -> None:
    assert reason(odd) == "S3 sent an answer that makes no sense"


def test_an_answer_without_an_etag_is_an_error() -> None:
    assert reason(s3_part(DATA[:10], etag=None)) == "S3 sent no ETag"


# --- no answer ---


@pytest.mark.parametrize("broken", [NOTHING, Answer(b"SSH-2.0-OpenSSH\r\n")], ids=["closed", "another-protocol"])
def test_a_connection_without_an_answer_is_an_error(broken: Answer) -> None:
    assert reason(broken) == "S3 could not be reached or broke off"


def test_a_port_where_nobody_listens_is_an_error() -> None:
    with CannedServer(NOTHING) as server:
        source = canned_source(server)
    with pytest.raises(SourceUnavailable):
        read(source, "the-key")


@pytest.mark.parametrize("stalled", [SILENCE, hanging(CUT)], ids=["no-answer", "half-an-answer"])
def test_a_stalled_connection_is_given_up_and_tried_again(monkeypatch: pytest.MonkeyPatch, stalled: Answer) -> None:
    monkeypatch.setattr(s3, "STALLED_S", 0.15)
    rest = s3_part(DATA[:10]) if stalled is SILENCE else s3_part(DATA[5:10], start=5)
    with CannedServer(stalled, rest) as server:
        found = read(canned_source(server), "the-key", TEN)
    assert found is not None
    assert found.data == DATA[:10]


def test_a_store_that_stalls_each_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "STALLED_S", 0.15)
    assert reason(SILENCE) == "S3 could not be reached or broke off"


def test_nobody_waits_longer_than_five_seconds() -> None:
    assert s3.RETRY_UNTIL_S + s3.MAX_BACKOFF_S + s3.ATTEMPT_S < 5


def test_a_read_can_be_called_off() -> None:
    async def give_up(source: S3Source) -> None:
        async with asyncio.timeout(0.05):
            await source.read("the-key", TEN)

    with CannedServer(SILENCE) as server, pytest.raises(TimeoutError):
        asyncio.run(give_up(canned_source(server)))


# --- ranges that hold no byte ---

UNSATISFIABLE = "416 Requested Range Not Satisfiable"


def test_a_416_that_names_the_length_is_believed() -> None:
    named = s3_error(UNSATISFIABLE, "InvalidRange", "<ActualObjectSize>100</ActualObjectSize>")
    with CannedServer(named) as server, pytest.raises(RangeNotSatisfiable) as refused:
        read(canned_source(server), "the-key", ByteRange(100, 110))
    assert refused.value.length == 100
    assert len(server.requests) == 1


def head(length: int, etag: str = '"one"') -> Answer:
    return answer("200 OK", said_length=length, ETag=etag, Last_Modified=LAST_MODIFIED)


@pytest.mark.parametrize("if_match", [None, '"one"'])
def test_a_416_that_names_no_length_costs_one_more_request(if_match: str | None) -> None:
    with CannedServer(s3_error(UNSATISFIABLE, "InvalidRange"), head(100)) as server:
        with pytest.raises(RangeNotSatisfiable) as refused:
            read(canned_source(server), "the-key", ByteRange(100, 110), if_match=if_match)
        assert refused.value.length == 100
    assert [asked.method for asked in server.requests] == ["GET", "HEAD"]


@pytest.mark.parametrize(
    "then",
    [head(200), head(100, '"two"'), answer("404 Not Found")],
    ids=["it-has-grown", "it-is-another", "it-is-gone"],
)
def test_a_416_of_an_object_that_is_replaced_at_that_moment_is_a_change(then: Answer) -> None:
    part = ByteRange(100, 110)
    refused = refusal(s3_error(UNSATISFIABLE, "InvalidRange"), then, part=part, if_match='"one"')
    assert isinstance(refused, SourceChanged)


def test_a_416_whose_length_cannot_be_asked_for_is_an_error() -> None:
    refused = refusal(s3_error(UNSATISFIABLE, "InvalidRange"), answer("403 Forbidden"), part=ByteRange(100, 110))
    assert isinstance(refused, SourceUnavailable)


# --- keys ---


@pytest.mark.parametrize("prefix", ["", "the-prefix"])
@pytest.mark.parametrize(
    "key", ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "../other/x", "a\0b", "a\nb", "em/\ud800"]
)
def test_a_key_that_obstore_would_take_for_another_is_refused_unasked(key: str, prefix: str) -> None:
    with CannedServer(s3_part(DATA[:10])) as server:
        for ask in (read, stat):
            with pytest.raises(SourceUnavailable) as refused:
                ask(canned_source(server, prefix), key)
            assert refused.value.reason == "the key is none that can be read"
    assert server.requests == []


@pytest.mark.parametrize("prefix", ["/data", "a//b", "a/../b"])
def test_a_prefix_that_obstore_cannot_name_is_refused(prefix: str) -> None:
    with CannedServer(s3_part(DATA[:10])) as server, pytest.raises(SourceUnavailable):
        read(canned_source(server, prefix), "the-key")
    assert server.requests == []


# --- who asks, and whom ---


def config(**given: Any) -> dict[str, Any]:
    return dict(open_bucket(**given, region=REGION).config)


def test_a_bucket_is_asked_by_its_host_name() -> None:
    found = config(bucket="em")
    assert found["endpoint_url_s3"] == "https://em.s3.eu-central-1.amazonaws.com"
    assert found["virtual_hosted_style_request"] == "true"


def test_a_bucket_with_dots_fits_no_certificate_and_is_asked_by_path() -> None:
    found = config(bucket="em.lab.org")
    assert found["endpoint_url_s3"] == "https://s3.eu-central-1.amazonaws.com"
    assert found["virtual_hosted_style_request"] == "false"


def test_the_environment_names_no_other_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    with CannedServer(s3_part(DATA[:10])) as server:
        assert read(canned_source(server), "the-key", TEN) is not None


def test_http_is_refused_unless_allowed() -> None:
    with CannedServer(s3_part(DATA[:10])) as server:
        source = open_s3(
            "the-bucket", "", region=REGION, endpoint=server.endpoint, credential_provider=fixed_credentials
        )
        with pytest.raises(SourceUnavailable):
            read(source, "the-key", TEN)
    assert server.requests == []


def test_the_keys_of_the_environment_sign_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHEFUNCTION")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the session")
    with CannedServer(s3_part(DATA[:10])) as server:
        source = open_s3("the-bucket", "", region=REGION, endpoint=server.endpoint, allow_http=True)
        assert read(source, "the-key", TEN) is not None
    headers = server.requests[0].headers
    assert "Credential=AKIDOFTHEFUNCTION/" in headers["authorization"]
    assert f"/{REGION}/s3/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "the session"


def test_no_credentials_are_an_error_and_nothing_is_asked() -> None:
    def none_to_be_had() -> Any:
        raise SourceUnavailable("no credentials")

    with CannedServer(s3_part(DATA[:10])) as server:
        source = open_s3(
            "the-bucket",
            "",
            region=REGION,
            endpoint=server.endpoint,
            credential_provider=none_to_be_had,
            allow_http=True,
        )
        with pytest.raises(SourceUnavailable) as refused:
            read(source, "the-key", TEN)
    assert refused.value.reason == "no credentials for S3"
    assert server.requests == []


def test_no_module_of_ours_loads_boto3_before_it_is_needed() -> None:
    modules = (
        "zarrlink.storage.s3, zarrlink.storage.credentials, zarrlink.links.dynamodb, zarrlink.links.secrets, "
        "zarrlink.catalogue.dynamodb, zarrlink.users.dynamodb, zarrlink.aws_tables"
    )
    code = f"import sys, {modules}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "obstore" in loaded
    assert not loaded & {"boto3", "botocore", "numpy", "urllib3"}
    assert "http.client" not in run.stdout.split()
