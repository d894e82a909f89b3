"""Before `make deploy` builds anything: whether what is to be deployed can be, and with whose rights, and where.

    check_deploy.py STACK ARCHITECTURE FILE

ARCHITECTURE is "" where nobody said one: the template's own then, unless the stack has another.
PARAMETERS in the environment are those of template.yaml as `Name=value`, quoted as in a shell where a value has spaces; `Name=`
empties one. They are held against template.yaml and, together with those that the stack has already, against what reads them
(check_together.py), and written to FILE, as JSON, which SAM takes as YAML. Prints one line with account, region and stack. Exit
status 2, with one line, where something cannot be; nothing was changed then.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import yaml
from check_together import check_together

from zarrlink.aws_errors import service_error
from zarrlink.errors import InvalidRequest
from zarrlink_local.aws_session import aws_session, client_of
from zarrlink_local.stack import refused

TEMPLATE: Final = Path(__file__).parents[1] / "template.yaml"
# Names of the CDN's parts are made of it and the region, and may have 64 characters.
LONGEST_NAME: Final = 32
# Chosen by ARCH, which the build goes by as well.
_ARCHITECTURE: Final = "Architecture"
# How AWS calls credentials that it does not know, or no longer.
_WRONG: Final = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch")
_PARAMETERS: Final = re.compile(r"^Parameters:\n((?:[ #].*\n|\n)*)", re.MULTILINE)
# CloudFormation's answer for a name that it does not know.
_UNKNOWN: Final = "ValidationError"


def main() -> None:
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    stack, said, file = sys.argv[1:]
    try:
        check_name(stack)
        known = parameters_of(TEMPLATE.read_text())
        architecture = said or str(known[_ARCHITECTURE]["Default"])
        check_value("ARCH", architecture, known[_ARCHITECTURE])
        given = read_parameters(os.environ.get("PARAMETERS", ""), known)
        for name, value in given.items():
            check_value(name, value, known[name])
        where, kept = check_account(stack, given, known)
        if not said:
            _check_kept(stack, kept.get(_ARCHITECTURE, architecture), architecture)
        check_together(_defaults(known) | kept | given)
        print(where, flush=True)
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(json.dumps({_ARCHITECTURE: architecture} | given))
    except (InvalidRequest, OSError) as error:
        print(f"make deploy: {error}", file=sys.stderr)
        sys.exit(2)


def check_name(stack: str) -> None:
    """Raises InvalidRequest for what cannot be a stack of ours."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", stack) or len(stack) > LONGEST_NAME:
        raise InvalidRequest(
            f"STACK={stack} cannot be a stack's name: at most {LONGEST_NAME} letters, digits and hyphens, and a letter first"
        )


def parameters_of(template: str) -> dict[str, Any]:
    """The part `Parameters` by name. The rest has words of CloudFormation that are no plain YAML."""
    found = _PARAMETERS.search(template)
    if found is None:
        raise InvalidRequest("template.yaml has no parameters")
    known: dict[str, Any] = yaml.safe_load(found[1])
    return known


