"""The link routes of the API: WEBKNOSSOS's `zarrPrivateLinks`, and what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from fastapi import APIRouter, Response

from zarrlink.access import Act, may, may_change_link, may_see_link
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import DamagedRow, InvalidRequest, UnknownKey
from zarrlink.http.api_models import (
    LinkBody,
    LinkChangeBody,
    Message,
    NewLinkBody,
    RevokingBody,
    link_body,
    untold,
)
from zarrlink.http.found import find_annotation, find_dataset, subject_of
from zarrlink.http.sign_in import SignedIn
from zarrlink.library import Subject
from zarrlink.links.interface import KEEP
from zarrlink.links.model import Link
from zarrlink.links.previews import is_preview
from zarrlink.links.service import change_link, create_link
from zarrlink.rows import tell
from zarrlink.users.interface import User

if TYPE_CHECKING:
    from zarrlink.http.api import ApiServices

T = TypeVar("T")


def add_link_routes(api: APIRouter, services: ApiServices) -> None:  # noqa: C901 (a list of routes)
    """Add the routes to the API's."""

    def show(link: Link, user: User, left_out: Sequence[str] = ()) -> LinkBody:
        return _shown(services, link, user, _Opened(services), left_out)

    @api.get("/zarrPrivateLinks", summary="Your links, newest first; expired ones are among them")
    def links(user: SignedIn) -> list[LinkBody]:
        return [show(link, user) for link in services.links.of_owner(user.name)]

    @api.get(
        "/zarrPrivateLinks/byAnnotation/{source_id}",
        summary="Links to an annotation or dataset: everybody's where it is yours, else your own",
    )
    @api.get(
        "/zarrPrivateLinks/byDataset/{source_id}",
        summary="Links to a dataset: everybody's where it is yours, else your own",
    )
    def links_to(source_id: str, user: SignedIn) -> list[LinkBody]:
        opened = _Opened(services)
        thing = opened.dataset(source_id) or opened.annotation(source_id)
        is_theirs = thing is not None and may(user, Act.CHANGE, thing)
        listed = services.links.of_owner(None if is_theirs else user.name)
        return [
            _shown(services, link, user, opened)
            for link in listed
            if source_id in (link.view.dataset, link.view.annotation) and not is_preview(link)
        ]

    @api.post("/zarrPrivateLinks", summary="Make a link")
    async def create(body: NewLinkBody, user: SignedIn) -> LinkBody:
        new = await create_link(
            services.library, services.links, _subject(services, body, user), user.name, body.wish(), services.now_ms()
        )
        return show(new.link, user, new.left_out)

    @api.get("/zarrPrivateLinks/{link_id}", summary="A link, expired or not: yours, or one to what is yours")
    def one(link_id: str, user: SignedIn) -> LinkBody:
        return show(_visible(services, link_id, user), user)

    @api.put("/zarrPrivateLinks/{link_id}", summary="Rename, extend or shorten one of your links")
    def change(link_id: str, body: LinkChangeBody, user: SignedIn) -> LinkBody:
        link = _visible(services, link_id, user)
        if not may_change_link(user, link.owner):
            raise _no_link()
        for source in (body.dataset, body.annotation):
            if source is not None and source not in (link.view.dataset, link.view.annotation):
                raise InvalidRequest("what a link opens is fixed when it is made: make a new link")
        given = body.model_fields_set
        if "expirationDateTime" in given and _is_later(body.expirationDateTime, link.expires_ms):
            _check_readable(services, link, user)
        changed = change_link(
            services.links,
            link_id,
            user.name,
            name=body.name if "name" in given else KEEP,
            note=body.note if "note" in given else KEEP,
            expires_ms=body.expirationDateTime if "expirationDateTime" in given else KEEP,
        )
        if changed is None:
            raise _no_link()
        return show(changed, user)

    @api.delete(
        "/zarrPrivateLinks/{link_id}",
        summary="Revoke a link, at once and for good: yours, or one to what is yours",
        responses={202: {"model": RevokingBody, "description": "Revoked here; caches are being told"}},
    )
    def revoke(link_id: str, user: SignedIn, response: Response) -> Message | RevokingBody:
        try:
            link = _visible(services, link_id, user)
            is_revoked = link.revoked_ms is not None
            maker: str | None = link.owner
        except DamagedRow:
            # Whose it is, the table itself can tell.
            is_revoked, maker = False, None if user.is_admin else user.name
        if not is_revoked and not services.links.revoke(link_id, maker, services.now_ms()):
            raise _no_link()
        said = [{"success": "privateLink deleted"}]
        if not services.has_edge:
            return Message(messages=said)
        response.status_code = 202
        return RevokingBody(messages=said, id=link_id)


