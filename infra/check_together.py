"""Whether the values of template.yaml's parameters, which may each be right, are right for the functions that are given them.

A function that cannot read its settings starts no more, and CloudFormation deploys it all the same. So each value is read
here by what the function reads it by, and what only does what it is for beside another has that other one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from zarrlink.errors import InvalidRequest
from zarrlink.http.cors import UiOrigins
from zarrlink.sources.permission import AllowedSources
from zarrlink.storage.bucket_access import bucket_names
from zarrlink.users.configured import SignInChoice

# By parameter, as text; of each that template.yaml has.
Values = Mapping[str, str]
# An upload unpacks to as much again at least.
_TIMES_SCRATCH: Final = 2
# A policy may have 6144 characters. Each bucket stands in it twice, once with what is in it.
_POLICY_ROOM: Final = 5700
# A function's environment may have 4 KB altogether.
_LONGEST_LIST: Final = 1024
# Reserved for one function: AWS keeps as many for all others.
_UNRESERVED: Final = 100
_RESERVED: Final = ("StreamConcurrency", "ApiConcurrency", "ImportConcurrency", "LinkSyncConcurrency")


def check_together(values: Values) -> None:
    """Raises InvalidRequest, naming the parameters, at the first that cannot be."""
    for names, read in _READ:
        try:
            read(values)
        except InvalidRequest as error:
            raise _cannot(names, str(error)) from error
    for one, other, why in _PAIRS:
        if values[one] and not values[other]:
            raise _cannot((one, other), f"{one} needs {other}, {why}")
    _check_buckets(values)
    _check_scratch(values)
    _check_lengths(values)
    _check_concurrency(values)


def _cannot(names: tuple[str, ...], why: str) -> InvalidRequest:
    """Without their values: an address may hold a password."""
    return InvalidRequest(f"{', '.join(names)} cannot be as given, or as the stack has it: {why}")


def _webknossos(values: Values) -> object:
    return SignInChoice(
        wk_url=values["WkUrl"], wk_organization=values["WkOrganization"], wk_admins=values["WkAdmins"] == "true"
    ).vouchers()


def _oidc(values: Values) -> object:
    return SignInChoice(
        oidc_issuer=values["OidcIssuer"],
        oidc_audience=values["OidcAudience"],
        oidc_user_claim=values["OidcUserClaim"],
    ).vouchers()


_READ: Final[tuple[tuple[tuple[str, ...], Callable[[Values], object]], ...]] = (
    (("UiOrigins",), lambda values: UiOrigins.from_text(values["UiOrigins"])),
    (("AllowedSources",), lambda values: AllowedSources.from_text(values["AllowedSources"])),
    (("WkUrl", "WkOrganization", "WkAdmins"), _webknossos),
    (("OidcIssuer", "OidcAudience"), _oidc),
)
# The first has no effect, or a wrong one, without the second.
_PAIRS: Final = (
    ("CdnDomain", "CdnCertificateArn", "its certificate in the region us-east-1"),
    ("VolumesRoleArn", "VolumesRoleBuckets", "the buckets that are read in that role"),
    ("VolumesRoleBuckets", "VolumesRoleArn", "the role that they are read in"),
)


def _check_buckets(values: Values) -> None:
    readable = {arn.strip().rpartition(":")[2] for arn in values["DataBucketArns"].split(",")}
    for name in ("RequesterPaysBuckets", "VolumesRoleBuckets"):
        others = sorted(bucket_names(values[name]) - readable)
        if others:
            raise _cannot((name, "DataBucketArns"), f"{', '.join(others)} has to be among DataBucketArns as well")


def _check_scratch(values: Values) -> None:
    upload, scratch = int(values["UploadLimit"]), int(values["ImportScratch"])
    if _TIMES_SCRATCH * upload > scratch:
        raise _cannot(
            ("UploadLimit", "ImportScratch"),
            f"{scratch} MiB of scratch space hold an upload of {scratch // _TIMES_SCRATCH} and what is unpacked from it",
        )


def _check_lengths(values: Values) -> None:
    needed = sum(2 * len(arn.strip()) + len('"",""/*') for arn in values["DataBucketArns"].split(","))
    if needed > _POLICY_ROOM:
        raise _cannot(
            ("DataBucketArns",),
            "there are too many for a role's policy: about fifty fit; let others have a stack of their own",
        )
    for name in ("UiOrigins", "AllowedSources"):
        if len(values[name]) > _LONGEST_LIST:
            raise _cannot((name,), f"it has {len(values[name])} characters, of which a function takes {_LONGEST_LIST}")


def _check_concurrency(values: Values) -> None:
    account = int(values["AccountConcurrency"])
    reserved = {name: int(values[name]) for name in _RESERVED if int(values[name])}
    if reserved and sum(reserved.values()) > account - _UNRESERVED:
        raise _cannot(
            (*reserved, "AccountConcurrency"),
            f"AWS sets aside at most {max(0, account - _UNRESERVED)} of an account's {account}; AccountConcurrency says how many it has",
        )
    if int(values["ExportConcurrency"]) > account:
        raise _cannot(("ExportConcurrency", "AccountConcurrency"), f"the account runs {account} functions at once")
