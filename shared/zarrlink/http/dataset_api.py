"""The dataset routes of the API: find, register, describe, share and forget datasets, and look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query

from zarrlink.access import Act, Shared, Visibility, may, may_register
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import CorruptFile, InvalidRequest, NotPermitted, SourceUnavailable, UnknownKey
from zarrlink.http.api_models import Message
from zarrlink.http.catalogue_models import (
    ChangesBody,
    DatasetBody,
    NewDatasetBody,
    PreviewBody,
    UnopenedDatasetBody,
)
from zarrlink.http.found import ChangeableDataset, ReadableDataset, RemovableDataset
from zarrlink.http.sign_in import SignedIn, SignedInOrNot
from zarrlink.http.webknossos_documents import ORGANIZATION
from zarrlink.http.webknossos_facts import unopened
from zarrlink.library import Subject
from zarrlink.links.previews import open_preview
from zarrlink.users.interface import User

if TYPE_CHECKING:
    from zarrlink.http.api import ApiServices

Words = Annotated[str | None, Query(max_length=200, description="Words of the name, description, tags or owner.")]
Tag = Annotated[str | None, Query(max_length=100)]


def add_dataset_routes(api: APIRouter, services: ApiServices) -> None:  # noqa: C901 (a list of routes)
    """Add the routes to the API's."""

    @api.get("/datasets", summary="The datasets that you may read; not signed in: those that anybody may")
    def datasets(
        who: SignedInOrNot,
        query: Words = None,
        tag: Tag = None,
        visibility: Visibility | None = None,
        mine: Annotated[bool, Query(description="Only your own.")] = False,  # noqa: FBT002
        organization: Annotated[
            str | None, Query(alias="organizationId", max_length=100, description="As WEBKNOSSOS's library asks.")
        ] = None,
        compact: Annotated[bool, Query(description="With organizationId: no more than without it.")] = False,  # noqa: FBT002
    ) -> list[UnopenedDatasetBody | DatasetBody]:
        if organization not in (None, ORGANIZATION):
            return []
        is_full = organization is not None and not compact
        return [
            unopened(dataset_body(record, who), services.public_url) if is_full else dataset_body(record, who)
            for record in services.catalogue.all()
            if may(who, Act.READ, record)
            and visibility in (None, record.visibility)
            and (not mine or (who is not None and record.owner == who.name))
            and (tag is None or tag in record.tags)
            and speaks_of(query, record.name, record.description, record.owner, *record.tags)
        ]

    @api.post("/datasets", summary="Register a dataset that lies where the server may read; for admins")
    async def register(body: NewDatasetBody, user: SignedIn) -> DatasetBody:
        if not may_register(user):
            raise NotPermitted("only an admin registers datasets")
        if services.place_of is None:
            raise InvalidRequest("datasets are registered from the command line here, by zarrlink datasets add")
        location = services.place_of(body.location)
        if any(record.location == location for record in services.catalogue.all()):
            raise InvalidRequest("this location is registered already")
        about = body.changes()
        await _check_readable(services, DatasetRecord("", body.name, location, 0))
        record = services.catalogue.register(body.name, location, services.now_ms(), owner=user.name, about=about)
        return dataset_body(record, user)

    @api.patch("/datasets/{dataset_id}", summary="Rename, describe, tag or share a dataset; what is absent stays")
    def change(record: ChangeableDataset, body: ChangesBody, user: SignedIn) -> DatasetBody:
        changed = services.catalogue.change(record.id, body.changes())
        if changed is None:
            raise UnknownKey("there is no such dataset")
        return dataset_body(changed, user)

    @api.delete("/datasets/{dataset_id}", summary="Forget a dataset: its links end, its files stay")
    def remove(dataset: RemovableDataset) -> Message:
        if not services.catalogue.remove(dataset):
            raise UnknownKey("there is no such dataset")
        return Message(messages=[{"success": "dataset deleted"}])

    @api.post(
        "/datasets/{dataset_id}/replaced",
        summary="All files of a dataset were exchanged: links show the new ones where their geometry is the same, else they end",
    )
    def replaced(record: ChangeableDataset, user: SignedIn) -> DatasetBody:
        revised = services.catalogue.revise(record.id)
        if revised is None:
            raise UnknownKey("there is no such dataset")
        return dataset_body(revised, user)

    @api.post("/datasets/{dataset_id}/view", summary="An address to draw pictures of a dataset from, for an hour")
    async def view(record: ReadableDataset) -> PreviewBody:
        return await preview(services, Subject(record))


async def preview(services: ApiServices, subject: Subject) -> PreviewBody:
    """A link that is in nobody's list. Raises as `open_preview`."""
    link = await open_preview(services.library, services.links, subject, services.now_ms())
    page = f"{services.public_url}/zarr/{services.keys.token(link.id)}/"
    return PreviewBody(page=page, expires=link.expires_ms or 0)


def dataset_body(record: DatasetRecord, who: User | None) -> DatasetBody:
    """A dataset as `who` may see it."""
    return DatasetBody(
        id=record.id,
        name=record.name,
        directoryName=record.name,
        description=record.description,
        tags=list(record.tags),
        created=record.created_ms,
        owner=record.owner,
        **sharing_facts(record, who),
    )


def sharing_facts(thing: Shared, who: User | None) -> dict[str, Any]:
    """With whom a thing is shared, as `who` may see it: collaborators are the business of those who choose them."""
    is_editable = may(who, Act.CHANGE, thing)
    return {
        "visibility": thing.visibility,
        "isPublic": thing.visibility == "public",
        "collaborators": list(thing.collaborators) if is_editable else [],
        "isEditable": is_editable,
    }


def speaks_of(query: str | None, *texts: str) -> bool:
    """Whether every word of a query is in one of the texts, in whatever case."""
    said = "\n".join(texts).casefold()
    return all(word in said for word in (query or "").casefold().split())


async def _check_readable(services: ApiServices, record: DatasetRecord) -> None:
    """Open it once. Raises InvalidRequest with the reason where it cannot be read."""
    try:
        description = await services.library.describe(record)
    except SourceUnavailable as error:
        raise InvalidRequest(
            "no dataset can be read at this location: there is none, or the server cannot reach it"
        ) from error
    except CorruptFile as error:
        raise InvalidRequest(f"the dataset at this location cannot be read: {error}") from error
    if not description.layers:
        reasons = "; ".join(list(description.unreadable.values())[:8])
        raise InvalidRequest(f"the dataset at this location has no layer that can be read{reasons and ': '}{reasons}")
