"""The DynamoDB tables, as `create_table` takes them (but for the name). template.yaml says the same; a test compares.

Every table has the key `id`, a string; what stands in it is each adapter's business.
"""

from __future__ import annotations

from typing import Any, Final

# The links, or the jobs, of an owner by time of creation.
BY_OWNER: Final = "by_owner"

LINKS: Final[dict[str, Any]] = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "owner", "AttributeType": "S"},
        {"AttributeName": "created_ms", "AttributeType": "N"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": BY_OWNER,
            "KeySchema": [
                {"AttributeName": "owner", "KeyType": "HASH"},
                {"AttributeName": "created_ms", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
# Clean-up alone: expiry is compared at every read. `TimeToLiveSpecification` of the table LINKS.
LINKS_TIME_TO_LIVE: Final = {"AttributeName": "ttl", "Enabled": True}
JOBS: Final = LINKS
# Clean-up of what nobody will ask for any more.
JOBS_TIME_TO_LIVE: Final = LINKS_TIME_TO_LIVE

_KEY_ONLY: Final[dict[str, Any]] = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
CATALOGUE: Final = _KEY_ONLY
USERS: Final = _KEY_ONLY
ANNOTATIONS: Final = _KEY_ONLY
