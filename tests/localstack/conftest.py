"""template.yaml as LocalStack runs it: deployed once for all tests, by what `make deploy-local` does."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.deployed import TOKEN, Deployed
from builders.wkw_files import LayerFiles, dataset, noise, pyramid, ramp
from zarrlink.geometry import Mag
from zarrlink_local.emulated_aws import LOOPBACK, REGION, EmulatedAws, Programs
from zarrlink_local.emulated_deployment import STACK, Deployment

HOME = Path(".zarrlink/localstack")
ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 2)
# Not cloudwatch: its present protocol is one that LocalStack 4.7 does not speak.
SERVICES = (
    "cloudformation",
    "dynamodb",
    "events",
    "lambda",
    "logs",
    "s3",
    "secretsmanager",
    "stepfunctions",
)


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    """What `make deploy-local` left running is used and left, if it is of this build; else it is made and ended here."""
    options = _options()
    from pytest_localstack.session import RunningSession

    aws = EmulatedAws(HOME)
    made = True
    try:
        programs = Programs(options.localstack, options.function, options.emulator)
        made = Deployment(aws, options.build, options.sam).make(programs)
        with RunningSession(LOOPBACK, services=SERVICES, region_name=REGION, localstack_version="latest") as session:
            stack = _found(session)
            stack.put_fault()
            stack.add_user("ann", TOKEN)
            yield stack
            stack.put_fault()
    finally:
        if made:
            aws.stop()


def _options() -> Any:
    words = os.environ.get("DEPLOYED")
    if not words:
        pytest.skip("deploys template.yaml to LocalStack: make test-deploy")
    parser = ArgumentParser()
    for name in ("localstack", "sam", "build", "function", "emulator"):
        parser.add_argument(f"--{name}", type=Path)
    return parser.parse_args(words.split())


def _found(session: Any) -> Deployed:
    cloudformation = session.boto3.client("cloudformation")
    outputs = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    return Deployed(
        session,
        {output["OutputKey"]: output["OutputValue"] for output in outputs},
        {it["LogicalResourceId"]: it["PhysicalResourceId"] for it in resources if "PhysicalResourceId" in it},
    )


@dataclass(frozen=True)
class Mouse:
    """A dataset, its volumes, shape (z, y, x), and the address of a link to all of it."""

    id: str
    volumes: dict[str, dict[Mag, np.ndarray]]
    link: str


@pytest.fixture(scope="session")
def mouse(deployed: Deployed) -> Mouse:
    """Layers with several mags, of 32-bit segments, and of the largest shards that there are."""
    largest = noise((128, 128, 128), "uint16")
    layers = (
        LayerFiles("em", pyramid(ramp((70, 60, 50)), (ONE, TWO)), block_side=16, file_side=2),
        LayerFiles("cells", {ONE: ramp((64, 64, 64), "uint32")}, category="segmentation", block_side=32, file_side=2),
        LayerFiles("largest", {ONE: largest}, block_side=32),
    )
    made = deployed.register(dataset(*layers))
    return Mouse(made, {layer.name: dict(layer.volumes) for layer in layers}, deployed.link(made))
