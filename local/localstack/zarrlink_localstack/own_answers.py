"""What API Gateway says itself, where no function was reached, as a template words it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_RESPONSES: Final = "x-amazon-apigateway-gateway-responses"
_HEADER: Final = "gatewayresponse.header."


def own_answers(api: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Those of an OpenAPI document, by their type, with the fields that API Gateway's API has."""
    return {
        kind: {
            "responseType": kind,
            "statusCode": None if "statusCode" not in given else str(given["statusCode"]),
            "responseParameters": given.get("responseParameters", {}),
            "responseTemplates": given.get("responseTemplates", {}),
            "defaultResponse": False,
        }
        for kind, given in api.get(_RESPONSES, {}).items()
    }


def constant_headers(parameters: Mapping[str, str]) -> dict[str, str]:
    """Headers of such an answer, whose values are constants in quotes; others would be taken from the request."""
    return {
        name.removeprefix(_HEADER): value[1:-1]
        for name, value in parameters.items()
        if name.startswith(_HEADER) and value[:1] == value[-1:] == "'"
    }
