"""`link_sync`: the edge's store as the tables are. The tables' streams call it, and once an hour a schedule does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from zarrlink.aws_parts import LazyClient, counted, now_ms, starts
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.edge.kvs import KeyValueStore
from zarrlink.edge.stream_events import read_records
from zarrlink.edge.sync import EdgeSync
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.secrets import read_key_ring
from zarrlink.settings import LinkSyncSettings

SETTINGS = LinkSyncSettings.from_environment(os.environ)
LOGGER = Logger()
METRICS = Metrics()
STARTS = starts()
DYNAMODB = LazyClient("dynamodb")
SECRETS = LazyClient("secretsmanager")
SYNC = EdgeSync(
    DynamoLinks(DYNAMODB, SETTINGS.links_table),
    DynamoCatalogue(DYNAMODB, SETTINGS.catalogue_table),
    DynamoAnnotations(DYNAMODB, SETTINGS.annotations_table),
    lambda: read_key_ring(SECRETS, SETTINGS.link_keys_secret),
    KeyValueStore(LazyClient("cloudfront-keyvaluestore", answer_s=20), SETTINGS.edge_store),
    now_ms,
)


class _Keys:
    """Whether this environment has seen to the keys: the first link of a new stack needs them at once."""

    written = False


@METRICS.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """From a stream: that nothing is to be given again. From anything else: what `reconcile` found."""
    LOGGER.append_keys(request_id=getattr(context, "aws_request_id", ""))
    with counted(METRICS, STARTS):
        return _changed(event["Records"]) if "Records" in event else _reconcile()


def _changed(records: list[dict[str, Any]]) -> dict[str, Any]:
    # A failure of a table or the store is one of the whole batch, and rises.
    changed = list(read_records(records, SETTINGS.links_table))
    links = [row for row in changed if row.kind == "link"]
    sources = [row for row in changed if row.kind == "source"]
    damaged = SYNC.sync_links([row.id for row in links]) | SYNC.sync_sources({row.id for row in sources})
    if not _Keys.written:
        SYNC.sync_keys()
        _Keys.written = True
    _tell_damaged(sorted(damaged))
    # A damaged row is as damaged when it is given again, and every revocation behind it in the stream would wait for that.
    return {"batchItemFailures": []}


def _reconcile() -> dict[str, Any]:
    found = SYNC.reconcile()
    LOGGER.info("reconciled", extra=asdict(found))
    METRICS.add_metric(name="EdgeEntriesMended", unit=MetricUnit.Count, value=found.mended)
    METRICS.add_metric(name="EdgeLinksLeftOut", unit=MetricUnit.Count, value=found.left_out)
    _tell_damaged(found.damaged)
    # No failure: trying again would find the same rows, and the alarm of their own has told of them.
    return {"mended": found.mended, "left_out": found.left_out, "damaged": len(found.damaged)}


def _tell_damaged(link_ids: Sequence[str]) -> None:
    METRICS.add_metric(name="UnreadableRows", unit=MetricUnit.Count, value=len(link_ids))
    if link_ids:
        LOGGER.error("damaged rows of links, or of what they open", extra={"links": list(link_ids)[:100]})
