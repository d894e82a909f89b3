"""A client of a machine's server. Which data the machine has, each module says in a fixture `machine` of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from zarrlink_local.machine import Machine
from zarrlink_local.server import create_app


@pytest.fixture
def client(machine: Machine) -> Iterator[TestClient]:
    with TestClient(create_app(machine, "https://links.example"), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def dataset_id(machine: Machine) -> str:
    return machine.catalogue.all()[0].id
