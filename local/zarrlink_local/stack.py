"""A deployed stack, as CloudFormation describes it: where its tables are, and what it was deployed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from zarrlink.aws_errors import service_error
from zarrlink.errors import InvalidRequest
from zarrlink.storage.bucket_access import bucket_names

# What is read of template.yaml; a test compares.
OUTPUTS: Final = (
    "Address",
    "LinksTable",
    "CatalogueTable",
    "AnnotationsTable",
    "AnnotationBucket",
    "UsersTable",
    "LinkKeysSecret",
)
PARAMETERS: Final = ("PublicUrl", "DataBucketArns", "AllowedSources", "Cdn")

_NO_CREDENTIALS: Final = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})


class StackClient(Protocol):
    """What is asked of botocore's client for CloudFormation."""

    def describe_stacks(self, **request: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Stack:
    """Names and settings of a stack. `address`: what links begin with, as its own API shows them.

    `buckets`: those that its functions may read; `requester_pays`: whose requests the reader pays for. `has_edge`: whether a
    CDN stands in front, whose function is `edge_function`. `keys_secret`: the ARN of the secret with the link keys.
    """

    name: str
    region: str
    address: str
    links_table: str
    catalogue_table: str
    annotations_table: str
    annotation_bucket: str
    users_table: str
    keys_secret: str
    allowed_sources: str
    buckets: frozenset[str]
    has_edge: bool
    requester_pays: frozenset[str] = frozenset()
    edge_function: str = ""


def describe_stack(client: StackClient, name: str, region: str) -> Stack:
    """Raises InvalidRequest for a stack that is not there, may not be seen, or is none of ours."""
    if not name:
        raise InvalidRequest("the name of the stack is empty")
    try:
        described = client.describe_stacks(StackName=name)["Stacks"][0]
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        # Its word for a name that it does not know, and for one that cannot be.
        unknown = f"there is no stack {name!r} in {region}" if code == "ValidationError" else None
        raise InvalidRequest(unknown or refused("CloudFormation DescribeStacks", code)) from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    parameters = {it["ParameterKey"]: it["ParameterValue"] for it in described.get("Parameters", [])}
    missing = [f"output {key}" for key in OUTPUTS if not outputs.get(key)]
    missing += [f"parameter {key}" for key in PARAMETERS if key not in parameters]
    if missing:
        status = described.get("StackStatus", "unknown")
        raise InvalidRequest(
            f"the stack {name} ({status}) lacks {', '.join(missing)}: it is no zarrlink stack, of another version, or "
            "not deployed to its end"
        )
    return Stack(
        name=name,
        region=region,
        address=(parameters["PublicUrl"] or outputs["Address"]).rstrip("/"),
        links_table=outputs["LinksTable"],
        catalogue_table=outputs["CatalogueTable"],
        annotations_table=outputs["AnnotationsTable"],
        annotation_bucket=outputs["AnnotationBucket"],
        users_table=outputs["UsersTable"],
        keys_secret=outputs["LinkKeysSecret"],
        allowed_sources=parameters["AllowedSources"],
        buckets=frozenset(arn.strip().rpartition(":")[2] for arn in parameters["DataBucketArns"].split(",")),
        has_edge=parameters["Cdn"] == "true",
        edge_function=outputs.get("EdgeFunction", ""),
        requester_pays=bucket_names(parameters.get("RequesterPaysBuckets", "")),
    )


def refused(what: str, code: str) -> str:
    """A sentence for what AWS, or its client library, refused."""
    if code in _NO_CREDENTIALS:
        return (
            "there are no AWS credentials: choose a profile with AWS_PROFILE, or sign in (aws configure, aws sso login)"
        )
    return f"AWS refuses {what}: {code}" if "Denied" in code else f"{what} failed: {code}"
