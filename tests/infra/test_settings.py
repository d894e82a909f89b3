"""template.yaml sets exactly the variables that the functions' settings read."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import Any

import pytest

from builders.template import as_created
from zarrlink.settings import (
    AnnotationImportSettings,
    ApiSettings,
    ExportPlanSettings,
    ExportSettings,
    LinkSyncSettings,
    LinkUsesSettings,
    StreamSettings,
)

# Read by Powertools and not by us.
POWERTOOLS = {"LOG_LEVEL", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME"}
SETTINGS = {
    "StreamFunction": StreamSettings,
    "ApiFunction": ApiSettings,
    "AnnotationImportFunction": AnnotationImportSettings,
    "ExportPlanFunction": ExportPlanSettings,
    "ExportPartFunction": ExportSettings,
    "ExportFinishFunction": ExportSettings,
    "ExportAbortFunction": ExportSettings,
    "LinkSyncFunction": LinkSyncSettings,
    "LinkUsesFunction": LinkUsesSettings,
}
# They are there with a CDN alone.
OF_THE_CDN = ("LinkSyncFunction", "LinkUsesFunction")


def environment(template: dict[str, Any], function: str) -> dict[str, Any]:
    variables: dict[str, Any] = template["Globals"]["Function"]["Environment"]["Variables"]
    return variables | template["Resources"][function]["Properties"]["Environment"]["Variables"]


def as_deployed(template: dict[str, Any], function: str) -> dict[str, str]:
    """With every parameter left as it is, but without a CDN where that can be, and a word for what is made."""
    found = {}
    created = as_created(template, {"Cdn": "true" if function in OF_THE_CDN else "false"})
    for name, value in environment(created, function).items():
        parameter = template["Parameters"].get(value.get("Ref"), {}) if isinstance(value, dict) else {"Default": value}
        found[name] = str(parameter.get("Default", f"made-{name}"))
    return found


def test_every_function_has_its_settings(functions: dict[str, dict[str, Any]]) -> None:
    assert functions.keys() == SETTINGS.keys()


@pytest.mark.parametrize("function", SETTINGS)
def test_names_agree(template: dict[str, Any], function: str) -> None:
    declared = {field.name.upper() for field in fields(SETTINGS[function])}
    assert environment(template, function).keys() == declared | POWERTOOLS


@pytest.mark.parametrize("function", SETTINGS)
def test_defaults_agree(template: dict[str, Any], function: str) -> None:
    variables = as_deployed(template, function)
    settings = SETTINGS[function].from_environment(variables)
    for field in fields(SETTINGS[function]):
        expected = variables[field.name.upper()] if field.default is MISSING else field.default
        assert getattr(settings, field.name) == expected


@pytest.mark.parametrize("function", SETTINGS)
def test_metrics_and_logs_tell_functions_apart(template: dict[str, Any], function: str) -> None:
    found = as_deployed(template, function)
    words = re.findall("[A-Z][a-z]+", function.removesuffix("Function"))
    assert found["POWERTOOLS_SERVICE_NAME"] == "_".join(words).lower()
    # Two stacks of an account do not count into one another's.
    assert environment(template, function)["POWERTOOLS_METRICS_NAMESPACE"] == {"Ref": "AWS::StackName"}
