"""template.yaml as values, and what CloudFormation would make of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
TEMPLATE: Final = ROOT / "template.yaml"
Json = dict[str, Any]


class TemplateLoader(yaml.SafeLoader):  # type: ignore[misc]  # it comes without types
    """CloudFormation's short forms become its long ones: `!Ref a` is {"Ref": "a"}."""


def _long_form(loader: TemplateLoader, name: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


TemplateLoader.add_multi_constructor("!", _long_form)


def load_template(path: Path = TEMPLATE) -> Json:
    """The whole template, short forms as long ones."""
    template: Json = yaml.load(path.read_text(), TemplateLoader)
    return template


def as_created(template: Json, parameters: Mapping[str, str] | None = None, region: str = "eu-central-1") -> Json:
    """The template with its conditions decided: what they leave out is gone, and so are `Fn::If` and `AWS::NoValue`.

    Parameters that are not given have their defaults. Raises KeyError for a condition or parameter that is not there.
    """
    given = {name: str((parameters or {}).get(name, it.get("Default"))) for name, it in template["Parameters"].items()}
    choice = _Choice(template["Conditions"], given | {"AWS::Region": region})
    created: Json = {key: value for key, value in template.items() if key != "Conditions"}
    for part in ("Resources", "Outputs"):
        there = {name: it for name, it in template[part].items() if "Condition" not in it or choice.of(it["Condition"])}
        created[part] = {
            name: choice.decided({key: value for key, value in it.items() if key != "Condition"})
            for name, it in there.items()
        }
    return created


_NO_VALUE: Final = {"Ref": "AWS::NoValue"}


class _Choice:
    def __init__(self, conditions: Json, given: Mapping[str, str]) -> None:
        self._conditions = conditions
        self._given = given

    def of(self, condition: Any) -> bool:
        """A condition, by name or as it is written."""
        if isinstance(condition, str):
            return self.of(self._conditions[condition])
        ((word, inner),) = condition.items()
        match word:
            case "Condition":
                return self.of(inner)
            case "Fn::Not":
                return not self.of(inner[0])
            case "Fn::And":
                return all(self.of(it) for it in inner)
            case "Fn::Equals":
                first, second = (self._text(it) for it in inner)
                return first == second
        raise KeyError(word)

    def _text(self, value: Any) -> str:
        if not isinstance(value, dict):
            return str(value)
        # Of a list without anything between its parts.
        return self._given[value["Ref"] if "Ref" in value else value["Fn::Join"][1]["Ref"]]

    def decided(self, value: Any) -> Any:
        if isinstance(value, list):
            listed = [self.decided(it) for it in value]
            return [it for it in listed if it != _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if "Fn::If" in value:
            condition, then, otherwise = value["Fn::If"]
            return self.decided(then if self.of(condition) else otherwise)
        items = {key: self.decided(it) for key, it in value.items()}
        return {key: it for key, it in items.items() if it != _NO_VALUE}


def resources_of(template: Json, kind: str) -> dict[str, Json]:
    """Properties by logical name of all resources of a type."""
    return {name: it["Properties"] for name, it in template["Resources"].items() if it["Type"] == kind}


def references(value: object) -> Iterator[str]:
    """What Ref, GetAtt, Sub and DependsOn name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner[0]
            elif key == "DependsOn":
                yield from [inner] if isinstance(inner, str) else inner
            elif key == "Fn::Sub":
                text, named = (inner, {}) if isinstance(inner, str) else inner
                yield from (name for name in re.findall(r"\$\{([A-Za-z0-9:]+)[.}]", text) if name not in named)
                yield from references(named)
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolved(template: Json, value: object, made: Mapping[str, str], parameters: Mapping[str, str]) -> str:
    """A value of the template as CloudFormation hands it out: `made` has what `Ref` gives for each resource.

    Parameters that are not given have their defaults. Raises KeyError for what is neither.
    """
    if not isinstance(value, dict):
        return str(value)
    name = value["Ref"]
    if name == "AWS::StackName":
        # As samconfig.toml calls it.
        return "zarrlink"
    if name in template["Parameters"]:
        return str(parameters.get(name, template["Parameters"][name].get("Default")))
    return made[name]


def environment_of(
    template: Json, function: str, made: Mapping[str, str], parameters: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables that a function (by its logical name) is deployed with, and those that Lambda sets beside them."""
    if "Conditions" in template:
        template = as_created(template, parameters)
    properties = template["Resources"][function]["Properties"]
    everyones = template["Globals"]["Function"]
    variables = everyones["Environment"]["Variables"] | properties["Environment"]["Variables"]
    found = {name: resolved(template, value, made, parameters or {}) for name, value in variables.items()}
    return found | {
        "_HANDLER": everyones["Handler"],
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{everyones['Runtime']}",
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": resolved(template, properties["MemorySize"], made, parameters or {}),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": resolved(template, properties["Timeout"], made, parameters or {}),
        "TZ": ":UTC",
    }


def routes_of(template: Json) -> dict[str, str]:
    """Which function (by its logical name) answers below which first folder of an address: `zarr`, `api`, `web`, ..."""
    return {
        event["Properties"]["Path"].split("/")[1]: name
        for name, function in resources_of(template, "AWS::Serverless::Function").items()
        for event in function.get("Events", {}).values()
        if event["Type"] == "Api"
    }
