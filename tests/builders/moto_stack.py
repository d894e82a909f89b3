"""A deployed stack as moto plays it: the tables and outputs of template.yaml itself, where moto knows how."""

from __future__ import annotations

import copy
import itertools
import json
import os
from collections.abc import Mapping
from typing import Any

from builders.moto_aws import REGION, MotoAws
from builders.template import as_created, load_template

_NUMBERS = itertools.count()
ADDRESS = f"https://abc123.execute-api.{REGION}.amazonaws.com/v1"


def environment(aws: MotoAws) -> dict[str, str]:
    """What somebody's shell has, whose account is moto's; nothing of this machine's own comes through."""
    return {
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        **NOBODY,
    }


NOBODY = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}


def deploy(aws: MotoAws, buckets: list[str], *, name: str = "", without: str = "", **parameters: str) -> str:
    """A new stack's name. `without`: an output or parameter that it is to lack."""
    name = name or f"stack-{next(_NUMBERS)}"
    secret = json.dumps({"current": "a", "a": "k" * 64})
    arn = aws.client("secretsmanager").create_secret(Name=f"{name}-keys", SecretString=secret)["ARN"]
    given = {"DataBucketArns": ",".join(f"arn:aws:s3:::{bucket}" for bucket in buckets), **parameters}
    template = as_created(load_template(), {"Cdn": "false"})
    aws.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps(_reduced(template, {"LinkKeysSecret": arn, "Address": ADDRESS}, without)),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items() if key != without],
    )
    return name


def _reduced(template: Mapping[str, Any], made: Mapping[str, str], without: str) -> dict[str, Any]:
    """Without what moto cannot make (SAM, secrets) and what stands on that; `made` are values of such outputs."""
    kinds = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
    kept = {name: resource for name, resource in template["Resources"].items() if resource["Type"] in kinds}
    parameters = copy.deepcopy(template["Parameters"])
    for parameter in parameters.values():
        # moto would describe a list as Python writes it; CloudFormation gives back the text that it was given.
        parameter["Type"] = "String"
        parameter.pop("AllowedPattern", None)
    outputs = {name: {"Value": value} for name, value in made.items() if name in template["Outputs"]}
    outputs |= {name: it for name, it in template["Outputs"].items() if it["Value"].get("Ref") in kept}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": {name: it for name, it in parameters.items() if name != without},
        "Resources": kept,
        "Outputs": {name: it for name, it in outputs.items() if name != without},
    }
