"""The functions, with the environment that the template gives them."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from builders.door import BACKENDS
from builders.lambda_door import LambdaBackend, load_function
from builders.moto_aws import MotoAws, moto_aws

ENVIRONMENT = {
    "LINKS_TABLE": "links",
    "CATALOGUE_TABLE": "catalogue",
    "USERS_TABLE": "users",
    "LINK_KEYS_SECRET": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keys",
    "HEAD_WITH_BODY": "false",
    "POWERTOOLS_SERVICE_NAME": "stream",
    "POWERTOOLS_METRICS_NAMESPACE": "zarrlink",
    "AWS_REGION": "eu-central-1",
}


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture(scope="module")
def stream() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield load_function("stream")


@pytest.fixture(scope="module")
def lambda_backend(aws: MotoAws, stream: ModuleType) -> Iterator[None]:
    """Doors of this module lead through the function."""
    BACKENDS.append(LambdaBackend(aws, stream))
    yield
    BACKENDS.pop()
