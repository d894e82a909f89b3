"""Verbs of links."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

from zarrlink.errors import InvalidRequest
from zarrlink.http.page import layer_addresses
from zarrlink.library import Subject
from zarrlink.links.interface import KEEP, Keep
from zarrlink.links.model import Link, LinkState
from zarrlink.links.previews import is_preview
from zarrlink.links.service import LinkRequest, change_link, create_link
from zarrlink.links.token import KeyRing
from zarrlink.users.interface import check_any_user_name
from zarrlink_local.machine import now_ms
from zarrlink_local.remote import Api, ApiRefusal
from zarrlink_local.state import State
from zarrlink_local.verbs.annotations import annotation_verbs
from zarrlink_local.verbs.datasets import dataset_verbs
from zarrlink_local.verbs.facts import Facts, Place, iso, only_one, segment
from zarrlink_local.verbs.find import find_subject

OPERATOR = "operator"


class MadeLink(NamedTuple):
    """A new link, and why layers are not in it."""

    facts: Facts
    left_out: list[str]


class LinkVerbs(Protocol):
    """Links are named by their id. Every verb raises InvalidRequest for one that is not there, or is revoked."""

    def create(self, source: str, wish: LinkRequest, owner: str | None) -> MadeLink:
        """To a dataset or an annotation, by name or id. `owner` None: whoever asks."""
        ...

    def all(self, owner: str | None, source: str | None = None, *, addresses: bool = True) -> list[Facts]:
        """Newest first. `owner` None: whosever one may see; `source` None: to whatever. Without `addresses` they may be empty."""
        ...

    def one(self, link_id: str) -> Facts: ...

    def change(self, link_id: str, *, name: str | Keep = KEEP, expires_ms: int | Keep | None = KEEP) -> Facts: ...

    def revoke(self, link_id: str) -> Facts:
        """Its id, when it was revoked, and whether caches everywhere know it: its state is `revoked` or `revoking`."""
        ...

    def names(self) -> dict[str, str]:
        """Of datasets and annotations, by id."""
        ...


def link_verbs(place: Place) -> LinkVerbs:
    return RemoteLinks(place) if isinstance(place, Api) else StateLinks(place)


class StateLinks:
    """Links of a state, all of them: its keeper is the operator."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self, source: str, wish: LinkRequest, owner: str | None) -> MadeLink:
        # First: a link that cannot be shown is not made.
        addresses = _Addresses.of(self._state)
        name = OPERATOR if owner is None else owner
        check_any_user_name(name)
        subject = find_subject(self._state, source)
        new = asyncio.run(create_link(self._state.library, self._state.links, subject, name, wish, now_ms()))
        return MadeLink(self._of_link(addresses, new.link), list(new.left_out))

    def all(self, owner: str | None, source: str | None = None, *, addresses: bool = True) -> list[Facts]:
        subject = None if source is None else find_subject(self._state, source)
        found = [
            link
            for link in self._state.links.of_owner(owner)
            if not is_preview(link) and (subject is None or _opens(link, subject))
        ]
        made_of = _Addresses.of(self._state) if addresses and found else None
        return [self._of_link(made_of, link) for link in found]

    def one(self, link_id: str) -> Facts:
        link = self._state.links.get(link_id)
        found = _found(link_id, None if link is None or self._state_of(link) == "revoked" else link)
        return self._of_link(_Addresses.of(self._state), found)

    def change(self, link_id: str, *, name: str | Keep = KEEP, expires_ms: int | Keep | None = KEEP) -> Facts:
        addresses = _Addresses.of(self._state)
        changed = change_link(self._state.links, link_id, None, name=name, expires_ms=expires_ms)
        return self._of_link(addresses, _found(link_id, changed))

    def revoke(self, link_id: str) -> Facts:
        revoked_ms = now_ms()
        if not self._state.links.revoke(link_id, None, revoked_ms):
            raise _no_link(link_id)
        return {"id": link_id, "revoked": iso(revoked_ms), "state": "revoking" if self._state.has_edge else "revoked"}

    def names(self) -> dict[str, str]:
        return _names(self._state)

    def _state_of(self, link: Link) -> LinkState:
        return link.state(now_ms(), has_edge=self._state.has_edge)

    def _of_link(self, addresses: _Addresses | None, link: Link) -> Facts:
        return {**_of_link(addresses, link), "state": self._state_of(link)}


def _opens(link: Link, subject: Subject) -> bool:
    if subject.annotation is not None:
        return link.view.annotation == subject.annotation.id
    return subject.dataset is not None and link.view.dataset == subject.dataset.id


def _found(link_id: str, link: Link | None) -> Link:
    if link is None:
        raise _no_link(link_id)
    return link


def _no_link(link_id: str) -> InvalidRequest:
    return InvalidRequest(
        f"there is no link {link_id!r} (that is not revoked); `zarrlink links list` shows what there is"
    )


def _names(place: Place) -> dict[str, str]:
    found = [*dataset_verbs(place).all(), *annotation_verbs(place).all()]
    return {facts["id"]: facts["name"] for facts in found}


