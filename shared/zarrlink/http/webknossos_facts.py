"""What we are to WEBKNOSSOS's library: an organisation, a data store, and the ids by which it finds things again."""

from __future__ import annotations

from typing import Any, Final

from zarrlink.annotations.nml_identity import DatasetIdentity, Identity
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.http.catalogue_models import DatasetBody, UnopenedDatasetBody
from zarrlink.http.webknossos_documents import ORGANIZATION

STORE_NAME: Final = "zarrlink"
Json = dict[str, Any]


def identity_of(record: AnnotationRecord, dataset: DatasetRecord | None) -> Identity:
    """The ids by which the library opens an annotation from here."""
    named = None if dataset is None else DatasetIdentity(dataset.id, dataset.name, ORGANIZATION)
    return Identity(record.id, record.owner, named)


def unopened(body: DatasetBody, public_url: str) -> UnopenedDatasetBody:
    """A dataset in a list, where it costs too much to open each."""
    identity = {"name": body.name, "team": ORGANIZATION}
    return UnopenedDatasetBody(
        **body.model_dump(),
        owningOrganization=ORGANIZATION,
        folderId="",
        allowedTeams=[],
        dataStore=store_facts(public_url),
        dataSource={"id": identity, "status": "its layers are told where it is asked for alone"},
    )


def store_facts(public_url: str) -> Json:
    """The data store of every dataset: this server."""
    return {
        "name": STORE_NAME,
        "url": public_url,
        "isScratch": False,
        "allowsUpload": False,
        "jobsEnabled": False,
        "jobsSupportedByAvailableWorkers": [],
    }
