"""The CDN half of template.yaml: what passes it, what it keeps, what it logs, and that all of it can be left out."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from builders.template import ROOT, TEMPLATE, TemplateLoader, as_created, references
from zarrlink.edge import addresses
from zarrlink.http.message import CORS, PREFLIGHT
from zarrlink.links.edge_log import FIELDS

EDGE_LOG = ROOT / "infra" / "edge_log.yaml"
# The id of a policy that CloudFront has ready (developer guide, "Use managed cache policies", 2026-11).
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
A_YEAR_S = 365 * 24 * 3600


@pytest.fixture(scope="session")
def distribution(of_type: Any) -> dict[str, Any]:
    found: dict[str, Any] = of_type("AWS::CloudFront::Distribution")["Distribution"]["DistributionConfig"]
    return found


@pytest.fixture(scope="session")
def behaviours(distribution: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By path pattern; the default's is "*"."""
    named = {behaviour["PathPattern"]: behaviour for behaviour in distribution["CacheBehaviors"]}
    return {**named, "*": distribution["DefaultCacheBehavior"]}


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


# --- with and without ---


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
@pytest.mark.parametrize("cdn", ["true", "false"])
def test_nothing_names_what_a_condition_leaves_out(template: dict[str, Any], cdn: str, region: str) -> None:
    created = as_created(template, {"Cdn": cdn}, region)
    there = created["Resources"].keys() | created["Parameters"].keys()
    named = {name for part in ("Resources", "Outputs") for name in references(created[part])}
    assert {name for name in named if not name.startswith("AWS::")} <= there


def test_a_name_without_its_resource_is_seen(template: dict[str, Any]) -> None:
    changed = copy.deepcopy(template)
    del changed["Outputs"]["DistributionId"]["Condition"]
    assert "Distribution" in set(references(as_created(changed, {"Cdn": "false"})["Outputs"]))


def test_without_a_cdn_there_is_nothing_of_one(template: dict[str, Any]) -> None:
    alone, whole = (as_created(template, {"Cdn": cdn}, "us-east-1") for cdn in ("false", "true"))
    assert not [name for name, it in alone["Resources"].items() if "CloudFront" in it["Type"]]
    assert not {"EdgeSecret", "EdgeLogBucket", "LinkSyncFunction", "LinkUsesFunction"} & alone["Resources"].keys()
    kinds = {whole["Resources"][name]["Type"] for name in whole["Resources"].keys() - alone["Resources"].keys()}
    assert {f"AWS::Logs::{it}" for it in ("Delivery", "DeliverySource", "DeliveryDestination")} <= kinds
    for name, function in alone["Resources"].items():
        if name in ("StreamFunction", "ApiFunction"):
            assert function["Properties"]["Environment"]["Variables"]["EDGE_SECRET"] == ""


def test_a_domain_needs_its_certificate_of_the_one_region(template: dict[str, Any]) -> None:
    (rule,) = template["Rules"].values()
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CdnDomain"}, ""]}]}
    assert rule["Assertions"][0]["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CdnCertificateArn"}, ""]}]}
    pattern = re.compile(template["Parameters"]["CdnCertificateArn"]["AllowedPattern"])
    assert pattern.fullmatch("arn:aws:acm:us-east-1:123456789012:certificate/12ab-34")
    assert not pattern.fullmatch("arn:aws:acm:eu-central-1:123456789012:certificate/12ab-34")


@pytest.mark.parametrize(
    ("name", "fits", "not_so"),
    [
        ("CdnDomain", ["", "links.example.org"], ["https://links.example.org", "links.example.org/", "*.org", "a"]),
        ("CdnOriginShield", ["", "eu-central-1"], ["frankfurt"]),
        (
            "CdnWebAclArn",
            ["", "arn:aws:wafv2:us-east-1:123456789012:global/webacl/mine/12ab-34"],
            ["arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/mine/12ab-34"],
        ),
        ("EdgeSecretVersion", ["", "12345678-90ab-cdef-1234-567890abcdef"], ["AWSCURRENT"]),
    ],
)
def test_patterns(template: dict[str, Any], name: str, fits: list[str], not_so: list[str]) -> None:
    pattern = re.compile(template["Parameters"][name]["AllowedPattern"])
    assert [value for value in fits if not pattern.fullmatch(value)] == []
    assert [value for value in not_so if pattern.fullmatch(value)] == []


