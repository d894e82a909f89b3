"""Credentials that are asked for and held, for obstore: those of a function restored from a SnapStart snapshot.

Lambda then sets no keys in the environment but names a local HTTP endpoint, as ECS and EKS do:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from zarrlink.errors import SourceUnavailable

if TYPE_CHECKING:
    from obstore.store import S3Credential

FULL_URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 (the name of a variable)
TOKEN_FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105

# Besides loopback addresses, the hosts that the AWS SDKs accept (botocore 1.44, ContainerMetadataFetcher): the
# endpoints of ECS and EKS. Anywhere else, whoever sets a variable could have our authorization token.
_HOSTS: Final = frozenset({"localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_ATTEMPTS: Final = 2
_TIMEOUT_S: Final = 1.0
_MAX_ANSWER_BYTES: Final = 65536
# While the old ones still hold, the endpoint is not asked for every request.
_LOOK_AGAIN: Final = timedelta(seconds=30)


class Held(NamedTuple):
    """Credentials, and until when they hold (aware, UTC)."""

    credentials: S3Credential
    expires_at: datetime


class HeldCredentials:
    """A credential provider of obstore: call it for credentials that hold for some time yet."""

    # Read by obstore too, which calls from then on.
    refresh_threshold = timedelta(minutes=5)

    def __init__(self, fetch: Callable[[datetime], Held], now: Callable[[], datetime]) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._look_again = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> S3Credential:
        """Raises SourceUnavailable where there are none that hold."""
        with self._lock:
            now = self._now()
            held = self._held if self._held is not None and self._held.expires_at > now else None
            if held is None or (held.expires_at - now <= self.refresh_threshold and now >= self._look_again):
                self._look_again = now + _LOOK_AGAIN
                try:
                    held = self._held = self._fetch(now)
                except SourceUnavailable:
                    if held is None:
                        raise
            return held.credentials


class ContainerCredentials(HeldCredentials):
    """Those that the endpoint hands out which the environment names.

    The environment is read anew for each look, since a snapshot is restored with other values than it was taken with.
    """

    def __init__(self, environ: Mapping[str, str], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(self._look, now)
        self._environ = environ

    def _look(self, now: datetime) -> Held:
        trouble: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                answer = json.loads(self._ask())
                expires_at = datetime.fromisoformat(answer["Expiration"]).astimezone(UTC)
                credentials: S3Credential = {
                    "access_key_id": answer["AccessKeyId"],
                    "secret_access_key": answer["SecretAccessKey"],
                    "token": answer["Token"],
                    "expires_at": expires_at,
                }
            except (OSError, ValueError, KeyError, TypeError) as error:
                trouble = error
                continue
            if expires_at > now:
                return Held(credentials, expires_at)
        # Without the cause: it may hold what the endpoint sent.
        kind = "expired credentials" if trouble is None else type(trouble).__name__
        raise SourceUnavailable(f"the endpoint for credentials: {kind}")

    def _ask(self) -> bytes:
        # Here, since only this way of running needs it. It follows no redirect and uses no proxy.
        import http.client

        url = urlsplit(self._environ[FULL_URI])
        if url.scheme != "http" or not _is_local(url.hostname or ""):
            raise SourceUnavailable(f"{FULL_URI} is not http:// and a local host")
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", url.path + ("?" + url.query if url.query else ""), headers=self._headers())
            response = connection.getresponse()
            answer = response.read(_MAX_ANSWER_BYTES)
        except http.client.HTTPException as error:
            raise ConnectionError from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise ConnectionError(response.status)
        return answer

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if TOKEN_FILE in self._environ:
            headers["Authorization"] = Path(self._environ[TOKEN_FILE]).read_text().strip()
        elif TOKEN in self._environ:
            headers["Authorization"] = self._environ[TOKEN]
        return headers


def container_credentials(environ: Mapping[str, str]) -> ContainerCredentials | None:
    """The provider that the environment asks for; None where it names other credentials, which obstore finds itself.

    In the order of the AWS SDKs: keys, then a web identity, then a container's endpoint.
    """
    if FULL_URI not in environ or "AWS_ACCESS_KEY_ID" in environ or "AWS_WEB_IDENTITY_TOKEN_FILE" in environ:
        return None
    return ContainerCredentials(environ)


def _is_local(host: str) -> bool:
    if host in _HOSTS:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