class _Addresses(NamedTuple):
    """What a link's addresses are made of."""

    start: str
    keys: KeyRing

    @classmethod
    def of(cls, state: State) -> _Addresses:
        return cls(state.links_address(), state.keys)


def _of_link(addresses: _Addresses | None, link: Link) -> Facts:
    token = "" if addresses is None else addresses.keys.token(link.id)
    page = "" if addresses is None else f"{addresses.start}/zarr/{token}/"
    return {
        "id": link.id,
        "token": token,
        "expires": iso(link.expires_ms),
        "page": page,
        "layers": [
            {"name": name, **{dialect: page and it for dialect, it in layer_addresses(page, name).items()}}
            for name in link.view.layers
        ],
        "name": link.name,
        "note": link.note,
        "owner": link.owner,
        "dataset": link.view.dataset,
        "annotation": link.view.annotation or None,
        "mappings": dict(link.view.mappings),
        "box": None if link.view.box is None else link.view.box.to_list(),
        "finestMag": None if link.view.finest is None else link.view.finest.literal,
        "created": iso(link.created_ms),
        "uses": link.uses,
        "lastUsed": iso(link.last_used_ms),
    }


class RemoteLinks:
    """One's own links at a server."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, source: str, wish: LinkRequest, owner: str | None) -> MadeLink:
        if owner is not None:
            raise InvalidRequest("through the API a link is one's own: leave --owner out")
        scope = {
            "layers": None if wish.layers is None else list(wish.layers),
            "boundingBox": None if wish.box is None else wish.box.to_list(),
            "finestMag": None if wish.finest is None else wish.finest.literal,
            "mappings": dict(wish.mappings) or None,
        }
        body: Facts = {**self._subject(source), "name": wish.name, "note": wish.note, "scope": scope}
        if not isinstance(wish.expires_ms, Keep):
            body["expirationDateTime"] = wish.expires_ms
        made = self._api.send("POST", "/zarrPrivateLinks", body=body)
        return MadeLink(_of_body(made), made["leftOut"])

    def all(self, owner: str | None, source: str | None = None, *, addresses: bool = True) -> list[Facts]:  # noqa: ARG002 (they come anyway)
        where = ""
        if source is not None:
            ((kind, source_id),) = self._subject(source).items()
            where = f"/by{kind.capitalize()}/{segment(source_id)}"
        found = [_of_body(body) for body in self._api.get(f"/zarrPrivateLinks{where}")]
        return [facts for facts in found if owner in (None, facts["owner"])]

    def one(self, link_id: str) -> Facts:
        return self._of("GET", link_id)

    def change(self, link_id: str, *, name: str | Keep = KEEP, expires_ms: int | Keep | None = KEEP) -> Facts:
        given = {"name": name, "expirationDateTime": expires_ms}
        return self._of("PUT", link_id, {key: new for key, new in given.items() if not isinstance(new, Keep)})

    def revoke(self, link_id: str) -> Facts:
        answer = self._ask("DELETE", link_id)
        return {"id": link_id, "revoked": iso(now_ms()), "state": answer.get("state", "revoked")}

    def names(self) -> dict[str, str]:
        return _names(self._api)

    def _of(self, method: str, link_id: str, body: Facts | None = None) -> Facts:
        return _of_body(self._ask(method, link_id, body))

    def _ask(self, method: str, link_id: str, body: Facts | None = None) -> Facts:
        try:
            answer: Facts = self._api.send(method, f"/zarrPrivateLinks/{segment(link_id)}", body=body)
        except ApiRefusal as error:
            if error.status == 404:
                raise _no_link(link_id) from error
            raise
        return answer

    def _subject(self, source: str) -> dict[str, str]:
        datasets, annotations = dataset_verbs(self._api).all(), annotation_verbs(self._api).all()
        is_annotation = any(source in (facts["id"], facts["name"]) for facts in annotations)
        if is_annotation and any(source in (facts["id"], facts["name"]) for facts in datasets):
            if source not in {facts["id"] for facts in [*datasets, *annotations]}:
                raise InvalidRequest(f"a dataset and an annotation are called {source!r}; use an id")
            is_annotation = source in {facts["id"] for facts in annotations}
        if is_annotation:
            return {"annotation": only_one(annotations, source, "annotation")["id"]}
        return {"dataset": only_one(datasets, source, "dataset")["id"]}


def _of_body(body: Facts) -> Facts:
    scope = body["scope"]
    return {
        "id": body["id"],
        "token": body["accessToken"],
        "expires": iso(body["expirationDateTime"]),
        "page": body["page"],
        "layers": body["layers"],
        "name": body["name"],
        "note": body["note"],
        "owner": body["owner"],
        "dataset": body["dataset"],
        "annotation": body["annotation"],
        "mappings": scope["mappings"] or {},
        "box": scope["boundingBox"],
        "finestMag": scope["finestMag"],
        "created": iso(body["created"]),
        "uses": body["uses"],
        "lastUsed": iso(body["lastUsed"]),
        "state": body["state"],
    }
