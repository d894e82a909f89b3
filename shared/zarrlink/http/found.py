"""What an address names, for whoever may have it: dependencies of every route with the id of a dataset or annotation.

What one may not have is answered as what is not there, word for word: nobody even learns that it exists. Whoever brings
no token is asked to sign in, whatever the id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from zarrlink.access import Act, may
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import DamagedRow, LinkGone, UnknownKey, ZarrlinkError
from zarrlink.http.sign_in import SignedIn, SignedInOrNot, SignedInOrNotAnyway, not_signed_in
from zarrlink.library import Subject
from zarrlink.users.interface import User

if TYPE_CHECKING:
    from zarrlink.http.api import ApiServices


def find_dataset(services: ApiServices, who: User | None, act: Act, dataset_id: str) -> DatasetRecord:
    """Raises UnknownKey for one that is not there, and for one that `who` may not do this to; NotSignedIn."""
    record = services.catalogue.get(dataset_id)
    if record is None or not may(who, act, record):
        raise _not_there("there is no such dataset", who)
    return record


def find_annotation(services: ApiServices, who: User | None, act: Act, annotation_id: str) -> AnnotationRecord:
    """Raises UnknownKey for one that is not there, and for one that `who` may not do this to; NotSignedIn."""
    record = services.shelf.annotations.get(annotation_id)
    if record is None or not may(who, act, record):
        raise _not_there("there is no such annotation", who)
    return record


def _not_there(sentence: str, who: User | None) -> ZarrlinkError:
    return not_signed_in() if who is None else UnknownKey(sentence)


def subject_of(services: ApiServices, who: User | None, annotation: AnnotationRecord) -> Subject:
    """An annotation with the dataset that it is of; without one that `who` may not read, as if that were not registered."""
    dataset = services.catalogue.get(annotation.dataset) if annotation.dataset else None
    return Subject(dataset if dataset is not None and may(who, Act.READ, dataset) else None, annotation)


def _readable_dataset(dataset_id: str, request: Request, who: SignedInOrNot) -> DatasetRecord:
    return find_dataset(request.app.state.services, who, Act.READ, dataset_id)


def _changeable_dataset(dataset_id: str, request: Request, who: SignedIn) -> DatasetRecord:
    return find_dataset(request.app.state.services, who, Act.CHANGE, dataset_id)


def _removable_dataset(dataset_id: str, request: Request, who: SignedIn) -> str:
    try:
        return _changeable_dataset(dataset_id, request, who).id
    except DamagedRow:
        if not who.is_admin:
            raise
        return dataset_id


def _readable_annotation(annotation_id: str, request: Request, who: SignedInOrNot) -> AnnotationRecord:
    return find_annotation(request.app.state.services, who, Act.READ, annotation_id)


def _downloadable_annotation(annotation_id: str, request: Request, who: SignedInOrNotAnyway) -> AnnotationRecord:
    return find_annotation(request.app.state.services, who, Act.READ, annotation_id)


def _downloadable_subject(annotation_id: str, request: Request, who: SignedInOrNotAnyway) -> Subject:
    return _readable_subject(annotation_id, request, who)


def _changeable_annotation(annotation_id: str, request: Request, who: SignedIn) -> AnnotationRecord:
    return find_annotation(request.app.state.services, who, Act.CHANGE, annotation_id)


def _removable_annotation(annotation_id: str, request: Request, who: SignedIn) -> str:
    try:
        return _changeable_annotation(annotation_id, request, who).id
    except DamagedRow:
        if not who.is_admin:
            raise
        return annotation_id


def _readable_subject(annotation_id: str, request: Request, who: SignedInOrNot) -> Subject:
    services: ApiServices = request.app.state.services
    return subject_of(services, who, find_annotation(services, who, Act.READ, annotation_id))


def _streamed_dataset(dataset_id: str, request: Request, who: SignedInOrNotAnyway) -> Subject:
    with _gone():
        return Subject(_readable_dataset(dataset_id, request, who))


def _streamed_annotation(annotation_id: str, request: Request, who: SignedInOrNotAnyway) -> Subject:
    with _gone():
        return _readable_subject(annotation_id, request, who)


@contextmanager
def _gone() -> Iterator[None]:
    """Readers of Zarr take 404 for fill value: somebody who may not read any more would be shown black voxels."""
    try:
        yield
    except UnknownKey as error:
        raise LinkGone("not readable", f"{error}, or it is not there for you any more") from error


# The dataset, or annotation, that `{dataset_id}`, or `{annotation_id}`, in a route's address names.
ReadableDataset = Annotated[DatasetRecord, Depends(_readable_dataset)]
ChangeableDataset = Annotated[DatasetRecord, Depends(_changeable_dataset)]
ReadableAnnotation = Annotated[AnnotationRecord, Depends(_readable_annotation)]
# The same by an address that a browser opens by itself.
DownloadableAnnotation = Annotated[AnnotationRecord, Depends(_downloadable_annotation)]
DownloadableSubject = Annotated[Subject, Depends(_downloadable_subject)]
ChangeableAnnotation = Annotated[AnnotationRecord, Depends(_changeable_annotation)]
# The id of one to be forgotten. Whose a damaged one is cannot be told, but admins may do what any owner may.
RemovableDataset = Annotated[str, Depends(_removable_dataset)]
RemovableAnnotation = Annotated[str, Depends(_removable_annotation)]
# An annotation with the dataset that it is of: whatever reads its voxels.
ReadableSubject = Annotated[Subject, Depends(_readable_subject)]
# The same below addresses of chunks, where what is not there is LinkGone; viewers can send no header.
StreamedDataset = Annotated[Subject, Depends(_streamed_dataset)]
StreamedAnnotation = Annotated[Subject, Depends(_streamed_annotation)]
