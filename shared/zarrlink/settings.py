"""What a function reads from its environment: one typed object each, refused at start with the variable's name.

The field `links_table` is the variable `LINKS_TABLE`; a test holds template.yaml to exactly these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class _Settings:
    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ValueError naming a variable that is missing or does not fit."""
        values: dict[str, object] = {}
        for field in fields(cls):
            name = field.name.upper()
            text = environment.get(name, "")
            if text == "" and field.default is not MISSING:
                continue
            values[field.name] = _parse(name, text, str(field.type))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class StreamSettings(_Settings):
    """`stream`: the data path. `link_keys_secret`: ARN. `head_with_body`: answer HEAD like GET, the gateway strips the body.

    `zarrlink_allowed_sources`: prefixes outside of datasets' folders that may be read, apart by spaces. `edge_secret`: ARN;
    empty: no CDN stands in front.
    """

    links_table: str
    catalogue_table: str
    annotations_table: str
    link_keys_secret: str
    link_viewer_max_age: int = 300
    head_with_body: bool = True
    check_blocks: bool = False
    zarrlink_allowed_sources: str = ""
    edge_secret: str = ""
    requester_pays_buckets: str = ""
    volumes_role: str = ""
    volumes_role_buckets: str = ""


@dataclass(frozen=True, slots=True)
class ApiSettings(_Settings):
    """`api`: links, datasets and annotations as JSON. `public_url` empty: addresses begin with the API's own.

    `annotation_import`: name of the function that makes large downloads; uploads have at most `upload_limit` MiB.
    `export_machine`: ARN of the state machine that runs jobs. `zarrlink_ui_origins`: whose pages may call, apart by commas.
    `wk_...`, `oidc_...`: who vouches for people, see SignInChoice. `edge_secret`, `link_viewer_max_age`, `check_blocks`: as in
    StreamSettings, for what is below /data.
    """

    links_table: str
    catalogue_table: str
    annotations_table: str
    users_table: str
    jobs_table: str
    link_keys_secret: str
    annotation_bucket: str
    annotation_import: str
    export_bucket: str
    export_machine: str
    upload_limit: int = 4096
    export_concurrency: int = 50
    public_url: str = ""
    zarrlink_allowed_sources: str = ""
    requester_pays_buckets: str = ""
    volumes_role: str = ""
    volumes_role_buckets: str = ""
    zarrlink_ui_origins: str = ""
    wk_url: str = ""
    wk_organization: str = ""
    wk_admins: bool = False
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_user_claim: str = "sub"
    edge_secret: str = ""
    link_viewer_max_age: int = 300
    check_blocks: bool = False


@dataclass(frozen=True, slots=True)
class AnnotationImportSettings(_Settings):
    """`annotation_import`: large uploads to annotations. `scratch_space`: MiB of /tmp."""

    catalogue_table: str
    annotations_table: str
    annotation_bucket: str
    scratch_space: int = 10240


@dataclass(frozen=True, slots=True)
class ExportSettings(_Settings):
    """`export_part`, `export_finish` and `export_abort`: steps of an export. `result_days`: until a result is removed."""

    jobs_table: str
    catalogue_table: str
    annotations_table: str
    export_bucket: str
    result_days: int = 7
    zarrlink_allowed_sources: str = ""
    requester_pays_buckets: str = ""
    volumes_role: str = ""
    volumes_role_buckets: str = ""


@dataclass(frozen=True, slots=True)
class ExportPlanSettings(ExportSettings):
    """`export_plan`. `export_concurrency`: how many units of one export are made at the same time."""

    export_concurrency: int = 50


@dataclass(frozen=True, slots=True)
class LinkUsesSettings(_Settings):
    """`link_uses`: counts of openings out of the edge's log files, which lie below a prefix of a bucket."""

    links_table: str
    edge_log_bucket: str
    edge_log_prefix: str


@dataclass(frozen=True, slots=True)
class LinkSyncSettings(_Settings):
    """`link_sync`: the edge's store as the tables are. `edge_store`: ARN of the KeyValueStore; `link_keys_secret`: ARN."""

    links_table: str
    catalogue_table: str
    annotations_table: str
    link_keys_secret: str
    edge_store: str


def _parse(name: str, text: str, kind: str) -> object:
    if kind == "str":
        if not text:
            raise ValueError(f"{name} must be set")
        return text
    if kind == "int":
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"{name} must be a whole number, not {text!r}")
        return int(text)
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name} must be true or false, not {text!r}")
    return text.lower() == "true"
