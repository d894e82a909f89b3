"""Datasets and annotations of a state, by name or id."""

from __future__ import annotations

from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import InvalidRequest
from zarrlink.library import Subject
from zarrlink_local.state import State


def find_dataset(state: State, name_or_id: str) -> DatasetRecord:
    """The dataset of that id, or the only one of that name."""
    record = state.catalogue.get(name_or_id)
    if record is not None:
        return record
    named = [record for record in state.catalogue.all() if record.name == name_or_id]
    if len(named) > 1:
        raise InvalidRequest(
            f"{len(named)} datasets are called {name_or_id!r}; use an id: {', '.join(r.id for r in named)}"
        )
    if not named:
        raise InvalidRequest(f"there is no dataset {name_or_id!r}; `zarrlink datasets list` shows what there is")
    return named[0]


def find_annotation(state: State, name_or_id: str) -> AnnotationRecord:
    """The annotation of that id, or the only one of that name."""
    record = state.shelf.annotations.get(name_or_id)
    if record is not None:
        return record
    named = [record for record in state.shelf.annotations.all() if record.name == name_or_id]
    if len(named) > 1:
        raise InvalidRequest(
            f"{len(named)} annotations are called {name_or_id!r}; use an id: {', '.join(r.id for r in named)}"
        )
    if not named:
        raise InvalidRequest(f"there is no annotation {name_or_id!r}; `zarrlink annotations list` shows what there is")
    return named[0]


def find_subject(state: State, name_or_id: str) -> Subject:
    """What a link can be made to: the dataset or annotation of that id, or the only one of that name."""
    annotations = state.shelf.annotations
    annotation = annotations.get(name_or_id)
    if annotation is None and state.catalogue.get(name_or_id) is None:
        named = any(record.name == name_or_id for record in annotations.all())
        if named and any(record.name == name_or_id for record in state.catalogue.all()):
            raise InvalidRequest(f"a dataset and an annotation are called {name_or_id!r}; use an id")
        annotation = find_annotation(state, name_or_id) if named else None
    if annotation is None:
        return Subject(find_dataset(state, name_or_id))
    return Subject(state.catalogue.get(annotation.dataset) if annotation.dataset else None, annotation)
