"""The JSON of datasets and annotations: what they are, what people say of them and with whom they share them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from zarrlink.access import MAX_COLLABORATORS, Visibility
from zarrlink.catalogue.changes import MAX_DESCRIPTION, MAX_NAME, MAX_TAG, MAX_TAGS, Changes

_GIVEN: Final = ConfigDict(strict=True, extra="forbid")
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, description="Printable.")]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=MAX_TAG)]], Field(max_length=MAX_TAGS)]
Collaborators = Annotated[
    list[str],
    Field(max_length=MAX_COLLABORATORS, description="Names of users, who may read it whatever its visibility."),
]


class SharingFields(BaseModel):
    """Whom a dataset or annotation is shared with. `visibility`: private (owner, collaborators and admins), organization
    (whoever is signed in) or public (anybody)."""

    visibility: Visibility
    isPublic: bool  # noqa: N815 (JSON in WEBKNOSSOS's manner)
    collaborators: list[str] = Field(description="Only where you may change it; else none are told.")
    isEditable: bool = Field(description="Whether you may change it.")  # noqa: N815


class DatasetBody(SharingFields):
    """A dataset. `owner`: a user's name, empty where the operator registered it. `created`: ms since 1970."""

    id: str
    name: str
    directoryName: str  # noqa: N815
    description: str
    tags: list[str]
    owner: str
    created: int


class UnopenedDatasetBody(DatasetBody):
    """A dataset in a list as releases before 4 of WEBKNOSSOS's library take it: its layers are told where it is asked for alone."""

    owningOrganization: str  # noqa: N815
    folderId: str  # noqa: N815
    allowedTeams: list[str]  # noqa: N815
    dataStore: dict[str, Any]  # noqa: N815
    dataSource: dict[str, Any]  # noqa: N815


class ChangesBody(BaseModel):
    """What to say from now on of a dataset or annotation; what is absent stays."""

    model_config = _GIVEN

    name: Name | None = None
    description: Description | None = None
    tags: Tags | None = None
    visibility: Visibility | None = None
    collaborators: Collaborators | None = None

    def changes(self) -> Changes:
        """Raises InvalidRequest."""
        return Changes(
            name=self.name,
            description=self.description,
            tags=None if self.tags is None else tuple(self.tags),
            visibility=self.visibility,
            collaborators=None if self.collaborators is None else tuple(self.collaborators),
        )


class NewDatasetBody(ChangesBody):
    """A dataset to register."""

    name: Name
    location: str = Field(max_length=4096, description="A folder below those that are served, or s3://bucket/folder.")


class PreviewBody(BaseModel):
    """Where pictures are drawn from: the address of a link, which `expires` (ms since 1970). A secret."""

    page: str
    expires: int


class AnnotationLayerBody(BaseModel):
    """A layer of an annotation, as WEBKNOSSOS lists it."""

    tracingId: str  # noqa: N815
    typ: str
    name: str


class NamedBoxBody(BaseModel):
    """A box that somebody drew: x, y, z, width, height, depth in mag-1 voxels."""

    name: str
    boundingBox: list[int]  # noqa: N815


class AnnotationBody(SharingFields):
    """An imported annotation; `annotationLayers` and `boundingBoxes` only where one is asked for. Times in ms since 1970."""

    id: str
    typ: str
    name: str
    description: str
    tags: list[str]
    owner: dict[str, str]
    dataSetId: str | None = Field(description="null: not registered here, or not for you.")  # noqa: N815
    created: int
    modified: int
    state: str
    annotationLayers: list[AnnotationLayerBody]  # noqa: N815
    boundingBoxes: list[NamedBoxBody]  # noqa: N815


class UploadedBody(BaseModel):
    """WEBKNOSSOS's answer to an upload."""

    annotation: dict[str, str]
    messages: list[dict[str, str]]