def read_parameters(text: str, known: Mapping[str, Any]) -> dict[str, str]:
    """`Name=value ...`. Raises InvalidRequest for what is no such pair, and for names that the template has not."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidRequest(f"PARAMETERS has a quotation mark without its other one: {text}") from error
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidRequest(
                f"PARAMETERS takes Name=value, with spaces between two and none inside; {word} is no such pair"
            )
        if name == _ARCHITECTURE:
            raise InvalidRequest(f"what it is built for is said by ARCH={value}, not by {_ARCHITECTURE} in PARAMETERS")
        if name not in known:
            raise InvalidRequest(f"template.yaml has no parameter {name}; {_nearest(name, known)}")
        if name in given:
            raise InvalidRequest(f"{name} is given twice in PARAMETERS")
        given[name] = value
    return given


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    lower = {it.lower(): it for it in known if it != _ARCHITECTURE}
    near = [lower[it] for it in get_close_matches(name.lower(), lower, n=3)]
    return f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(sorted(lower.values()))}"


def check_value(name: str, value: str, parameter: Mapping[str, Any]) -> None:
    """As CloudFormation would, minutes later. Raises InvalidRequest with what is accepted."""
    allowed = parameter.get("AllowedValues")
    if allowed is not None:
        if value not in map(str, allowed):
            raise InvalidRequest(f"{name}={value} cannot be: it is one of {', '.join(map(str, allowed))}")
    elif parameter["Type"] == "Number":
        least, most = parameter["MinValue"], parameter["MaxValue"]
        if not re.fullmatch(r"[0-9]+", value) or not least <= int(value) <= most:
            raise InvalidRequest(f"{name}={value} cannot be: it is a number from {least} to {most}")
    else:
        parts = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
        # An empty list is one empty part; among others it would be something without a name.
        fits = all(re.fullmatch(parameter["AllowedPattern"], part.strip()) for part in parts)
        if not fits or (len(parts) > 1 and not all(map(str.strip, parts))):
            raise InvalidRequest(f"{name}={value} cannot be: {parameter['ConstraintDescription']}")


def check_account(stack: str, given: Mapping[str, str], known: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Where it goes, in a line, and the values that the stack has, of parameters that it will have.

    Raises InvalidRequest where there are no rights, or the stack cannot be deployed to.
    """
    session = aws_session()
    region = session.region_name
    try:
        account = client_of(session, "sts").get_caller_identity()["Account"]
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        wrong = (
            "AWS does not take these credentials, or no longer: sign in again (aws sso login), or look at AWS_PROFILE"
        )
        raise InvalidRequest(wrong if code in _WRONG else refused("STS GetCallerIdentity", code)) from error
    found = _described(session, stack)
    if found is None:
        missing = [name for name, it in known.items() if "Default" not in it and name not in given]
        if missing:
            raise InvalidRequest(
                f"there is no stack {stack} in {region} yet, and a new one needs {', '.join(missing)}: "
                f'make deploy PARAMETERS="{missing[0]}=..."'
            )
        return f"account {account}, {region}: stack {stack} is new", {}
    _check_status(stack, found["StackStatus"])
    kept = {it["ParameterKey"]: it["ParameterValue"] for it in found.get("Parameters", [])}
    if "DataBucketArns" not in kept:
        raise InvalidRequest(f"the stack {stack} in {region} is something else's; name another with STACK=")
    there = f"account {account}, {region}: stack {stack} is there, and is updated"
    return there, {name: value for name, value in kept.items() if name in known}


def _check_kept(stack: str, has: str, default: str) -> None:
    """Nobody moves a stack to the other processor unawares."""
    if has != default:
        raise InvalidRequest(f"the stack {stack} runs on {has}: ARCH={has} keeps it there, ARCH={default} moves it")


def _defaults(known: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(it["Default"]) for name, it in known.items() if "Default" in it}


def _described(session: Any, stack: str) -> Mapping[str, Any] | None:
    """None for a stack that is not there, or of which there is no more than a first change set."""
    try:
        found: Mapping[str, Any] = client_of(session, "cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        if code == _UNKNOWN:
            return None
        raise InvalidRequest(refused("CloudFormation DescribeStacks", code)) from error
    return None if found["StackStatus"] == "REVIEW_IN_PROGRESS" else found


def _check_status(stack: str, status: str) -> None:
    if status.endswith("_IN_PROGRESS"):
        raise InvalidRequest(f"the stack {stack} is {status}: wait until that has come to its end")
    if status in ("CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
        raise InvalidRequest(
            f"the stack {stack} is {status}: nothing can be deployed to it, and it has to be removed first; "
            'docs/deploy.md says how below "When a first deployment fails"'
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        raise InvalidRequest(
            f"the stack {stack} is {status}: aws cloudformation continue-update-rollback --stack-name {stack} comes first"
        )


if __name__ == "__main__":
    main()
