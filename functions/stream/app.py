"""`stream`: a key below a link to bytes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from dataclasses import replace
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit

from zarrlink.aws_counts import Tally
from zarrlink.aws_parts import FRESHNESS_S, MOST_BYTES, LazyClient, now_ms, source_opener, starts
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.edge.addresses import LINK_HEADER, TOKEN_HEADER, UNCHECKED, parse_address
from zarrlink.http import problems
from zarrlink.http.edge_door import EdgeDoor
from zarrlink.http.lambda_events import reply_of, request_of, sendable
from zarrlink.http.message import Request, Response
from zarrlink.http.page import read_page_html
from zarrlink.http.routes import DataPath
from zarrlink.library import Library
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.secrets import SecretEdge, SecretKeys
from zarrlink.settings import StreamSettings
from zarrlink.sources.permission import AllowedSources
from zarrlink.storage.bucket_access import BucketAccess
from zarrlink.storage.metered import metered
from zarrlink.streaming import Streamer

SETTINGS = StreamSettings.from_environment(os.environ)
LOGGER = Logger()
METRICS = Metrics()
TALLY = Tally()
STARTS = starts()
LOOP = asyncio.new_event_loop()
# Errors of the package are lines like any other: JSON, not the plain text of Lambda's own handler.
copy_config_to_registered_loggers(LOGGER, include={problems.LOG.name})
_TOKEN_LIKE: Final = re.compile(r"[A-Za-z0-9_-]{33,}")


@cache
def data_path() -> DataPath:
    """Made at the first request, when the clients it needs are worth their import."""
    # A chunk is to wait for nothing but its bytes.
    dynamodb = LazyClient("dynamodb", traced=False)
    opener = source_opener(BucketAccess.from_settings(SETTINGS))
    library = Library(
        DynamoCatalogue(dynamodb, SETTINGS.catalogue_table),
        lambda location: metered(opener(location), TALLY.meter),
        monotonic=time.monotonic,
        freshness_s=FRESHNESS_S,
        annotations=DynamoAnnotations(dynamodb, SETTINGS.annotations_table),
        allowed=AllowedSources.from_text(SETTINGS.zarrlink_allowed_sources),
        most_bytes=MOST_BYTES,
    )
    secrets = LazyClient("secretsmanager", traced=False)
    return DataPath(
        keys=SecretKeys(secrets, SETTINGS.link_keys_secret),
        links=DynamoLinks(dynamodb, SETTINGS.links_table),
        streamer=Streamer(library, check_blocks=SETTINGS.check_blocks),
        now_ms=now_ms,
        page_html=read_page_html(),
        viewer_max_age_s=SETTINGS.link_viewer_max_age,
        edge=EdgeDoor(SecretEdge(secrets, SETTINGS.edge_secret)) if SETTINGS.edge_secret else None,
        answered=TALLY.answered,
    )


@METRICS.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """API Gateway's event to its answer."""
    started = time.perf_counter()
    TALLY.begin()
    request = request_of(event)
    link_id, below = _told(request)
    # In every line of the request, that of a failure too: the one tells which answer it was, the other what was asked for.
    LOGGER.append_keys(
        request_id=getattr(context, "aws_request_id", ""), link=hashlib.sha256(link_id.encode()).hexdigest()[:12]
    )
    asked = _as_get(request) if SETTINGS.head_with_body else request
    response = sendable(LOOP.run_until_complete(_respond(asked)))
    answer = reply_of(response)
    # The gateway strips the body of what was asked by HEAD.
    sent = 0 if request.method == "HEAD" else len(response.body)
    _note(request, below, response, sent, (time.perf_counter() - started) * 1000)
    TALLY.add_to(METRICS, response.status, sent)
    METRICS.add_metric(name="ColdStarts", unit=MetricUnit.Count, value=next(STARTS))
    return answer


async def _respond(request: Request) -> Response:
    try:
        path = data_path()
    except Exception as error:  # noqa: BLE001 (no keys at the moment: a failure that is said like any other, and tried anew)
        return problems.reply(error, head=request.method == "HEAD")
    return await path.respond(request)


def _shown_key(below: str, response: Response) -> str:
    """What of an address may be written down: nothing where no link was opened, for a token may stand at another place,
    and never what looks like one."""
    if response.status in (400, 405, 410):
        return ""
    return _TOKEN_LIKE.sub("...", unquote(below))[:200]


def _told(request: Request) -> tuple[str, str]:
    """The link's id as the address or the edge names it, and what comes after it."""
    address = parse_address(request.path)
    if address is not None:
        return address.token[1:17], address.rest
    kind, *parts = request.path.lstrip("/").split("/", 3 if request.path.startswith("/c/") else 2)
    if kind == "c":
        return request.header(LINK_HEADER) or "", parts[2] if len(parts) > 2 else ""
    link_id = (request.header(TOKEN_HEADER) or "")[1:17] if parts[:1] == [UNCHECKED] else "".join(parts[:1])
    return link_id, "".join(parts[1:])


def _as_get(request: Request) -> Request:
    """HEAD answered like GET, whole: the gateway strips the body and keeps its true length."""
    if request.method != "HEAD":
        return request
    headers = {name: value for name, value in request.headers.items() if name not in (b"range", b"if-range")}
    return replace(request, method="GET", headers=headers)


def _note(request: Request, below: str, response: Response, sent: int, milliseconds: float) -> None:
    """One line a request. The token is a secret: of the address only what comes after it, and a hash of the link's id."""
    reads = TALLY.reads()
    LOGGER.info(
        "request",
        extra={
            "method": request.method,
            "key": _shown_key(below, response),
            "status": response.status,
            "bytes_sent": sent,
            "source_requests": reads.requests,
            "source_bytes": reads.bytes,
            "milliseconds": round(milliseconds, 2),
        },
    )
