"""The API's JSON: WEBKNOSSOS's field names where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from zarrlink.formats.datasource import MAX_LAYERS
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.http.page import layer_paths
from zarrlink.http.problems import PROBLEM_JSON
from zarrlink.links.interface import KEEP
from zarrlink.links.model import MAX_NAME, MAX_NOTE, Link
from zarrlink.links.service import LinkRequest
from zarrlink.links.token import KeyRing

# As long as `check_layer_name` lets a layer's name be.
MAX_LAYER_NAME: Final = 255
# Strict: a `true` or a "1999999999999" where a number belongs is a mistake, never a moment to expire at.
_GIVEN: Final = ConfigDict(strict=True)
_GIVEN_EXACTLY: Final = ConfigDict(strict=True, extra="forbid")
LayerName = Annotated[str, Field(max_length=MAX_LAYER_NAME)]


class Scope(BaseModel):
    """What a link opens of its dataset."""

    model_config = _GIVEN_EXACTLY

    layers: Annotated[list[LayerName], Field(max_length=MAX_LAYERS)] | None = Field(
        None, description="Layer names; absent: every layer that can be streamed now."
    )
    boundingBox: list[int] | None = Field(  # noqa: N815 (JSON in WEBKNOSSOS's manner)
        None, description="x, y, z, width, height, depth in mag-1 voxels; nothing outside is ever sent."
    )
    finestMag: str | None = Field(None, description="The finest mag that the link opens, such as 2-2-1.")  # noqa: N815
    mappings: Annotated[dict[LayerName, LayerName], Field(max_length=MAX_LAYERS)] | None = Field(
        None, description="Layer name -> name of the mapping (agglomerate file) that its segment ids are shown by."
    )


class NewLinkBody(BaseModel):
    """A link to make: to a dataset or to an annotation."""

    model_config = _GIVEN_EXACTLY

    dataset: str | None = Field(None, description="Id of a dataset.")
    annotation: str | None = Field(None, description="Id of an annotation, or of a dataset.")
    expirationDateTime: int | None = Field(  # noqa: N815
        None,
        description="Milliseconds since 1970; null: never; absent: in one calendar month, at the end of the day (UTC).",
    )
    name: str = Field("", max_length=MAX_NAME)
    note: str = Field("", max_length=MAX_NOTE)
    scope: Scope | None = None

    def wish(self) -> LinkRequest:
        """The request in our own terms. Raises InvalidRequest."""
        scope = self.scope or Scope(layers=None, boundingBox=None, finestMag=None, mappings=None)
        return LinkRequest(
            layers=None if scope.layers is None else tuple(scope.layers),
            box=None if scope.boundingBox is None else BoundingBox.from_list(scope.boundingBox),
            finest=None if scope.finestMag is None else Mag.parse(scope.finestMag),
            mappings=scope.mappings or {},
            name=self.name,
            note=self.note,
            expires_ms=self.expirationDateTime if "expirationDateTime" in self.model_fields_set else KEEP,
        )


class LinkChangeBody(BaseModel):
    """What to change; what is absent stays. The token and what the link opens never change."""

    model_config = _GIVEN

    dataset: str | None = None
    annotation: str | None = None
    expirationDateTime: int | None = None  # noqa: N815
    name: str = Field("", max_length=MAX_NAME)
    note: str = Field("", max_length=MAX_NOTE)


class LayerAddresses(BaseModel):
    """Complete addresses of a layer: OME-Zarr 0.5 (`v3`) and 0.4 (`v2`)."""

    name: str
    v3: str
    v2: str


class LinkBody(BaseModel):
    """A link, as only its owner sees it. `accessToken` is the secret in its addresses; `page` is the one to share."""

    id: str
    annotation: str | None
    dataset: str
    accessToken: str  # noqa: N815
    expirationDateTime: int | None  # noqa: N815
    created: int
    name: str
    note: str
    scope: Scope
    page: str
    layers: list[LayerAddresses]
    leftOut: list[str] = Field([], description="Why layers of the dataset are not in the link; only when it is made.")  # noqa: N815


class BuildInfo(BaseModel):
    """The part of WEBKNOSSOS's answer that its library reads."""

    httpApiVersioning: dict[str, int]  # noqa: N815


class DatasetBody(BaseModel):
    """A dataset that links can be made to."""

    id: str
    name: str
    tags: list[str] = []


class AnnotationLayerBody(BaseModel):
    """A layer of an annotation, as WEBKNOSSOS lists it."""

    tracingId: str  # noqa: N815
    typ: str
    name: str


class AnnotationBody(BaseModel):
    """An imported annotation; `annotationLayers` only where one is asked for. Times in ms since 1970."""

    id: str
    typ: str
    name: str
    description: str
    owner: dict[str, str]
    dataSetId: str | None  # noqa: N815
    created: int
    modified: int
    state: str
    annotationLayers: list[AnnotationLayerBody]  # noqa: N815


class UploadedBody(BaseModel):
    """WEBKNOSSOS's answer to an upload."""

    annotation: dict[str, str]
    messages: list[dict[str, str]]


class Message(BaseModel):
    """WEBKNOSSOS's way to say that something was done."""

    messages: list[dict[str, str]]


class ProblemBody(BaseModel):
    """RFC 9457. `instance` ties the answer to the server's log."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


PROBLEM_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ProblemBody, "content": {PROBLEM_JSON: {}}} for status in (400, 401, 404, 405, 413, 422, 502, 503)
}
"""What every route may answer beside what it is for."""


def link_body(link: Link, keys: KeyRing, public_url: str, left_out: Sequence[str] = ()) -> LinkBody:
    """A link with its addresses, which begin with `public_url`."""
    token = keys.token(link.id)
    page = f"{public_url}/zarr/{token}/"
    view = link.view
    return LinkBody(
        id=link.id,
        annotation=view.annotation or None,
        dataset=view.dataset,
        accessToken=token,
        expirationDateTime=link.expires_ms,
        created=link.created_ms,
        name=link.name,
        note=link.note,
        scope=Scope(
            layers=list(view.layers),
            boundingBox=None if view.box is None else view.box.to_list(),
            finestMag=None if view.finest is None else view.finest.literal,
            mappings=dict(view.mappings) or None,
        ),
        page=page,
        layers=[
            LayerAddresses(name=name, **{dialect: page + path for dialect, path in layer_paths(name).items()})
            for name in view.layers
        ],
        leftOut=list(left_out),
    )
