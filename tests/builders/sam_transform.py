"""template.yaml as CloudFormation has it once SAM's words are translated, by the translator that came with SAM (make setup-aws).

Where code would lie in S3 there is the name of one object, for all of it.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any, Final

import pytest

from builders.template import ROOT, Json

PYTHON: Final = ROOT / ".venv-aws/bin/python"
_TRANSLATE: Final = """
import json, os, sys
os.environ["AWS_DEFAULT_REGION"] = sys.argv[1]
from samtranslator.translator.transform import transform
class NoPolicies:
    def load(self):
        return {}
json.dump(transform(json.load(sys.stdin), {}, NoPolicies()), sys.stdout)
"""


def translated(template: Json, region: str, bucket: str, code: str, definition: str) -> Json:
    """`code`, `definition`: keys of the objects in the bucket. Skips the test where SAM is not installed."""
    if not PYTHON.exists():
        pytest.skip("SAM is not installed: make setup-aws")
    template = json.loads(json.dumps(template))
    for resource in template["Resources"].values():
        properties: dict[str, Any] = resource["Properties"]
        for name in {"CodeUri", "ContentUri"} & properties.keys():
            properties[name] = f"s3://{bucket}/{code}"
        if "DefinitionUri" in properties:
            properties["DefinitionUri"] = {"Bucket": bucket, "Key": definition}
    command = [str(PYTHON), "-c", _TRANSLATE, region]
    run = subprocess.run(command, input=json.dumps(template), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    made: Json = json.loads(run.stdout)
    return made
