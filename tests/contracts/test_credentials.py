"""Credentials from a container's endpoint, as SnapStart gives them."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders.canned import NOTHING, SILENCE, Answer, CannedServer, answer, s3_part
from builders.moto_aws import REGION
from contracts.byte_source import DATA, blob, read
from zarrlink.byte_range import ByteRange
from zarrlink.errors import SourceUnavailable
from zarrlink.storage import credentials
from zarrlink.storage.credentials import FULL_URI, TOKEN, TOKEN_FILE, ContainerCredentials, container_credentials
from zarrlink.storage.s3 import open_s3

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def handed_out(number: int = 1, expires: datetime = NOW + HOUR, **changed: str | None) -> Answer:
    """An answer of the endpoint, with keys that tell its number."""
    facts = {
        "AccessKeyId": f"AKID{number}",
        "SecretAccessKey": f"very-secret-{number}",
        "Token": f"session-{number}",
        "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        **changed,
    }
    body = json.dumps({name: value for name, value in facts.items() if value is not None})
    return answer("200 OK", body.encode(), Content_Type="application/json")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def provider(server: CannedServer, clock: Clock | None = None, **environ: str) -> ContainerCredentials:
    variables = {FULL_URI: f"{server.endpoint}/credentials?of=me", TOKEN: "Bearer abc", **environ}
    return ContainerCredentials(variables, now=clock or Clock())


def test_credentials_are_handed_out_with_their_expiry() -> None:
    with CannedServer(handed_out()) as server:
        given = provider(server)()
    assert given == {
        "access_key_id": "AKID1",
        "secret_access_key": "very-secret-1",
        "token": "session-1",
        "expires_at": NOW + HOUR,
    }
    (asked,) = server.requests
    assert asked.line == "GET /credentials?of=me HTTP/1.1"
    assert asked.headers["authorization"] == "Bearer abc"


def test_an_expiry_in_another_time_zone_is_understood() -> None:
    with CannedServer(handed_out(Expiration="2026-11-23T15:00:00+02:00")) as server:
        assert provider(server)()["expires_at"] == NOW + HOUR


def test_the_token_may_lie_in_a_file_that_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    clock = Clock()
    with CannedServer(handed_out(1), handed_out(2, NOW + 3 * HOUR)) as server:
        get = provider(server, clock, **{TOKEN_FILE: str(file)})
        for text in ("first\n", "second"):
            file.write_text(text)
            get()
            clock.now += HOUR
    assert [asked.headers["authorization"] for asked in server.requests] == ["first", "second"]


def test_no_token_is_no_header() -> None:
    with CannedServer(handed_out()) as server:
        ContainerCredentials({FULL_URI: server.endpoint}, now=Clock())()
    assert "authorization" not in server.requests[0].headers


def test_the_environment_is_read_when_it_counts() -> None:
    """A snapshot is restored with another endpoint and another token than it was taken with."""
    environ: dict[str, str] = {}
    get = ContainerCredentials(environ, now=Clock())
    with CannedServer(handed_out()) as server:
        environ |= {FULL_URI: server.endpoint, TOKEN: "of the restored one"}
        get()
    assert server.requests[0].headers["authorization"] == "of the restored one"


# --- time ---


def test_credentials_are_kept_while_they_hold() -> None:
    clock = Clock()
    with CannedServer(handed_out()) as server:
        get = provider(server, clock)
        for minutes in (0, 1, 30, 54):
            clock.now = NOW + timedelta(minutes=minutes)
            assert get()["access_key_id"] == "AKID1"
    assert len(server.requests) == 1


def test_new_ones_are_fetched_before_the_old_ones_expire() -> None:
    clock = Clock()
    with CannedServer(handed_out(1), handed_out(2, NOW + 2 * HOUR)) as server:
        get = provider(server, clock)
        get()
        clock.now = NOW + timedelta(minutes=56)
        assert get()["access_key_id"] == "AKID2"


def test_obstore_asks_again_in_time() -> None:
    """Obstore keeps what it was given until this long before its expiry."""
    assert ContainerCredentials.refresh_threshold == timedelta(minutes=5)


def test_those_of_a_snapshot_restored_much_later_are_not_used() -> None:
    clock = Clock()
    with CannedServer(handed_out(1), handed_out(2, NOW + timedelta(days=9))) as server:
        get = provider(server, clock)
        get()
        clock.now = NOW + timedelta(days=8)
        assert get()["access_key_id"] == "AKID2"


def test_while_the_old_ones_hold_a_broken_endpoint_is_no_trouble_and_is_asked_now_and_then() -> None:
    clock = Clock()
    with CannedServer(handed_out(), answer("500 Internal Server Error")) as server:
        get = provider(server, clock)
        get()
        clock.now = NOW + timedelta(minutes=56)
        for _ in range(5):
            assert get()["access_key_id"] == "AKID1"
        assert len(server.requests) == 1 + 2
        clock.now += timedelta(seconds=31)
        assert get()["access_key_id"] == "AKID1"
        assert len(server.requests) == 1 + 4
        clock.now = NOW + HOUR
        with pytest.raises(SourceUnavailable):
            get()


def test_many_threads_ask_once() -> None:
    given: list[Any] = []
    with CannedServer(handed_out()) as server:
        get = provider(server)
        threads = [threading.Thread(target=lambda: given.append(get())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(given) == 8
    assert len(server.requests) == 1


# --- trouble ---


@pytest.mark.parametrize(
    "trouble",
    [
        answer("403 Forbidden", b"very-secret"),
        answer("302 Found", Location="http://127.0.0.1:9/"),
        answer("200 OK", b"very-secret but no JSON"),
        answer("200 OK", b"[]"),
        answer("200 OK", b"\xff"),
        answer("200 OK", b"{", said_length=100),
        handed_out(SecretAccessKey=None),
        handed_out(Expiration="very-secret"),
        handed_out(expires=NOW),
        NOTHING,
        Answer(b"very-secret but no HTTP\r\n\r\n"),
    ],
    ids=["refused", "redirect", "text", "list", "bytes", "cut", "no-key", "no-time", "expired", "nothing", "no-http"],
)
def test_trouble_at_the_endpoint_is_an_error_that_tells_no_secret(trouble: Answer) -> None:
    with CannedServer(trouble) as server, pytest.raises(SourceUnavailable) as refused:
        provider(server)()
    error: BaseException | None = refused.value
    assert isinstance(error, SourceUnavailable)
    assert error.reason.startswith("the endpoint for credentials: ")
    while error is not None:
        assert "secret" not in f"{error!r} {getattr(error, 'reason', '')}"
        error = error.__cause__ or error.__context__


def test_trouble_that_passes_is_no_trouble() -> None:
    with CannedServer(answer("500 Internal Server Error"), handed_out()) as server:
        assert provider(server)()["access_key_id"] == "AKID1"


def test_a_silent_endpoint_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_TIMEOUT_S", 0.05)
    with CannedServer(SILENCE) as server, pytest.raises(SourceUnavailable):
        provider(server)()


def test_a_token_that_is_no_header_is_an_error_that_does_not_tell_it() -> None:
    with CannedServer(handed_out()) as server, pytest.raises(SourceUnavailable) as refused:
        provider(server, **{TOKEN: "very\r\nsecret"})()
    assert "very" not in refused.value.reason
    assert refused.value.__context__ is None
    assert server.requests == []


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.org/",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.org/",
        "http://localhost@example.org/",
        "http://0.0.0.0/",
        "http://[2001:db8::1]/",
        "https://example.org/",
        "https://localhost/",
        "file:///etc/passwd",
        "localhost",
        "",
    ],
)
def test_our_token_goes_to_no_other_host(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr("socket.create_connection", never)
    with pytest.raises(SourceUnavailable) as refused:
        ContainerCredentials({FULL_URI: uri, TOKEN: "abc"}, now=Clock())()
    assert refused.value.reason == f"{FULL_URI} is not http:// and a local host"


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"]
)
def test_the_hosts_that_the_sdks_accept_are_accepted(host: str) -> None:
    assert credentials._is_local(host)


def test_the_hosts_are_those_of_botocore() -> None:
    from botocore.utils import ContainerMetadataFetcher

    assert set(ContainerMetadataFetcher._ALLOWED_HOSTS) == credentials._HOSTS


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with CannedServer(handed_out()) as server:
        assert provider(server)()["access_key_id"] == "AKID1"


# --- which ones ---

CONTAINER = {FULL_URI: "http://localhost:1/", TOKEN: "abc"}


def test_a_container_is_asked_where_the_environment_says_so() -> None:
    assert container_credentials(CONTAINER) is not None


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        {**CONTAINER, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        {**CONTAINER, "AWS_WEB_IDENTITY_TOKEN_FILE": "/a", "AWS_ROLE_ARN": "b"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/a"},
    ],
    ids=["nothing", "keys", "keys-before-container", "web-identity-before-container", "ecs"],
)
def test_other_credentials_are_left_to_obstore(environ: dict[str, str]) -> None:
    assert container_credentials(environ) is None


# --- with obstore ---


def test_obstore_signs_with_them_and_takes_new_ones_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    # The first hold for another minute only, which is less than obstore wants.
    monkeypatch.setattr(credentials, "_LOOK_AGAIN", timedelta(0))
    soon, later = datetime.now(UTC) + timedelta(minutes=1), datetime.now(UTC) + HOUR
    with CannedServer(handed_out(1, soon), handed_out(2, later)) as endpoint, CannedServer(s3_part(DATA[:1])) as store:
        monkeypatch.setenv(FULL_URI, endpoint.endpoint)
        monkeypatch.setenv(TOKEN, "abc")
        source = open_s3("the-bucket", "", region=REGION, endpoint=store.endpoint, allow_http=True)
        assert endpoint.requests == []
        # Obstore takes 100 ms before it asks for better ones.
        for _ in range(10_000):
            blob(source, "the-key", ByteRange(0, 1))
            if len(endpoint.requests) == 2:
                break
    assert "Credential=AKID1/" in store.requests[0].headers["authorization"]
    assert store.requests[0].headers["x-amz-security-token"] == "session-1"
    assert "Credential=AKID2/" in store.requests[-1].headers["authorization"]
    assert len(endpoint.requests) == 2


def test_without_them_a_read_is_an_error_and_not_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    with CannedServer(answer("403 Forbidden")) as endpoint, CannedServer(s3_part(DATA[:1])) as store:
        source = open_s3(
            "the-bucket",
            "",
            region=REGION,
            endpoint=store.endpoint,
            credential_provider=provider(endpoint),
            allow_http=True,
        )
        with pytest.raises(SourceUnavailable) as refused:
            read(source, "the-key")
    assert refused.value.reason == "no credentials for S3"
    assert store.requests == []
