"""DynamoDB without the program that LocalStack would fetch for it.

PROVIDER_OVERRIDE_DYNAMODB=moto takes moto's, in this process; =external hands every request to ZARRLINK_DYNAMODB, the
address of another DynamoDB, such as Amazon's DynamoDB Local.
"""

from __future__ import annotations

import os

from localstack.aws.api.dynamodb import DynamodbApi
from localstack.services.plugins import Service, aws_provider


class _Tables(DynamodbApi):  # type: ignore[misc]  # LocalStack comes without types
    """Every operation is left to whom it is handed on to."""


@aws_provider(api="dynamodb", name="moto")  # type: ignore[untyped-decorator]  # as above
def moto() -> Service:
    """Tables in LocalStack's own process."""
    from localstack.services.moto import MotoFallbackDispatcher

    return Service.for_provider(_Tables(), dispatch_table_factory=MotoFallbackDispatcher)


@aws_provider(api="dynamodb", name="external")  # type: ignore[untyped-decorator]  # as above
def external() -> Service:
    """Tables elsewhere. Raises KeyError where ZARRLINK_DYNAMODB is not set."""
    from localstack.aws.forwarder import HttpFallbackDispatcher

    address = os.environ["ZARRLINK_DYNAMODB"]
    return Service.for_provider(
        _Tables(),
        dispatch_table_factory=lambda provider: HttpFallbackDispatcher(provider, lambda _account, _region: address),
    )
