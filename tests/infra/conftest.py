"""template.yaml as values, as lines and as nodes that know their lines."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"


class _Loader(yaml.SafeLoader):
    """CloudFormation's short forms become its long ones: `!Ref a` is {"Ref": "a"}."""


def _long_form(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _long_form)


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return yaml.load(TEMPLATE.read_text(), _Loader)  # a SafeLoader


@pytest.fixture(scope="session")
def lines() -> list[str]:
    return TEMPLATE.read_text().splitlines()


@pytest.fixture(scope="session")
def root_node() -> yaml.Node:
    node = yaml.compose(TEMPLATE.read_text(), _Loader)
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
def bundle() -> ModuleType:
    return _script("bundle")


@pytest.fixture(scope="session")
def sizes() -> ModuleType:
    return _script("sizes")


def _script(name: str) -> ModuleType:
    """A script of infra/, which is no package: scripts import one another as they do when they are run."""
    folder = str(ROOT / "infra")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
