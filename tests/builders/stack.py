"""What a deployment has, as moto plays it: tables and secret as template.yaml says, and a bucket with volumes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from builders.moto_aws import REGION, MotoAws
from builders.template import as_created, environment_of, load_template, resources_of
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.users.dynamodb import DynamoUsers
from zarrlink.users.interface import User, hash_user_token

# What moto takes of a table's properties; the others are about keeping and watching.
_TABLE_PROPERTIES = ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode")


@dataclass(slots=True)
class Stack:
    """`made`: what `Ref` of each resource gives."""

    aws: MotoAws
    template: dict[str, Any]
    made: dict[str, str] = field(default_factory=dict)

    def register(self, name: str, objects: dict[str, bytes]) -> DatasetRecord:
        """A dataset of those objects, in a bucket of its own below a folder."""
        bucket = self.aws.new_bucket()
        for key, data in objects.items():
            self.aws.client("s3").put_object(Bucket=bucket, Key=f"volumes/{name}/{key}", Body=data)
        catalogue = DynamoCatalogue(self.aws.client("dynamodb"), self.made["CatalogueTable"])
        return catalogue.register(name, f"s3://{bucket}/volumes/{name}", 1)

    def add_user(self, name: str, token: str) -> None:
        users = DynamoUsers(self.aws.client("dynamodb"), self.made["UsersTable"])
        users.add(User(name, 1), hash_user_token(token))

    def links(self) -> DynamoLinks:
        return DynamoLinks(self.aws.client("dynamodb"), self.made["LinksTable"])

    def environment(self, function: str, **parameters: str) -> dict[str, str]:
        """A function's variables, with the way to moto."""
        return environment_of(self.template, function, self.made, parameters) | {
            **self.aws.environment(),
            "AWS_SESSION_TOKEN": "token",
        }


def make_stack(aws: MotoAws) -> Stack:
    """Every table, bucket and secret of the template without its CDN; functions by their own names."""
    stack = Stack(aws, as_created(load_template(), {"Cdn": "false"}))
    for name, properties in resources_of(stack.template, "AWS::DynamoDB::Table").items():
        definition = {key: properties[key] for key in _TABLE_PROPERTIES if key in properties}
        stack.made[name] = aws.new_table(definition)
        if "TimeToLiveSpecification" in properties:
            aws.client("dynamodb").update_time_to_live(
                TableName=stack.made[name], TimeToLiveSpecification=properties["TimeToLiveSpecification"]
            )
    for name, properties in resources_of(stack.template, "AWS::SecretsManager::Secret").items():
        stack.made[name] = _make_secret(aws.client("secretsmanager"), properties["GenerateSecretString"])
    for name in resources_of(stack.template, "AWS::S3::Bucket"):
        stack.made[name] = aws.new_bucket()
    for name in resources_of(stack.template, "AWS::Serverless::Function"):
        stack.made[name] = name
    for name in resources_of(stack.template, "AWS::Serverless::StateMachine"):
        stack.made[name] = f"arn:aws:states:{REGION}:123456789012:stateMachine:{name}"
    return stack


def _make_secret(client: Any, words: dict[str, Any]) -> str:
    """The ARN of a secret as CloudFormation generates it."""
    password = client.get_random_password(
        PasswordLength=words["PasswordLength"], ExcludePunctuation=words["ExcludePunctuation"]
    )["RandomPassword"]
    text = json.dumps(json.loads(words["SecretStringTemplate"]) | {words["GenerateStringKey"]: password})
    arn: str = client.create_secret(Name=f"keys-{len(client.list_secrets()['SecretList'])}", SecretString=text)["ARN"]
    return arn