@pytest.mark.parametrize(("given", "domain"), [({}, None), ({"CdnDomain": "links.example.org"}, "links.example.org")])
def test_a_domain_of_ones_own(template: dict[str, Any], given: dict[str, str], domain: str | None) -> None:
    created = as_created(template, given)
    config = created["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    if domain is None:
        assert "Aliases" not in config
        assert config["ViewerCertificate"] == {"CloudFrontDefaultCertificate": True}
    else:
        assert config["Aliases"] == [{"Ref": "CdnDomain"}]
        assert config["ViewerCertificate"] == {
            "AcmCertificateArn": {"Ref": "CdnCertificateArn"},
            "SslSupportMethod": "sni-only",
            "MinimumProtocolVersion": "TLSv1.2_2021",
        }
    address = created["Outputs"]["Address"]["Value"]["Fn::Sub"]
    assert address == ("https://${CdnDomain}" if domain else "https://${Distribution.DomainName}")


# --- what passes ---


def test_nothing_passes_by_the_function(behaviours: dict[str, dict[str, Any]]) -> None:
    """CloudFront adds the secret to any request: one that was not checked would be let in."""
    assert behaviours.keys() == {"/zarr/*", "/data/*", "*"}
    for pattern, behaviour in behaviours.items():
        functions = {it["EventType"]: it["FunctionARN"] for it in behaviour["FunctionAssociations"]}
        assert functions["viewer-request"] == {"Fn::GetAtt": ["ViewerRequest", "FunctionARN"]}, pattern
        assert "LambdaFunctionAssociations" not in behaviour
        if pattern != "*":
            assert functions["viewer-response"] == {"Fn::GetAtt": ["ViewerResponse", "FunctionARN"]}


def test_the_api_is_reached_over_tls_with_the_secret(distribution: dict[str, Any]) -> None:
    (origin,) = distribution["Origins"]
    assert "OriginGroups" not in distribution
    assert origin["OriginPath"] == "/v1"
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert origin["CustomOriginConfig"]["OriginSSLProtocols"] == ["TLSv1.2"]
    (header,) = origin["OriginCustomHeaders"]
    assert header["HeaderName"] == addresses.SECRET_HEADER.decode()
    assert header["HeaderValue"]["Fn::If"][1:] == [
        {"Fn::Sub": "{{resolve:secretsmanager:${EdgeSecret}:SecretString:::${EdgeSecretVersion}}}"},
        {"Fn::Sub": "{{resolve:secretsmanager:${EdgeSecret}:SecretString}}"},
    ]


def test_plain_http_is_led_on_and_never_refused(behaviours: dict[str, dict[str, Any]]) -> None:
    """CloudFront's refusal would be a 403, which readers take for a chunk that was never written."""
    policies = {pattern: it["ViewerProtocolPolicy"] for pattern, it in behaviours.items()}
    assert policies == dict.fromkeys(["/zarr/*", "/data/*", "*"], "redirect-to-https")


def test_the_function_refuses_methods_itself_and_the_api_takes_all(behaviours: dict[str, dict[str, Any]]) -> None:
    """What CloudFront refused would be a 403 without CORS, which readers take for a chunk that was never written."""
    for behaviour in behaviours.values():
        assert len(behaviour["AllowedMethods"]) == 7
        assert behaviour["CachedMethods"] == ["GET", "HEAD"]


def test_headers_of_the_function_reach_the_api(of_type: Any, behaviours: dict[str, dict[str, Any]]) -> None:
    policies = of_type("AWS::CloudFront::OriginRequestPolicy")
    below_links = policies["LinkRequests"]["OriginRequestPolicyConfig"]
    said = {it.decode() for it in (addresses.LINK_HEADER, addresses.TOKEN_HEADER, addresses.HOST_HEADER)}
    assert below_links["HeadersConfig"] == {"HeaderBehavior": "whitelist", "Headers": ["accept", *sorted(said)]}
    assert below_links["QueryStringsConfig"] == {"QueryStringBehavior": "none"}
    others = policies["OtherRequests"]["OriginRequestPolicyConfig"]
    assert others["HeadersConfig"] == {"HeaderBehavior": "allExcept", "Headers": ["host"]}
    assert {it["OriginRequestPolicyConfig"]["CookiesConfig"]["CookieBehavior"] for it in policies.values()} == {"none"}
    used = {pattern: it["OriginRequestPolicyId"]["Ref"] for pattern, it in behaviours.items()}
    assert used == {"/zarr/*": "LinkRequests", "/data/*": "OtherRequests", "*": "OtherRequests"}


# --- what is kept ---


def test_an_answer_is_kept_as_long_as_it_says_by_its_path_alone(
    of_type: Any, behaviours: dict[str, dict[str, Any]]
) -> None:
    policy = of_type("AWS::CloudFront::CachePolicy")["CachePolicy"]["CachePolicyConfig"]
    assert (policy["MinTTL"], policy["DefaultTTL"], policy["MaxTTL"]) == (0, 0, A_YEAR_S)
    assert policy["ParametersInCacheKeyAndForwardedToOrigin"] == {
        "HeadersConfig": {"HeaderBehavior": "whitelist", "Headers": ["x-zarrlink-alone"]},
        "CookiesConfig": {"CookieBehavior": "none"},
        "QueryStringsConfig": {"QueryStringBehavior": "none"},
        "EnableAcceptEncodingGzip": False,
        "EnableAcceptEncodingBrotli": False,
    }
    assert not any(behaviour["Compress"] for behaviour in behaviours.values())
    used = {pattern: it["CachePolicyId"] for pattern, it in behaviours.items()}
    assert used == {"/zarr/*": {"Ref": "CachePolicy"}, "/data/*": {"Ref": "CachePolicy"}, "*": CACHING_DISABLED}


def test_errors_are_kept_for_a_second_at_most(distribution: dict[str, Any]) -> None:
    """And shown as they came. These are all that CloudFront lets one say something about."""
    kept = {it["ErrorCode"]: it["ErrorCachingMinTTL"] for it in distribution["CustomErrorResponses"]}
    assert kept.keys() == {400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}
    assert {code for code, seconds in kept.items() if seconds} <= {500, 501, 502, 503, 504}
    assert max(kept.values()) <= 1
    assert {frozenset(it) for it in distribution["CustomErrorResponses"]} == {
        frozenset({"ErrorCode", "ErrorCachingMinTTL"})
    }


def test_headers_for_browsers_are_the_origins_own_where_it_has_any(
    of_type: Any, behaviours: dict[str, dict[str, Any]]
) -> None:
    policies = of_type("AWS::CloudFront::ResponseHeadersPolicy")
    links = policies["LinkHeaders"]["ResponseHeadersPolicyConfig"]
    cors, ours = links["CorsConfig"], {name.decode(): value.decode() for name, value in (*CORS, *PREFLIGHT)}
    assert cors["OriginOverride"] is False
    assert cors["AccessControlAllowCredentials"] is False
    for name, there in (
        ("AccessControlAllowOrigins", "access-control-allow-origin"),
        ("AccessControlAllowMethods", "access-control-allow-methods"),
        ("AccessControlAllowHeaders", "access-control-allow-headers"),
        ("AccessControlExposeHeaders", "access-control-expose-headers"),
    ):
        assert ", ".join(cors[name]["Items"]) == ours[there]
    assert str(cors["AccessControlMaxAgeSec"]) == ours["access-control-max-age"]
    for policy in policies.values():
        security = policy["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
        assert security["ReferrerPolicy"] == {"ReferrerPolicy": "no-referrer", "Override": False}
        assert {"StrictTransportSecurity", "ContentTypeOptions"} <= security.keys()
    # Whose pages may call the API is the API's to say.
    assert "CorsConfig" not in policies["PageHeaders"]["ResponseHeadersPolicyConfig"]
    used = {pattern: it["ResponseHeadersPolicyId"]["Ref"] for pattern, it in behaviours.items()}
    assert used == {"/zarr/*": "LinkHeaders", "/data/*": "LinkHeaders", "*": "PageHeaders"}


# --- what is logged, and what is secret ---


def test_no_address_is_logged(template: dict[str, Any], distribution: dict[str, Any], of_type: Any) -> None:
    delivery = of_type("AWS::Logs::Delivery")["EdgeLog"]
    assert delivery["RecordFields"] == list(FIELDS)
    assert of_type("AWS::Logs::DeliveryDestination")["EdgeLogDestination"]["OutputFormat"] == "w3c"
    # The older log, and the one in real time, have the address.
    assert not {"Logging", "RealtimeLogConfigArn"} & {*distribution, *distribution["DefaultCacheBehavior"]}
    assert not [it for it in template["Resources"].values() if it["Type"] == "AWS::CloudFront::RealtimeLogConfig"]


def test_the_log_of_a_stack_elsewhere_is_the_same(template: dict[str, Any]) -> None:
    """CloudFront's logs can be asked for in us-east-1 alone."""
    elsewhere = yaml.load(EDGE_LOG.read_text(), TemplateLoader)["Resources"]
    here = {name: it for name, it in template["Resources"].items() if it.get("Condition") == "HasEdgeLogHere"}
    assert here.keys() == elsewhere.keys()
    places = {"ResourceArn", "DestinationResourceArn"}
    for name, resource in here.items():
        theirs = elsewhere[name]["Properties"]
        assert {key: it for key, it in resource["Properties"].items() if key not in places} == {
            key: it for key, it in theirs.items() if key not in places
        }
    assert as_created(template, region="eu-central-1")["Resources"].keys() & elsewhere.keys() == set()


def test_log_files_are_written_by_their_service_alone_and_end(of_type: Any) -> None:
    bucket = of_type("AWS::S3::Bucket")["EdgeLogBucket"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", {"Ref": "LogRetentionDays"})
    no_http, delivery = of_type("AWS::S3::BucketPolicy")["EdgeLogBucketPolicy"]["PolicyDocument"]["Statement"]
    assert (no_http["Effect"], no_http["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert delivery["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
    assert delivery["Action"] == "s3:PutObject"
    assert delivery["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}
    # Wherever the bucket is.
    assert ":logs:us-east-1:" in delivery["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]


def test_log_files_are_counted_where_they_are_written(of_type: Any, functions: dict[str, dict[str, Any]]) -> None:
    variables = functions["LinkUsesFunction"]["Environment"]["Variables"]
    assert variables["EDGE_LOG_BUCKET"] == {"Ref": "EdgeLogBucket"}
    statement = of_type("AWS::S3::BucketPolicy")["EdgeLogBucketPolicy"]["PolicyDocument"]["Statement"][1]
    assert statement["Resource"]["Fn::Sub"].startswith(f"${{EdgeLogBucket.Arn}}/{variables['EDGE_LOG_PREFIX']}")
    destination = of_type("AWS::Logs::DeliveryDestination")["EdgeLogDestination"]["DestinationResourceArn"]
    assert destination == {"Fn::GetAtt": ["EdgeLogBucket", "Arn"]}


def test_secrets_are_named_and_never_shown(template: dict[str, Any], functions: dict[str, dict[str, Any]]) -> None:
    """A variable or output holds a secret's ARN; its value stands in one place alone, the header to the API."""
    shown = [*texts(template["Outputs"]), *(text for it in functions.values() for text in texts(it))]
    assert not [text for text in shown if "resolve:" in text]
    resolving = [name for name, it in template["Resources"].items() if any("resolve:" in text for text in texts(it))]
    assert resolving == ["Distribution"]
    assert not any("NoEcho" in parameter for parameter in template["Parameters"].values())


# --- what tells the CDN of links ---


def test_links_and_what_they_open_are_followed(of_type: Any) -> None:
    events = of_type("AWS::Serverless::Function")["LinkSyncFunction"]["Events"]
    streams = {name: it["Properties"] for name, it in events.items() if it["Type"] == "DynamoDB"}
    assert {name: it["Stream"]["Fn::GetAtt"] for name, it in streams.items()} == {
        "Links": ["LinksTable", "StreamArn"],
        "Catalogue": ["CatalogueTable", "StreamArn"],
        "Annotations": ["AnnotationsTable", "StreamArn"],
    }
    for stream in streams.values():
        assert stream["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert stream["StartingPosition"] == "TRIM_HORIZON"
        assert stream["BatchSize"] <= 50
        assert stream["MaximumBatchingWindowInSeconds"] <= 1
        # One writer for a stream's part, in its order.
        assert stream["ParallelizationFactor"] == 1
        # What is given up is told, and made up for by the next comparison.
        assert 60 <= stream["MaximumRecordAgeInSeconds"] <= 3600
        assert stream["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["LinkSyncFailures", "Arn"]}
    assert events["Hourly"]["Properties"]["Schedule"] == "rate(1 hour)"
    assert events["Deployed"]["Properties"]["Pattern"]["detail"]["stack-id"] == [{"Ref": "AWS::StackId"}]


def test_openings_are_counted_by_one_at_a_time(template: dict[str, Any], of_type: Any) -> None:
    function = of_type("AWS::Serverless::Function")["LinkUsesFunction"]
    (event,) = function["Events"].values()
    assert event["Properties"]["Schedule"] == "rate(1 hour)"
    assert template["Parameters"][function["Timeout"]["Ref"]]["MaxValue"] < 3600
    assert function["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}


def test_the_signature_that_takes_a_library_is_in_one_function_alone() -> None:
    makefiles = [ROOT / "shared" / "Makefile", *(ROOT / "functions").glob("*/Makefile")]
    assert [it.parent.name for it in makefiles if "awscrt" in it.read_text()] == ["link_sync"]


# --- the functions' text ---


def test_the_functions_are_the_files(of_type: Any, embed_edge: Any) -> None:
    functions = of_type("AWS::CloudFront::Function")
    assert functions.keys() == embed_edge.FUNCTIONS.keys()
    for name, file in embed_edge.FUNCTIONS.items():
        text = file.read_text()
        assert embed_edge.fault_of(text) == ""
        assert len(text.encode()) < 10_000
        assert functions[name]["FunctionCode"] == text, f"make edge: {name} is not as {file.name}"
        assert functions[name]["AutoPublish"] is True
        assert functions[name]["FunctionConfig"]["Runtime"] == "cloudfront-js-2.0"
    stores = [it["FunctionConfig"].get("KeyValueStoreAssociations") for it in functions.values()]
    assert stores == [[{"KeyValueStoreARN": {"Fn::GetAtt": ["EdgeStore", "Arn"]}}], None]


@pytest.mark.parametrize("text", ["a\n", "a\n\n  b ${c} #: {{d}} \n", "// '\"\n\tb\n"])
def test_a_text_comes_out_of_the_template_as_it_went_in(embed_edge: Any, text: str) -> None:
    assert embed_edge.fault_of(text) == ""
    before = TEMPLATE.read_text()
    embedded = embed_edge.embed(before, "ViewerRequest", text)
    there = yaml.load(embedded, TemplateLoader)["Resources"]
    assert there["ViewerRequest"]["Properties"]["FunctionCode"] == text
    # Nothing around it has changed.
    code = yaml.load(before, TemplateLoader)["Resources"]["ViewerRequest"]["Properties"]["FunctionCode"]
    assert embed_edge.embed(embedded, "ViewerRequest", code) == before


@pytest.mark.parametrize("text", ["", "a", "a\n\n", " a\n", "a\n  \nb\n", "\u00e4\n", "a" * 10_240 + "\n"])
def test_a_text_that_cannot_be_embedded_is_refused(embed_edge: Any, text: str) -> None:
    assert embed_edge.fault_of(text)


def test_a_template_without_the_function_is_refused(embed_edge: Any) -> None:
    with pytest.raises(ValueError, match="Viewer"):
        embed_edge.embed("Resources:\n", "ViewerRequest", "a\n")
