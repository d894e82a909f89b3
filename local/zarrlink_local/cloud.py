"""The parts of a zarrlink on AWS, put together around one stack, for the command line and with its user's rights."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from zarrlink.annotations.s3_vault import S3Vault
from zarrlink.annotations.shelf import Shelf
from zarrlink.annotations.upload import ImportLimits
from zarrlink.aws_parts import FRESHNESS_S, MOST_BYTES, source_opener
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import InvalidRequest
from zarrlink.library import Library
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.secrets import read_key_ring
from zarrlink.links.token import KeyRing
from zarrlink.sources.permission import AllowedSources
from zarrlink.storage.bucket_access import BucketAccess
from zarrlink.users.dynamodb import DynamoUsers
from zarrlink_local.aws_session import aws_session, client_of
from zarrlink_local.bucket import Place, check_bucket, check_dataset
from zarrlink_local.s3_tree import S3Tree
from zarrlink_local.stack import Stack, describe_stack

if TYPE_CHECKING:
    from zarrlink.storage.s3 import S3Source

# S3 may take minutes to put the parts of a large object together.
JOINING_S: Final = 300


class CloudState:
    """Stores and services of a stack. Clients are made when first used: most commands need two."""

    def __init__(self, stack: Stack, session: Any) -> None:
        self.stack = stack
        self._session = session

    @cached_property
    def links(self) -> DynamoLinks:
        return DynamoLinks(self._dynamodb, self.stack.links_table)

    @cached_property
    def catalogue(self) -> DynamoCatalogue:
        return DynamoCatalogue(self._dynamodb, self.stack.catalogue_table)

    @cached_property
    def shelf(self) -> Shelf:
        client = client_of(self._session, "s3", answer_s=JOINING_S)
        annotations = DynamoAnnotations(self._dynamodb, self.stack.annotations_table)
        return Shelf(annotations, self.catalogue, S3Vault(client, self.stack.annotation_bucket), ImportLimits())

    @cached_property
    def users(self) -> DynamoUsers:
        return DynamoUsers(self._dynamodb, self.stack.users_table)

    @cached_property
    def library(self) -> Library:
        return Library(
            self.catalogue,
            self._open_source,
            monotonic=time.monotonic,
            freshness_s=FRESHNESS_S,
            annotations=self.shelf.annotations,
            allowed=AllowedSources.from_text(self.stack.allowed_sources),
            most_bytes=MOST_BYTES,
        )

    @property
    def has_edge(self) -> bool:
        return self.stack.has_edge

    @cached_property
    def keys(self) -> KeyRing:
        return read_key_ring(client_of(self._session, "secretsmanager"), self.stack.keys_secret)

    def links_address(self) -> str:
        return self.stack.address

    def add_datasets(self, place: str, now_ms: int, warn: Callable[[str], None]) -> list[DatasetRecord]:  # noqa: ARG002
        found = Place.parse(place)
        check_bucket(client_of(self._session, "s3"), self.stack, found.bucket)
        asyncio.run(check_dataset(self._open_source, self.library, found))
        return [self.catalogue.register(found.name, found.location, now_ms)]

    def tree(self, record: DatasetRecord) -> S3Tree:
        return S3Tree(self._open_source(record.location))

    def client(self, service: str, *, region: str) -> Any:
        """For what lies in another region than the stack."""
        return self._session.client(service, region_name=region)

    @cached_property
    def _dynamodb(self) -> Any:
        return client_of(self._session, "dynamodb")

    @cached_property
    def _open_source(self) -> Callable[[str], S3Source]:
        from obstore.auth.boto3 import Boto3CredentialProvider

        # obstore itself knows no profiles and no single sign-on.
        return source_opener(
            BucketAccess(requester_pays=self.stack.requester_pays),
            region=self.stack.region,
            credential_provider=Boto3CredentialProvider(self._session),
        )


def open_stack(name: str) -> CloudState:
    """The state of a deployed stack, in the region and with the credentials that the environment names.

    Raises InvalidRequest where it cannot be had, with what to do about it.
    """
    try:
        import obstore.auth.boto3  # noqa: F401
    except ImportError as error:
        raise InvalidRequest(
            "--stack needs boto3 and obstore, which the extra `aws` brings: pip install 'zarrlink[aws]'"
        ) from error
    session = aws_session()
    client = client_of(session, "cloudformation")
    return CloudState(describe_stack(client, name, session.region_name), session)
