"""Verbs of datasets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import DamagedRow, InvalidRequest, UnsupportedLayer
from zarrlink.geometry import Mag
from zarrlink.library import Library, Subject
from zarrlink_local.machine import now_ms
from zarrlink_local.remote import Api
from zarrlink_local.state import State
from zarrlink_local.verbs.edit import Edit
from zarrlink_local.verbs.facts import Facts, Place, is_found, iso, only_one, segment
from zarrlink_local.verbs.find import find_dataset


class DatasetVerbs(Protocol):
    """Datasets are named by their name or id. Every verb raises InvalidRequest for one that is not there."""

    def all(self, query: str = "", tags: tuple[str, ...] = ()) -> list[Facts]: ...

    def one(self, name: str) -> Facts:
        """With its layers."""
        ...

    def add(self, place: str, about: Edit, warn: Callable[[str], None]) -> list[Facts]:
        """Register what lies at a place. `warn` is told what was left out."""
        ...

    def change(self, name: str, edit: Edit) -> Facts: ...

    def replaced(self, name: str) -> Facts:
        """Its files were exchanged."""
        ...

    def remove(self, name: str) -> Facts: ...


def dataset_verbs(place: Place) -> DatasetVerbs:
    return RemoteDatasets(place) if isinstance(place, Api) else StateDatasets(place)


class StateDatasets:
    """Datasets of a state, all of them: its keeper is the operator."""

    def __init__(self, state: State) -> None:
        self._state = state

    def all(self, query: str = "", tags: tuple[str, ...] = ()) -> list[Facts]:
        found = [_of_record(record) for record in self._state.catalogue.all()]
        return [facts for facts in found if is_found(facts, query, tags)]

    def one(self, name: str) -> Facts:
        record = find_dataset(self._state, name)
        return {**_of_record(record), "layers": asyncio.run(_layers(self._state.library, record))}

    def add(self, place: str, about: Edit, warn: Callable[[str], None]) -> list[Facts]:
        changes = about.changes()
        records = self._state.add_datasets(place, now_ms(), warn)
        if changes.given():
            if changes.name is not None and len(records) > 1:
                raise InvalidRequest(f"{len(records)} datasets are registered there; each needs a name of its own")
            changed = [self._state.catalogue.change(record.id, changes) for record in records]
            records = [record for record in changed if record is not None]
        return [_of_record(record) for record in records]

    def change(self, name: str, edit: Edit) -> Facts:
        record = find_dataset(self._state, name)
        changed = self._state.catalogue.change(record.id, edit.changes(record.tags, record.collaborators))
        if changed is None:
            raise InvalidRequest(f"the dataset {name!r} was removed in the meantime")
        return _of_record(changed)

    def replaced(self, name: str) -> Facts:
        revised = self._state.catalogue.revise(find_dataset(self._state, name).id)
        if revised is None:
            raise InvalidRequest(f"the dataset {name!r} was removed in the meantime")
        return _of_record(revised)

    def remove(self, name: str) -> Facts:
        try:
            facts = _of_record(find_dataset(self._state, name))
        except DamagedRow as error:
            # Asked for by its id.
            facts = {"id": error.row_id, "name": error.row_id}
        self._state.catalogue.remove(facts["id"])
        return facts


def _of_record(record: DatasetRecord) -> Facts:
    return {
        "id": record.id,
        "name": record.name,
        "location": record.location,
        "owner": record.owner,
        "visibility": record.visibility,
        "collaborators": list(record.collaborators),
        "tags": list(record.tags),
        "description": record.description,
        "created": iso(record.created_ms),
    }


async def _layers(library: Library, record: DatasetRecord) -> list[Facts]:
    subject = Subject(record)

    async def layer(name: str) -> Facts:
        try:
            found = (await library.layer(subject.view((name,)), name)).layer
        except UnsupportedLayer as error:
            return {"name": name, "unavailable": str(error)}
        return {
            "name": name,
            "category": found.category,
            "elementClass": found.element_class,
            "channels": found.channels,
            "box": found.box.to_list(),
            "mags": [level.mag.literal for level in found.levels],
        }

    return list(await asyncio.gather(*map(layer, await library.layer_names(subject))))


class RemoteDatasets:
    """Datasets of a server, as far as one may see them."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def all(self, query: str = "", tags: tuple[str, ...] = ()) -> list[Facts]:
        found = [_of_body(body) for body in self._api.get("/datasets")]
        return [facts for facts in found if is_found(facts, query, tags)]

    def one(self, name: str) -> Facts:
        facts = only_one(self.all(), name, "dataset")
        body = self._api.get(f"/datasets/{segment(facts['id'])}")
        layers = (body.get("dataSource") or {}).get("dataLayers") or []
        return {**facts, "layers": [_layer_of_body(layer) for layer in layers]}

    def add(self, place: str, about: Edit, warn: Callable[[str], None]) -> list[Facts]:  # noqa: ARG002 (of the protocol)
        name = place.rstrip("/").rpartition("/")[2]
        changes = about.changes().given()
        given = {key: list(value) if isinstance(value, tuple) else value for key, value in changes.items()}
        return [_of_body(self._api.send("POST", "/datasets", body={"name": name, "location": place, **given}))]

    def change(self, name: str, edit: Edit) -> Facts:
        facts = only_one(self.all(), name, "dataset")
        return _of_body(self._api.send("PATCH", f"/datasets/{segment(facts['id'])}", body=edit.body(facts)))

    def replaced(self, name: str) -> Facts:
        facts = only_one(self.all(), name, "dataset")
        return _of_body(self._api.send("POST", f"/datasets/{segment(facts['id'])}/replaced"))

    def remove(self, name: str) -> Facts:
        facts = only_one(self.all(), name, "dataset")
        self._api.send("DELETE", f"/datasets/{segment(facts['id'])}")
        return facts


def _of_body(body: Facts) -> Facts:
    return {
        "id": body["id"],
        "name": body["name"],
        "location": None,
        "owner": body["owner"],
        "visibility": body["visibility"],
        "collaborators": body["collaborators"],
        "tags": body["tags"],
        "description": body["description"] or "",
        "created": iso(body["created"]),
    }


def _layer_of_body(layer: Facts) -> Facts:
    box = layer["boundingBox"]
    return {
        "name": layer["name"],
        "category": layer["category"],
        "elementClass": layer["elementClass"],
        "channels": layer.get("numChannels", 1),
        "box": [*box["topLeft"], box["width"], box["height"], box["depth"]],
        "mags": [Mag(*mag["mag"]).literal for mag in layer["mags"]],
    }
