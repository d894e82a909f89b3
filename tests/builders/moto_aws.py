"""AWS as moto plays it: a server in this process, for boto3 and obstore alike."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from obstore.store import S3Credential

REGION = "eu-central-1"
_NUMBERS = itertools.count()


class MotoAws:
    """Where it listens, and clients of it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._clients: dict[str, Any] = {}

    def environment(self) -> dict[str, str]:
        """What leads clients here that others make."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def client(self, service: str) -> Any:
        """The one client of a service: making another takes longer than most tests."""
        if service not in self._clients:
            connect: Any = boto3.client
            self._clients[service] = connect(
                service,
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id="key",
                aws_secret_access_key="secret",
            )
        return self._clients[service]

    def new_bucket(self) -> str:
        name = f"bucket-{next(_NUMBERS)}"
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def new_table(self, definition: Mapping[str, Any]) -> str:
        name = f"table-{next(_NUMBERS)}"
        self.client("dynamodb").create_table(TableName=name, **definition)
        return name


@contextmanager
def moto_aws() -> Iterator[MotoAws]:
    """It starts in milliseconds, and everything in it is gone at the end."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield MotoAws(f"http://{host}:{port}")
    finally:
        server.stop()


def fixed_credentials() -> S3Credential:
    """What moto takes, as it takes anything."""
    return {"access_key_id": "key", "secret_access_key": "secret", "token": None, "expires_at": None}
