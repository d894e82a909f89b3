"""The routes of large uploads: announce one, send its parts to S3, complete it, ask what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from zarrlink.annotations.large_uploads import ADDRESS_S, MAX_PARTS, LargeUploads
from zarrlink.catalogue.uploads_dynamodb import UploadRecord
from zarrlink.http.annotation_api import dataset_of_upload
from zarrlink.http.api_models import Message
from zarrlink.http.sign_in import SignedIn

if TYPE_CHECKING:
    from zarrlink.http.api import ApiServices

_GIVEN = ConfigDict(strict=True, extra="forbid")


class NewUploadBody(BaseModel):
    """A file to upload: an NML, or a zip with one."""

    model_config = _GIVEN

    name: str = Field(description="The file's name, ending in .nml or .zip.")
    bytes: int = Field(description="The file's length.")
    datasetId: str | None = Field(None, description="The dataset that it is of; absent: the one that its NML names.")  # noqa: N815


class PartAddress(BaseModel):
    """Where part `number` goes, by PUT. The address is a secret."""

    number: int
    url: str


class OpenedUploadBody(BaseModel):
    """Cut the file in parts of `partBytes` (the last is shorter), PUT each to its address, keep each answer's ETag."""

    id: str
    partBytes: int  # noqa: N815
    parts: list[PartAddress]
    expires: int = Field(description="Milliseconds since 1970: until then the addresses work at most.")


class UploadedPart(BaseModel):
    """A part and the ETag that S3 answered with."""

    model_config = _GIVEN

    number: int = Field(ge=1, le=MAX_PARTS)
    etag: str = Field(min_length=1, max_length=128)


class CompleteBody(BaseModel):
    """All parts of an upload."""

    model_config = _GIVEN

    parts: Annotated[list[UploadedPart], Field(max_length=MAX_PARTS)]


class UploadBody(BaseModel):
    """What has become of an upload. `state`: open (parts are missing), pending, done or failed.

    `annotation`: its id, once it is done; `message`: why it failed.
    """

    id: str
    name: str
    state: str
    annotation: str | None
    message: str | None


def add_upload_routes(api: APIRouter, services: ApiServices, uploads: LargeUploads) -> None:
    """Add the routes to the API's."""

    @api.post("/annotations/uploads", summary="Announce a large upload, and get addresses for its parts")
    def begin(body: NewUploadBody, user: SignedIn) -> OpenedUploadBody:
        dataset_of_upload(services, user, body.datasetId)
        now = services.now_ms()
        opened = uploads.begin(user.name, body.name, body.bytes, body.datasetId or "", now)
        return OpenedUploadBody(
            id=opened.record.id,
            partBytes=opened.part_bytes,
            parts=[PartAddress(number=number, url=url) for number, url in enumerate(opened.addresses, 1)],
            expires=now + ADDRESS_S * 1000,
        )

    @api.post("/annotations/uploads/{upload_id}/complete", summary="All parts are there: import it")
    def complete(upload_id: str, body: CompleteBody, user: SignedIn) -> UploadBody:
        return _body(uploads.complete(user.name, upload_id, [(part.number, part.etag) for part in body.parts]))

    @api.get("/annotations/uploads/{upload_id}", summary="What has become of an upload")
    def one(upload_id: str, user: SignedIn) -> UploadBody:
        return _body(uploads.get(user.name, upload_id))

    @api.delete("/annotations/uploads/{upload_id}", summary="Give up an upload whose parts are still coming")
    def abort(upload_id: str, user: SignedIn) -> Message:
        uploads.abort(user.name, upload_id)
        return Message(messages=[{"success": "upload removed"}])


def _body(record: UploadRecord) -> UploadBody:
    return UploadBody(
        id=record.id,
        name=record.name,
        state="pending" if record.state == "importing" else record.state,
        annotation=record.annotation if record.state == "done" else None,
        message=record.sentence or None,
    )
