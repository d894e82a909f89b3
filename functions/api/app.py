"""`api`: links, datasets and annotations as JSON, and the files of the web pages."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cache, lru_cache
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit
from mangum import Mangum

from zarrlink.annotations.large_uploads import LargeUploads
from zarrlink.annotations.s3_downloads import S3Downloads
from zarrlink.annotations.s3_vault import S3Vault
from zarrlink.annotations.safe_zip import ZipLimits
from zarrlink.annotations.shelf import Shelf
from zarrlink.annotations.upload import ImportLimits
from zarrlink.annotations.volume_zip import VolumeData
from zarrlink.aws_counts import Tally
from zarrlink.aws_errors import service_error
from zarrlink.aws_parts import FRESHNESS_S, MOST_BYTES, LazyClient, now_ms, source_opener, starts
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads
from zarrlink.errors import SourceUnavailable
from zarrlink.http import problems
from zarrlink.http.api import ApiServices, create_api
from zarrlink.http.api_door import ApiDoor
from zarrlink.http.asgi import Door
from zarrlink.http.cors import UiOrigins
from zarrlink.http.edge_door import EdgeDoor
from zarrlink.http.lambda_events import body_bytes, carried, reply_of, request_of
from zarrlink.http.page import read_page_html
from zarrlink.http.routes import DataPath, is_of_link
from zarrlink.http.webknossos_api import create_webknossos_routes
from zarrlink.http.webknossos_zarr import create_zarr_routes
from zarrlink.jobs.dynamodb import DynamoJobs
from zarrlink.jobs.limits import JobLimits
from zarrlink.jobs.service import JobService
from zarrlink.jobs.step_functions import StepFunctionsEngine
from zarrlink.library import Library
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.secrets import SecretEdge, SecretKeys
from zarrlink.settings import ApiSettings
from zarrlink.sources.bucket_places import bucket_places
from zarrlink.sources.permission import AllowedSources
from zarrlink.storage.bucket_access import BucketAccess
from zarrlink.storage.metered import metered
from zarrlink.streaming import Streamer
from zarrlink.users.configured import SignInChoice
from zarrlink.users.dynamodb import DynamoUsers

SETTINGS = ApiSettings.from_environment(os.environ)
UI_ORIGINS = UiOrigins.from_text(SETTINGS.zarrlink_ui_origins)
VOUCHERS = SignInChoice(
    SETTINGS.wk_url,
    SETTINGS.wk_organization,
    SETTINGS.wk_admins,
    SETTINGS.oidc_issuer,
    SETTINGS.oidc_audience,
    SETTINGS.oidc_user_claim,
).vouchers()
LOGGER = Logger()
METRICS = Metrics()
TALLY = Tally()
STARTS = starts()
KEYS = SecretKeys(LazyClient("secretsmanager"), SETTINGS.link_keys_secret)
# Errors of the package are lines like any other: JSON, not the plain text of Lambda's own handler.
copy_config_to_registered_loggers(LOGGER, include={problems.LOG.name})
# Lambda takes events of 6 MB, and base64 makes 4 bytes of 3: what is larger goes by /api/annotations/uploads.
MAX_UPLOAD_BYTES: Final = 4_500_000
# What fits /tmp, the memory and the patience of this function.
SMALL_UPLOADS: Final = ImportLimits(
    ZipLimits(entries=50_000, directory_bytes=2**24, unpacked_bytes=2**28), nml_bytes=2**25
)
# Addresses that one stack is reached by.
MAX_ADDRESSES: Final = 8
# Putting the parts of gigabytes together takes S3 some seconds.
S3_ANSWERS_S: Final = 20


@lru_cache(maxsize=MAX_ADDRESSES)
def door(public_url: str) -> Mangum:
    """The API, whose addresses begin with `public_url`."""
    # Without keys nothing is begun: no link that could not be shown.
    KEYS.read()
    dynamodb = LazyClient("dynamodb")
    catalogue = DynamoCatalogue(dynamodb, SETTINGS.catalogue_table)
    annotations = DynamoAnnotations(dynamodb, SETTINGS.annotations_table)
    s3 = _s3()
    opener = source_opener(BucketAccess.from_settings(SETTINGS))
    library = Library(
        catalogue,
        lambda location: metered(opener(location), TALLY.meter),
        monotonic=time.monotonic,
        freshness_s=FRESHNESS_S,
        annotations=annotations,
        allowed=AllowedSources.from_text(SETTINGS.zarrlink_allowed_sources),
        most_bytes=MOST_BYTES,
    )
    services = ApiServices(
        library=library,
        catalogue=catalogue,
        shelf=Shelf(annotations, catalogue, S3Vault(s3, SETTINGS.annotation_bucket), SMALL_UPLOADS),
        downloads=S3Downloads(
            library.holdings, s3, SETTINGS.annotation_bucket, now_ms=now_ms, make_elsewhere=_have_download_made
        ),
        links=DynamoLinks(dynamodb, SETTINGS.links_table),
        users=DynamoUsers(dynamodb, SETTINGS.users_table),
        keys=KEYS,
        now_ms=now_ms,
        public_url=public_url,
        has_edge=edge() is not None,
        place_of=bucket_places(frozenset({SETTINGS.annotation_bucket, SETTINGS.export_bucket})),
        uploads=LargeUploads(
            DynamoUploads(dynamodb, SETTINGS.annotations_table),
            s3,
            SETTINGS.annotation_bucket,
            limit_bytes=SETTINGS.upload_limit * 2**20,
            start_import=start,
        ),
        jobs=JobService(
            DynamoJobs(dynamodb, SETTINGS.jobs_table),
            _engine(),
            library,
            JobLimits(workers=SETTINGS.export_concurrency),
            now_ms,
        ),
        vouchers=VOUCHERS,
    )
    facts = create_webknossos_routes(library, catalogue, public_url)
    api = create_api(services, facts, create_zarr_routes(library, TALLY.answered))
    app = ApiDoor(api, ui_origins=UI_ORIGINS, max_upload_bytes=MAX_UPLOAD_BYTES)
    # Below /data, where a link's token may stand in place of an id.
    data_path = DataPath(
        keys=services.keys,
        links=services.links,
        streamer=Streamer(library, check_blocks=SETTINGS.check_blocks),
        now_ms=now_ms,
        page_html=read_page_html(),
        viewer_max_age_s=SETTINGS.link_viewer_max_age,
        edge=edge(),
        answered=TALLY.answered,
    )
    return Mangum(_encoded(Door(data_path, lambda _: app)), lifespan="off")


@cache
def edge() -> EdgeDoor | None:
    """What stands before everything where there is a CDN."""
    if not SETTINGS.edge_secret:
        return None
    return EdgeDoor(SecretEdge(LazyClient("secretsmanager"), SETTINGS.edge_secret))


def _encoded(app: Door) -> Callable[..., Awaitable[None]]:
    """The path as it came, which Mangum decodes and forgets."""

    async def called(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await app({**scope, "raw_path": scope["aws.event"]["path"].encode()}, receive, send)

    return called


def start(event: dict[str, str]) -> None:
    """Have an upload imported, or a download made, by what goes on after our answer. Raises SourceUnavailable."""
    if "upload" in event:
        _engine().start_import(event)
        return
    try:
        _functions().invoke(
            FunctionName=SETTINGS.annotation_import, InvocationType="Event", Payload=json.dumps(event).encode()
        )
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        raise SourceUnavailable(f"Lambda Invoke: {code}") from error


@cache
def _functions() -> LazyClient:
    return LazyClient("lambda")


@cache
def _s3() -> LazyClient:
    return LazyClient("s3", answer_s=S3_ANSWERS_S)


@cache
def _engine() -> StepFunctionsEngine:
    return StepFunctionsEngine(LazyClient("stepfunctions"), SETTINGS.export_machine, _s3(), SETTINGS.export_bucket)


def _have_download_made(record: AnnotationRecord, volume_data: VolumeData | None) -> None:
    start({"download": record.id, "format": volume_data or ""})


@METRICS.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """API Gateway's event to its answer."""
    started = time.perf_counter()
    TALLY.begin()
    # In every line of the request, that of a failure too.
    LOGGER.append_keys(request_id=getattr(context, "aws_request_id", ""))
    answer, is_admitted = _answer(event, context)
    answer = carried(answer, "ask for less of it, such as one link or the links to one dataset")
    if is_admitted and event["path"].startswith(("/api/", "/data/")) and not is_of_link(event["path"]):
        # Also on what was answered in place of the API.
        headers = event.get("headers") or {}
        origin = next((value for name, value in headers.items() if name.lower() == "origin"), None)
        answer["headers"] = UI_ORIGINS.text_headers(answer["headers"], origin)
    LOGGER.info(
        "request",
        extra={
            "method": event.get("httpMethod"),
            "route": event.get("resource"),
            "status": answer["statusCode"],
            "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        },
    )
    _count(event["path"], answer)
    METRICS.add_metric(name="ColdStarts", unit=MetricUnit.Count, value=next(STARTS))
    return answer


def _count(path: str, answer: dict[str, Any]) -> None:
    """Streamed data as in `stream`; of everything else what became of it."""
    status = answer["statusCode"]
    if path.startswith("/data/"):
        TALLY.add_to(METRICS, status, body_bytes(answer))
        return
    outcome = "Failed" if status >= 500 else "Refused" if status >= 400 else "Answered"
    METRICS.add_metric(name=outcome, unit=MetricUnit.Count, value=1)


def _answer(event: dict[str, Any], context: Any) -> tuple[dict[str, Any], bool]:
    """The answer, and whether the request came the way that it should."""
    is_admitted = False
    try:
        reached_by = _reached_by(request_of(event).headers)
        is_admitted = True
        own = door(SETTINGS.public_url.rstrip("/") or reached_by or _own_address(event))
    except Exception as error:  # noqa: BLE001 (no keys at the moment: a failure that is said like any other, and tried anew)
        return reply_of(problems.reply(error)), is_admitted
    return dict(own(event, context)), is_admitted


def _reached_by(headers: Mapping[bytes, bytes]) -> str | None:
    """What the CDN was reached by; None without one. Raises LinkGone for a request that did not come through it."""
    cdn = edge()
    if cdn is None:
        return None
    cdn.check(headers)
    return cdn.public_url(headers)


def _own_address(event: dict[str, Any]) -> str:
    """Where API Gateway itself was reached: the domain it was asked by and the stage, neither from the viewer's Host."""
    context = event["requestContext"]
    return f"https://{context['domainName']}/{context['stage']}"
