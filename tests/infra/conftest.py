"""template.yaml as values, as lines and as nodes that know their lines."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import yaml

from builders.template import ROOT, TEMPLATE, TemplateLoader, load_template


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return load_template()


@pytest.fixture(scope="session")
def lines() -> list[str]:
    return TEMPLATE.read_text().splitlines()


@pytest.fixture(scope="session")
def root_node() -> yaml.Node:
    node = yaml.compose(TEMPLATE.read_text(), TemplateLoader)
    assert node is not None
    return node


@pytest.fixture(scope="session")
def of_type(template: dict[str, Any]) -> Callable[[str], dict[str, dict[str, Any]]]:
    """Properties by logical name of all resources of a type, of which there is at least one."""

    def find(kind: str) -> dict[str, dict[str, Any]]:
        found = {name: it["Properties"] for name, it in template["Resources"].items() if it["Type"] == kind}
        assert found, kind
        return found

    return find


@pytest.fixture(scope="session")
def functions(of_type: Callable[[str], dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return of_type("AWS::Serverless::Function")


@pytest.fixture(scope="session")
def watching() -> dict[str, Any]:
    """infra/watching.yaml, the stack that template.yaml makes of it."""
    return load_template(ROOT / "infra" / "watching.yaml")


@pytest.fixture(scope="session")
def edge_watching() -> dict[str, Any]:
    """infra/edge_watching.yaml, which is deployed where CloudFront's metrics are."""
    return load_template(ROOT / "infra" / "edge_watching.yaml")


@pytest.fixture(scope="session")
def bundle() -> ModuleType:
    return _script("bundle")


@pytest.fixture(scope="session")
def sizes() -> ModuleType:
    return _script("sizes")


@pytest.fixture(scope="session")
def embed_edge() -> ModuleType:
    return _script("embed_edge")


@pytest.fixture(scope="session")
def check_deploy() -> ModuleType:
    return _script("check_deploy")


@pytest.fixture(scope="session")
def restore_rows() -> ModuleType:
    return _script("restore_rows")


@pytest.fixture(scope="session")
def smoke() -> ModuleType:
    return _script("smoke")


@pytest.fixture(scope="session")
def smoke_stack() -> ModuleType:
    return _script("smoke_stack")


def _script(name: str) -> ModuleType:
    """A script of infra/, which is no package: scripts import one another as they do when they are run."""
    folder = str(ROOT / "infra")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
