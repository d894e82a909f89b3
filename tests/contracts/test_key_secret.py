"""The key ring in Secrets Manager."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from builders.moto_aws import MotoAws, moto_aws
from zarrlink.errors import LinkGone, SourceUnavailable
from zarrlink.links.model import new_link_id
from zarrlink.links.secrets import RETRY_S, RING_S, SecretKeys, read_key_ring
from zarrlink.links.token import KeyRing, load_or_create_keys


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as server:
        yield server


class Secret:
    """A client of one secret."""

    def __init__(self, content: str) -> None:
        self._content = content

    def get_secret_value(self, **_: Any) -> dict[str, Any]:
        return {"SecretString": self._content}


def ring(content: Any) -> KeyRing:
    return read_key_ring(Secret(json.dumps(content)), "the-secret")


TEXT = 'x"]Yz{k\\' * 8


def test_a_ring_in_the_form_of_a_key_file_is_read() -> None:
    keys = {"a": bytes(range(32)), "B": bytes(range(32, 64))}
    found = ring({"current": "B", "keys": {name: base64.b64encode(key).decode() for name, key in keys.items()}})
    assert found == KeyRing(keys, "B")


def test_the_key_file_of_one_machine_can_be_moved_to_aws(tmp_path: Any) -> None:
    local = load_or_create_keys(tmp_path / "key")
    moved = read_key_ring(Secret((tmp_path / "key").read_text()), "the-secret")
    assert moved == local
    link_id = new_link_id()
    assert moved.link_id(local.token(link_id)) == link_id


def test_a_generated_text_is_a_key() -> None:
    assert ring({"current": "a", "a": TEXT}) == KeyRing({"a": TEXT.encode()}, "a")


def test_a_second_text_is_a_second_key() -> None:
    assert ring({"current": "b", "a": TEXT, "b": TEXT[::-1]}).keys == {"a": TEXT.encode(), "b": TEXT[::-1].encode()}


def test_a_secret_is_read_from_the_service_once(aws: MotoAws) -> None:
    client = aws.client("secretsmanager")
    made = client.create_secret(Name="of-the-links", SecretString=json.dumps({"current": "a", "a": TEXT}))
    for name in ("of-the-links", made["ARN"]):
        assert read_key_ring(client, name) == KeyRing({"a": TEXT.encode()}, "a")


def test_what_the_service_generates_is_long_enough(aws: MotoAws) -> None:
    text = aws.client("secretsmanager").get_random_password(PasswordLength=64)["RandomPassword"]
    assert len(ring({"current": "a", "a": text}).keys["a"]) >= 64


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a text, s3cr3t",
        "[]",
        '"s3cr3t"',
        "7",
        "null",
        "{}",
        '{"current": "a"}',
        '{"current": "a", "a": "s3cr3t, but short"}',
        '{"current": "b", "a": "' + "s3cr3t" * 9 + '"}',
        '{"a": "' + "s3cr3t" * 9 + '"}',
        '{"current": "ab", "ab": "' + "s3cr3t" * 9 + '"}',
        '{"current": "a", "a": 7}',
        '{"current": "a", "a": null}',
        '{"current": ["s3cr3t"], "a": "' + "s3cr3t" * 9 + '"}',
        '{"current": "a", "keys": "s3cr3t"}',
        '{"current": "a", "keys": {"a": "not base64, s3cr3t' + "x" * 60 + '"}}',
        '{"current": "a", "keys": {"a": "czNjcjN0"}}',
        '{"current": "a", "a": "\\ud800' + "s3cr3t" * 9 + '"}',
    ],
)
def test_another_content_is_refused_by_the_name_of_the_secret(content: str) -> None:
    with pytest.raises(ValueError, match="the secret the-secret is not a key ring") as refused:
        read_key_ring(Secret(content), "the-secret")
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    assert "s3cr3t" not in "".join(traceback.format_exception(refused.value))


def test_bytes_where_text_should_be_are_refused(aws: MotoAws) -> None:
    aws.client("secretsmanager").create_secret(Name="bytes", SecretBinary=b"s3cr3t")
    with pytest.raises(ValueError, match="bytes"):
        read_key_ring(aws.client("secretsmanager"), "bytes")


def test_a_missing_secret_is_an_error(aws: MotoAws) -> None:
    with pytest.raises(SourceUnavailable) as refused:
        read_key_ring(aws.client("secretsmanager"), "not-there")
    assert refused.value.reason == "secret not-there: ResourceNotFoundException"
    assert "not-there" not in str(refused.value)


@pytest.mark.parametrize(
    ("trouble", "word"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue"), "AccessDeniedException"),
        (EndpointConnectionError(endpoint_url="http://x"), "EndpointConnectionError"),
    ],
    ids=["denied", "unreachable"],
)
def test_a_secret_that_cannot_be_read_is_an_error(trouble: Exception, word: str) -> None:
    class Broken:
        def get_secret_value(self, **_: Any) -> dict[str, Any]:
            raise trouble

    with pytest.raises(SourceUnavailable) as refused:
        read_key_ring(Broken(), "the-secret")
    assert refused.value.reason == f"secret the-secret: {word}"


def test_a_mistake_of_our_own_is_not_blamed_on_the_service() -> None:
    class Mistaken:
        def get_secret_value(self, **_: Any) -> dict[str, Any]:
            raise KeyError

    with pytest.raises(KeyError):
        read_key_ring(Mistaken(), "the-secret")


class Changing(Secret):
    """A secret that is written anew, or cannot be read for a while."""

    def __init__(self, *names: str) -> None:
        self.write(*names)
        self.failing = False
        self.reads = 0

    def write(self, *names: str) -> None:
        super().__init__(json.dumps({"current": names[-1], **{name: name + TEXT for name in names}}))

    def garble(self) -> None:
        super().__init__("{" + TEXT)

    def get_secret_value(self, **request: Any) -> dict[str, Any]:
        self.reads += 1
        if self.failing:
            raise EndpointConnectionError(endpoint_url="https://secrets.example.org")
        return super().get_secret_value(**request)


def test_a_key_that_is_taken_out_ends_its_links_in_processes_that_run() -> None:
    secret, now = Changing("a"), [1000.0]
    keys = SecretKeys(secret, "the-secret", monotonic=lambda: now[0])
    assert secret.reads == 0
    link_id = new_link_id()
    old = keys.token(link_id)
    secret.write("b")
    now[0] += RING_S - 1
    assert (keys.link_id(old), secret.reads) == (link_id, 1)
    now[0] += 1
    with pytest.raises(LinkGone):
        keys.link_id(old)
    assert keys.token(link_id)[0] == "b"


def test_the_ring_that_is_known_goes_on_while_the_secret_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    secret, now = Changing("a"), [0.0]
    keys = SecretKeys(secret, "the-secret", monotonic=lambda: now[0])
    secret.failing = True
    with pytest.raises(SourceUnavailable):
        keys.token(new_link_id())
    secret.failing = False
    token = keys.token(new_link_id())
    secret.failing = True
    now[0] += RING_S
    assert keys.link_id(token) == token[1:17]
    assert keys.link_id(token) == token[1:17]
    assert secret.reads == 3, "asked again only after a while"
    assert "cannot be read anew" in caplog.text
    secret.failing = False
    secret.write("b")
    now[0] += RETRY_S
    with pytest.raises(LinkGone):
        keys.link_id(token)


def test_a_secret_that_somebody_garbled_ends_no_links_and_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    secret, now = Changing("a"), [0.0]
    keys = SecretKeys(secret, "the-secret", monotonic=lambda: now[0])
    token = keys.token(new_link_id())
    secret.garble()
    now[0] += RING_S
    assert keys.link_id(token) == token[1:17]
    assert "the secret the-secret is not a key ring" in caplog.text
    assert TEXT not in caplog.text


def test_a_key_that_is_not_known_yet_is_looked_for_but_not_at_each_request() -> None:
    secret, now = Changing("a"), [0.0]
    keys = SecretKeys(secret, "the-secret", monotonic=lambda: now[0])
    keys.read()
    secret.write("a", "b")
    link_id = new_link_id()
    token = SecretKeys(secret, "the-secret").token(link_id)
    assert token[0] == "b"
    reads = secret.reads
    for _ in range(3):
        with pytest.raises(LinkGone):
            keys.link_id(token)
    assert secret.reads == reads
    now[0] += RETRY_S
    assert keys.link_id(token) == link_id
    for _ in range(3):
        with pytest.raises(LinkGone):
            keys.link_id("c" + token[1:])
    assert secret.reads == reads + 1