class _Opened:
    """What links open, each looked up once. What is damaged counts as not there, and nobody may read it."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._datasets: dict[str, DatasetRecord | None] = {}
        self._annotations: dict[str, AnnotationRecord | None] = {}
        self._damaged: set[str] = set()

    def dataset(self, dataset_id: str) -> DatasetRecord | None:
        if dataset_id not in self._datasets:
            self._datasets[dataset_id] = self._whole(self._services.catalogue.get, dataset_id)
        return self._datasets[dataset_id]

    def annotation(self, annotation_id: str) -> AnnotationRecord | None:
        if annotation_id not in self._annotations:
            self._annotations[annotation_id] = self._whole(self._services.shelf.annotations.get, annotation_id)
        return self._annotations[annotation_id]

    def by(self, link: Link) -> list[DatasetRecord | AnnotationRecord]:
        """The dataset and the annotation that a link opens, as far as they are there."""
        found = (self.dataset(link.view.dataset), self.annotation(link.view.annotation))
        return [thing for thing in found if thing is not None]

    def is_damaged(self, link: Link) -> bool:
        """Whether something that a link opens, which `by` has looked up, is damaged."""
        return not self._damaged.isdisjoint((link.view.dataset, link.view.annotation))

    def _whole(self, get: Callable[[str], T | None], thing_id: str) -> T | None:
        try:
            return get(thing_id)
        except DamagedRow as error:
            tell([error])
            self._damaged.add(thing_id)
            return None


def _shown(services: ApiServices, link: Link, user: User, opened: _Opened, left_out: Sequence[str] = ()) -> LinkBody:
    """A link as its maker sees it, or as somebody does who may not read all that it opens."""
    state = link.state(services.now_ms(), has_edge=services.has_edge)
    body, things = link_body(link, state, services.keys, services.public_url, left_out), opened.by(link)
    readable = [thing.id for thing in things if may(user, Act.READ, thing)]
    is_theirs = len(readable) == len(things) and not opened.is_damaged(link)
    return body if link.owner == user.name or is_theirs else untold(body, readable)


def _visible(services: ApiServices, link_id: str, user: User) -> Link:
    """Raises UnknownKey for a link that is not there (any more), and for one that is not for the user to see."""
    link = services.links.get(link_id)
    if link is None or is_preview(link) or link.state(services.now_ms(), has_edge=services.has_edge) == "revoked":
        raise _no_link()
    if not may_see_link(user, link.owner, _Opened(services).by(link)):
        raise _no_link()
    return link


def _check_readable(services: ApiServices, link: Link, user: User) -> None:
    """Whoever may not read something any more does not open it to others for longer. Raises UnknownKey."""
    view, things = link.view, _Opened(services).by(link)
    if len(things) < bool(view.dataset) + bool(view.annotation) or not all(may(user, Act.READ, it) for it in things):
        raise UnknownKey("what the link opens is not there for you any more, so it cannot be extended")


def _is_later(new_ms: int | None, old_ms: int | None) -> bool:
    """Of two expiries, None being never."""
    return old_ms is not None and (new_ms is None or new_ms > old_ms)


def _no_link() -> UnknownKey:
    return UnknownKey("you have no such link")


def _subject(services: ApiServices, body: NewLinkBody, user: User) -> Subject:
    """What a link is asked for: something that the user may read."""
    given = [source for source in (body.dataset, body.annotation) if source is not None]
    if len(given) != 1:
        raise InvalidRequest("name either a dataset or an annotation")
    try:
        if body.annotation is not None and services.shelf.annotations.get(body.annotation) is not None:
            return subject_of(services, user, find_annotation(services, user, Act.READ, body.annotation))
        return Subject(find_dataset(services, user, Act.READ, given[0]))
    except UnknownKey as error:
        raise UnknownKey("there is no such dataset or annotation") from error
