"""`api`: links and datasets as JSON, and the files of the link's page."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from mangum import Mangum

from zarrlink.aws_parts import FRESHNESS_S, LazyClient, now_ms, source_opener
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.http import problems
from zarrlink.http.api import ApiServices, create_api
from zarrlink.http.api_door import ApiDoor
from zarrlink.http.lambda_events import carried, reply_of
from zarrlink.library import Library
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.secrets import read_key_ring
from zarrlink.settings import ApiSettings
from zarrlink.users.dynamodb import DynamoUsers

SETTINGS = ApiSettings.from_environment(os.environ)
LOGGER = Logger()


@cache
def door(public_url: str) -> Mangum:
    """The API, whose addresses begin with `public_url`."""
    dynamodb = LazyClient("dynamodb")
    catalogue = DynamoCatalogue(dynamodb, SETTINGS.catalogue_table)
    annotations = DynamoAnnotations(dynamodb, SETTINGS.annotations_table)
    services = ApiServices(
        library=Library(
            catalogue,
            source_opener(),
            monotonic=time.monotonic,
            freshness_s=FRESHNESS_S,
            annotations=annotations,
        ),
        catalogue=catalogue,
        annotations=annotations,
        links=DynamoLinks(dynamodb, SETTINGS.links_table),
        users=DynamoUsers(dynamodb, SETTINGS.users_table),
        keys=read_key_ring(LazyClient("secretsmanager"), SETTINGS.link_keys_secret),
        now_ms=now_ms,
        public_url=public_url,
    )
    return Mangum(ApiDoor(create_api(services)), lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """API Gateway's event to its answer."""
    started = time.perf_counter()
    answer = carried(_answer(event, context), "ask for less of it, such as one link or the links to one dataset")
    LOGGER.info(
        "request",
        extra={
            "request_id": getattr(context, "aws_request_id", ""),
            "method": event.get("httpMethod"),
            "route": event.get("resource"),
            "status": answer["statusCode"],
            "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        },
    )
    return answer


def _answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    try:
        own = door(SETTINGS.public_url.rstrip("/") or _own_address(event))
    except Exception as error:  # noqa: BLE001 (no keys at the moment: a failure that is said like any other, and tried anew)
        return reply_of(problems.reply(error))
    return dict(own(event, context))


def _own_address(event: dict[str, Any]) -> str:
    """Where API Gateway itself was reached: the domain it was asked by and the stage, neither from the viewer's Host."""
    context = event["requestContext"]
    return f"https://{context['domainName']}/{context['stage']}"
