"""How buckets are read that others pay for or that lie in other accounts: request by request, or in a role there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from zarrlink.aws_errors import ask
from zarrlink.storage.credentials import Held, HeldCredentials

if TYPE_CHECKING:
    from obstore.store import S3Credential

# The longest that a role may be assumed for by another one, which a function's is.
_ROLE_S: Final = 3600
# What shows in the other account's CloudTrail.
_SESSION: Final = "zarrlink"


class VolumeSettings(Protocol):
    """The settings of a function that reads volumes."""

    @property
    def requester_pays_buckets(self) -> str: ...
    @property
    def volumes_role(self) -> str: ...
    @property
    def volumes_role_buckets(self) -> str: ...


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """`requester_pays`: buckets whose requests and transfer the reader says that it pays for. `role_buckets`: those that are
    read in the role `role_arn`; all others are read with whatever credentials one has."""

    requester_pays: frozenset[str] = frozenset()
    role_arn: str = ""
    role_buckets: frozenset[str] = frozenset()

    @classmethod
    def from_settings(cls, settings: VolumeSettings) -> BucketAccess:
        role_buckets = bucket_names(settings.volumes_role_buckets) if settings.volumes_role else frozenset()
        return cls(bucket_names(settings.requester_pays_buckets), settings.volumes_role, role_buckets)


def bucket_names(text: str) -> frozenset[str]:
    """Names with commas between."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())


class AssumedRole(HeldCredentials):
    """The credentials of a role, by botocore's client of STS."""

    def __init__(self, sts: Any, role_arn: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(self._assume, now)
        self._sts = sts
        self._role_arn = role_arn

    def _assume(self, _now: datetime) -> Held:
        """Raises SourceUnavailable."""
        wanted = {"RoleArn": self._role_arn, "RoleSessionName": _SESSION, "DurationSeconds": _ROLE_S}
        found = ask(lambda: self._sts.assume_role(**wanted), service="STS")["Credentials"]
        # obstore takes no other zone, not even botocore's own UTC.
        expires_at = found["Expiration"].astimezone(UTC)
        credentials: S3Credential = {
            "access_key_id": found["AccessKeyId"],
            "secret_access_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expires_at": expires_at,
        }
        return Held(credentials, expires_at)
