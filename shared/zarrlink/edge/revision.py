"""The revision of a view's source, as it stands in a pinned address: `/c/{view}/{revision}/...`.

What lies below such an address never changes: another revision is another address. The geometry that a link expects is
part of it, so an old link to a dataset that was replaced never meets chunks of the new one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Protocol

from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.transcode import PLAN_VERSION


class Source(Protocol):
    """What a view is of: `zarrlink.library.Subject`."""

    @property
    def dataset(self) -> DatasetRecord | None: ...

    @property
    def annotation(self) -> AnnotationRecord | None: ...


def source_revision(source: Source) -> tuple[str, str]:
    """The revisions of its dataset and of its annotation, "" where there is none."""
    dataset, annotation = source.dataset, source.annotation
    return "" if dataset is None else str(dataset.revision), "" if annotation is None else annotation.revision


def revision_of(source: tuple[str, str], geometry: Mapping[str, str]) -> str:
    """11 URL-safe characters: 8 bytes of the SHA-256 of the canonical JSON.

    `source`: as `source_revision` tells it. `geometry`: the link's own, layer -> fingerprint.
    """
    facts = json.dumps([source, dict(geometry), PLAN_VERSION], sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(facts.encode()).digest()[:8]).decode().rstrip("=")
