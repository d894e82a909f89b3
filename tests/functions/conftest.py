"""The functions, with the environment that the template gives them."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from builders.door import BACKENDS
from builders.lambda_door import ENVIRONMENT, LambdaBackend, load_function
from builders.moto_aws import MotoAws, moto_aws


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture(scope="module")
def stream() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        stream = load_function("stream")
        yield stream
        stream.LOOP.close()


@pytest.fixture(scope="module")
def lambda_backend(aws: MotoAws, stream: ModuleType) -> Iterator[None]:
    """Doors of this module lead through the function."""
    BACKENDS.append(LambdaBackend(aws, stream))
    yield
    BACKENDS.pop()
