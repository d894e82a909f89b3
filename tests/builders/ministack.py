"""CloudFront's KeyValueStore as MiniStack plays it, in a process of its own, on this machine alone (make setup-ministack)."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from builders.moto_aws import REGION

PROGRAM = Path(__file__).parents[2] / ".venv-ministack/bin/ministack"
LOOPBACK = "127.0.0.1"
_START_S = 30.0
_NUMBERS = itertools.count()


class MiniStack:
    """Where it listens, and clients of it."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://localhost:{port}"

    def environment(self) -> dict[str, str]:
        """What leads a client of CloudFront there."""
        return {
            "AWS_ENDPOINT_URL_CLOUDFRONT": self.endpoint,
            "AWS_ENDPOINT_URL_CLOUDFRONT_KEYVALUESTORE": self.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str, *, attempts: int = 3) -> Any:
        """A client of its own for each writer."""
        connect: Any = boto3.client
        return connect(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=Config(retries={"mode": "standard", "max_attempts": attempts}),
        )

    def new_store(self) -> str:
        """The ARN of an empty one."""
        answer = self.client("cloudfront").create_key_value_store(Name=f"links-{os.getpid()}-{next(_NUMBERS)}")
        return str(answer["KeyValueStore"]["ARN"])


@contextmanager
def ministack(folder: Path) -> Iterator[MiniStack]:
    """Started, and ended at the end. Skips the test where it is not installed."""
    if not PROGRAM.exists():
        pytest.skip("MiniStack is not installed: make setup-ministack")
    pytest.importorskip("awscrt", reason="awscrt, which signs requests to the KeyValueStore, is not installed")
    with contextlib.closing(socket.create_server((LOOPBACK, 0))) as probe:
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
    }
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM], env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(process, port)
        with _local_names():
            yield MiniStack(port)
    finally:
        process.terminate()
        process.wait(_START_S)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("MiniStack does not start")
        time.sleep(0.02)


@contextmanager
def _local_names() -> Iterator[None]:
    """The client puts the account before the endpoint's name; not every machine knows that *.localhost is its own."""
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, *others: Any, **more: Any) -> Any:
        is_local = isinstance(host, str) and host.endswith(".localhost")
        return ask(LOOPBACK if is_local else host, *others, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield
