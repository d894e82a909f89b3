"""A session with AWS: in the region and with the credentials that the environment names."""

from __future__ import annotations

import os
from typing import Any, Final

from zarrlink.aws_errors import service_error
from zarrlink.errors import InvalidRequest
from zarrlink_local.stack import refused

# A person waits, who can try again: less than botocore's minutes, more than a function has.
CONNECT_S: Final = 5
ANSWER_S: Final = 20


def aws_session() -> Any:
    """boto3's, which knows its region. Raises InvalidRequest where it cannot be had, with what to do about it."""
    try:
        import boto3
    except ImportError as error:
        raise InvalidRequest("AWS needs boto3, which the extra `aws` brings: pip install 'zarrlink[aws]'") from error
    make_session: Any = boto3.Session
    # AWS_REGION is unknown to boto3, which knows AWS_DEFAULT_REGION; AWS's other tools look at it first.
    region = os.environ.get("AWS_REGION") or None
    try:
        session = make_session(region_name=region)
        # Empty where AWS_DEFAULT_REGION is: botocore would make an address of it. And what cannot be a region is refused.
        known = bool(session.region_name and session.client("sts"))
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        raise InvalidRequest(_unset(code)) from error
    if not known:
        raise InvalidRequest(_unset("NoRegionError"))
    return session


def client_of(session: Any, service: str, *, answer_s: float = ANSWER_S) -> Any:
    """boto3's client, as patient as a person."""
    from botocore.config import Config

    patience = Config(connect_timeout=CONNECT_S, read_timeout=answer_s, retries={"mode": "standard", "max_attempts": 3})
    return session.client(service, config=patience)


def _unset(code: str) -> str:
    if code == "NoRegionError":
        return "there is no AWS region: set AWS_REGION, or choose a profile that has one with AWS_PROFILE"
    if code == "InvalidRegionError":
        return "what AWS_REGION or the profile names cannot be a region: one is called such as eu-central-1"
    if code == "ProfileNotFound":
        return "there is no AWS profile of the name that AWS_PROFILE gives"
    return refused("making a client", code)
