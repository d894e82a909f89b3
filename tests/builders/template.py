"""template.yaml as values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


class Loader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """CloudFormation's short forms become its long ones: `!Ref a` is {"Ref": "a"}."""


def _long_form(loader: Loader, name: str, node: yaml.Node) -> dict[str, Any]:
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


Loader.add_multi_constructor("!", _long_form)


def load_template() -> dict[str, Any]:
    """As CloudFormation's long form has it."""
    template: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)
    return template
