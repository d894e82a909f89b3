"""The API's JSON: WEBKNOSSOS's field names where it has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from zarrlink.formats.datasource import MAX_LAYERS
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.http.page import layer_addresses
from zarrlink.http.problems import PROBLEM_JSON
from zarrlink.links.interface import KEEP
from zarrlink.links.model import MAX_NAME, MAX_NOTE, Link, LinkState
from zarrlink.links.service import LinkRequest
from zarrlink.links.token import Tokens

# As long as `check_layer_name` lets a layer's name be.
MAX_LAYER_NAME: Final = 255
# Strict: a `true` or a "1999999999999" where a number belongs is a mistake, never a moment to expire at.
_GIVEN: Final = ConfigDict(strict=True)
_GIVEN_EXACTLY: Final = ConfigDict(strict=True, extra="forbid")
LayerName = Annotated[str, Field(max_length=MAX_LAYER_NAME)]
# Of any form, so that an unknown one is not there; but text that a database can be asked for.
Id = Annotated[str, Field(max_length=100, pattern=r"^[ -~]*$")]


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

    dataset: Id | None = Field(None, description="Id of a dataset.")
    annotation: Id | None = Field(None, description="Id of an annotation, or of a dataset.")
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
    """Complete addresses of a layer: OME-Zarr 0.5 (`v3`) and 0.4 (`v2`), and WEBKNOSSOS's own form.

    The last answers 422 where WEBKNOSSOS has no words for the layer's channels or axes; the link's page tells beforehand.
    """

    name: str
    v3: str
    v2: str
    webknossos: str


class LinkBody(BaseModel):
    """A link. `accessToken` is the secret in its addresses; `page` is the one to share.

    An owner of some of what it opens may not read the rest (somebody's private annotation of the owner's dataset, say): then
    the secret, addresses, layers and ids of what is not the owner's to read are not told. They are empty, or null.
    """

    id: str
    owner: str = Field(description="Who made it.")
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
    uses: int = Field(
        0, description="At most so often a layer was opened by it: GETs of metadata documents, added up now and then."
    )
    lastUsed: int | None = Field(None, description="When the last of them was, in ms since 1970; null: none was.")  # noqa: N815
    state: Literal["active", "expired", "revoking"] = Field(
        "active",
        description="revoking: it was revoked, and caches everywhere are being told; then it is not there any more.",
    )


class BuildInfo(BaseModel):
    """The part of WEBKNOSSOS's answer that its library reads."""

    httpApiVersioning: dict[str, int]  # noqa: N815


class Message(BaseModel):
    """WEBKNOSSOS's way to say that something was done."""

    messages: list[dict[str, str]]


class RevokingBody(Message):
    """A link that was revoked here, while caches everywhere are being told. Ask for it until it is not there any more."""

    id: str
    state: Literal["revoking"] = "revoking"


class ProblemBody(BaseModel):
    """RFC 9457. `instance` ties the answer to the server's log; `messages` says the same in WEBKNOSSOS's manner."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    messages: list[dict[str, str]]


PROBLEM_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ProblemBody, "content": {PROBLEM_JSON: {}}}
    for status in (400, 401, 403, 404, 405, 413, 422, 500, 502, 503)
}
"""What every route may answer beside what it is for."""


def link_body(link: Link, state: LinkState, keys: Tokens, public_url: str, left_out: Sequence[str] = ()) -> LinkBody:
    """A link with its addresses, which begin with `public_url`. One that is `revoked` is shown to nobody."""
    token = keys.token(link.id)
    page = f"{public_url}/zarr/{token}/"
    view = link.view
    return LinkBody(
        id=link.id,
        owner=link.owner,
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
        layers=[LayerAddresses(name=name, **layer_addresses(page, name)) for name in view.layers],
        leftOut=list(left_out),
        uses=link.uses,
        lastUsed=link.last_used_ms,
        state="revoking" if state == "revoked" else state,
    )


def untold(body: LinkBody, known: Collection[str]) -> LinkBody:
    """The same without what opens it, and with none but the `known` ids."""
    hidden: dict[str, Any] = {"layers": [], "mappings": None}
    return body.model_copy(
        update={
            "accessToken": "",
            "page": "",
            "layers": [],
            "scope": body.scope.model_copy(update=hidden),
            "dataset": body.dataset if body.dataset in known else "",
            "annotation": body.annotation if body.annotation in known else None,
        }
    )
