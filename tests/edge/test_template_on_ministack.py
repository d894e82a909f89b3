"""The CDN half of template.yaml, created by MiniStack's CloudFormation and read back by the services' own calls.

What this shows: the template is one that a CloudFormation takes, with and without its CDN; references, conditions and the
secret's dynamic reference come out as meant; what CloudFront is given is what it gives back.

What it does not show: MiniStack's CloudFront keeps nothing, reaches no API Gateway, and runs functions without the module
`cloudfront`, so not ours that looks into the store (`tests/edge` and `tests/edge_end_to_end` run it, in Node and nginx). For
what behaviours send on, requests go through the distribution with another origin and a function that only rewrites. It does
not know CloudFront's log deliveries (AWS::Logs::Delivery and its kin), which a stack in this region has none of, nor
AWS::IAM::RolePolicy, which is left out: the template has one, for exports. It heeds no ExcludePunctuation in a secret, gives a
key value store an ARN that ends in its name, and checks no right of any role.
"""

from __future__ import annotations

import http.client
import io
import itertools
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from builders.ministack import MiniStack, ministack
from builders.moto_aws import REGION
from builders.sam_transform import translated
from builders.template import ROOT, Json, as_created, load_template
from contracts.edge_store import put
from zarrlink.edge.kvs import KeyValueStore

BUCKET, CODE, DEFINITION, TEMPLATE = "code", "code.zip", "definition.json", "template.json"
UNKNOWN = "AWS::IAM::RolePolicy"
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Created:
    """`resources`: physical ids by logical name."""

    aws: MiniStack
    name: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]

    def distribution(self) -> Json:
        answer = self.aws.client("cloudfront").get_distribution_config(Id=self.outputs["DistributionId"])
        config: Json = answer["DistributionConfig"]
        return config


# The watching stack is a file of its own, which `sam package` would have sent ahead.
GIVEN = {"DataBucketArns": "arn:aws:s3:::volumes", "Watching": "false"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    template = translated(load_template(), REGION, BUCKET, CODE, DEFINITION)
    template["Resources"] = {name: it for name, it in template["Resources"].items() if it["Type"] != UNKNOWN}
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return {}\n")
    with ministack(tmp_path_factory.mktemp("ministack")) as running:
        client = running.client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.put_object(Bucket=BUCKET, Key=CODE, Body=code.getvalue())
        client.put_object(Bucket=BUCKET, Key=DEFINITION, Body=(ROOT / "infra" / "export.asl.json").read_bytes())
        client.put_object(Bucket=BUCKET, Key=TEMPLATE, Body=json.dumps(template).encode())
        yield running


def create(aws: MiniStack, **parameters: str) -> Created:
    name = f"zarrlink-{next(_NUMBERS)}"
    given = {**GIVEN, **parameters}
    client = aws.client("cloudformation")
    client.create_stack(StackName=name, **_words(aws, given))
    return _there(aws, client, name, "stack_create_complete")


def _words(aws: MiniStack, parameters: Mapping[str, str]) -> dict[str, Any]:
    return {
        # Larger than what may be handed over by itself.
        "TemplateURL": f"{aws.endpoint}/{BUCKET}/{TEMPLATE}",
        "Capabilities": ["CAPABILITY_IAM"],
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    }


def _there(aws: MiniStack, client: Any, name: str, event: str) -> Created:
    client.get_waiter(event).wait(StackName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    pages = client.get_paginator("list_stack_resources").paginate(StackName=name)
    resources = [it for page in pages for it in page["StackResourceSummaries"]]
    return Created(
        aws,
        name,
        {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]},
        {it["LogicalResourceId"]: it["PhysicalResourceId"] for it in resources},
    )


@pytest.fixture(scope="module")
def created(aws: MiniStack) -> Created:
    return create(aws)


def test_a_stack_without_a_cdn_has_all_the_rest_and_nothing_of_it(aws: MiniStack) -> None:
    alone = create(aws, Cdn="false")
    template = as_created(load_template(), {**GIVEN, "Cdn": "false"}, REGION)
    expected = {name for name, it in template["Resources"].items() if it["Type"] != UNKNOWN}
    # SAM calls its layers by a name with their content in it.
    assert {name for name in expected if not name.endswith("Layer")} <= alone.resources.keys()
    assert not {"Distribution", "EdgeStore", "ViewerRequest", "EdgeSecret", "LinkSyncFunction"} & alone.resources.keys()
    assert alone.outputs.keys() == template["Outputs"].keys()
    assert ".execute-api." in alone.outputs["Address"]


def test_links_begin_with_the_cdns_name(created: Created) -> None:
    found = created.aws.client("cloudfront").get_distribution(Id=created.outputs["DistributionId"])["Distribution"]
    assert created.outputs["Address"] == f"https://{found['DomainName']}"


def test_every_behaviour_has_the_function_as_it_is_published(created: Created) -> None:
    client, config = created.aws.client("cloudfront"), created.distribution()
    behaviours = [config["DefaultCacheBehavior"], *config["CacheBehaviors"]["Items"]]
    assert [it["PathPattern"] for it in behaviours[1:]] == ["/zarr/*", "/data/*"]
    for behaviour in behaviours:
        functions = {it["EventType"]: it["FunctionARN"] for it in behaviour["FunctionAssociations"]["Items"]}
        name = functions["viewer-request"].rpartition("/")[2]
        assert name == created.resources["ViewerRequest"]
        live = client.get_function(Name=name, Stage="LIVE")["FunctionCode"].read()
        assert live == (ROOT / "functions" / "edge" / "viewer_request.js").read_bytes()
        described = client.describe_function(Name=name, Stage="LIVE")["FunctionSummary"]["FunctionConfig"]
        assert described["Runtime"] == "cloudfront-js-2.0"
        (store,) = described["KeyValueStoreAssociations"]["Items"]
        assert store["KeyValueStoreARN"] == created.outputs["EdgeStore"]


def test_the_api_is_told_the_secret_that_its_functions_are_to_know(created: Created) -> None:
    (origin,) = created.distribution()["Origins"]["Items"]
    assert (origin["OriginPath"], origin["DomainName"].split(".")[0]) == ("/v1", created.resources["Api"])
    (header,) = origin["CustomHeaders"]["Items"]
    assert header == {"HeaderName": "x-zarrlink-edge", "HeaderValue": secret_of(created)}
    for function in ("StreamFunction", "ApiFunction"):
        described = created.aws.client("lambda").get_function_configuration(FunctionName=created.resources[function])
        assert described["Environment"]["Variables"]["EDGE_SECRET"] == created.resources["EdgeSecret"]


def secret_of(created: Created, **version: str) -> str:
    client = created.aws.client("secretsmanager")
    return str(client.get_secret_value(SecretId=created.resources["EdgeSecret"], **version)["SecretString"])


def test_a_new_secret_reaches_the_cdn_by_its_version(aws: MiniStack) -> None:
    """As docs/cdn.md has it done: the functions take both in between."""
    made = create(aws)
    before = secret_of(made)
    client = aws.client("secretsmanager")
    version = client.put_secret_value(SecretId=made.resources["EdgeSecret"], SecretString="n" * 64)["VersionId"]
    assert secret_of(made, VersionStage="AWSPREVIOUS") == before

    stacks = aws.client("cloudformation")
    given = {**GIVEN, "EdgeSecretVersion": version}
    stacks.update_stack(StackName=made.name, **_words(aws, given))
    changed = _there(aws, stacks, made.name, "stack_update_complete")

    (origin,) = changed.distribution()["Origins"]["Items"]
    assert origin["CustomHeaders"]["Items"][0]["HeaderValue"] == "n" * 64


def test_policies_are_what_the_template_says(created: Created) -> None:
    client, config = created.aws.client("cloudfront"), created.distribution()
    template = load_template()["Resources"]
    behaviour = config["CacheBehaviors"]["Items"][0]
    cache = client.get_cache_policy(Id=behaviour["CachePolicyId"])["CachePolicy"]["CachePolicyConfig"]
    assert (cache["MinTTL"], cache["DefaultTTL"], cache["MaxTTL"]) == (0, 0, 31_536_000)
    key = cache["ParametersInCacheKeyAndForwardedToOrigin"]
    assert key["HeadersConfig"]["Headers"]["Items"] == ["x-zarrlink-alone"]
    assert {key[it][f"{it.removesuffix('sConfig')}Behavior"] for it in ("CookiesConfig", "QueryStringsConfig")} == {
        "none"
    }
    asked = client.get_origin_request_policy(Id=behaviour["OriginRequestPolicyId"])["OriginRequestPolicy"]
    wanted = template["LinkRequests"]["Properties"]["OriginRequestPolicyConfig"]["HeadersConfig"]["Headers"]
    assert asked["OriginRequestPolicyConfig"]["HeadersConfig"]["Headers"]["Items"] == wanted
    answered = client.get_response_headers_policy(Id=behaviour["ResponseHeadersPolicyId"])["ResponseHeadersPolicy"]
    cors = answered["ResponseHeadersPolicyConfig"]["CorsConfig"]
    assert cors["OriginOverride"] is False
    assert cors["AccessControlAllowOrigins"]["Items"] == ["*"]


def test_errors_have_the_times_that_they_were_given(created: Created) -> None:
    kept = {it["ErrorCode"]: it["ErrorCachingMinTTL"] for it in created.distribution()["CustomErrorResponses"]["Items"]}
    written = load_template()["Resources"]["Distribution"]["Properties"]["DistributionConfig"]["CustomErrorResponses"]
    assert kept == {it["ErrorCode"]: it["ErrorCachingMinTTL"] for it in written}


def test_entries_go_into_the_stacks_own_store(created: Created) -> None:
    arn = created.outputs["EdgeStore"]
    store = KeyValueStore(created.aws.client("cloudfront-keyvaluestore"), arn, lambda _: None)
    assert store.entries() == {}
    put(store, {"l:Utbk2MqW8rns9yGf": "-"})
    assert store.entries() == {"l:Utbk2MqW8rns9yGf": "-"}


def test_changes_of_links_and_what_they_open_reach_the_function(created: Created) -> None:
    function = created.resources["LinkSyncFunction"]
    found = created.aws.client("lambda").list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    tables = {created.resources[it] for it in ("LinksTable", "CatalogueTable", "AnnotationsTable")}
    assert {it["EventSourceArn"].split("/")[1] for it in found} == tables
    for mapping in found:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["DestinationConfig"]["OnFailure"]["Destination"].endswith(
            created.outputs["LinkSyncFailures"].rpartition("/")[2]
        )
    rules = created.aws.client("events").list_rules()["Rules"]
    hourly = [it for it in rules if created.name in it["Name"] and it.get("ScheduleExpression") == "rate(1 hour)"]
    assert len(hourly) == 2


def test_log_files_are_let_in_by_the_bucket(created: Created) -> None:
    text = created.aws.client("s3").get_bucket_policy(Bucket=created.outputs["EdgeLogBucket"])["Policy"]
    (allowed,) = [it for it in json.loads(text)["Statement"] if it["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
    assert allowed["Resource"].startswith(f"arn:aws:s3:::{created.outputs['EdgeLogBucket']}/AWSLogs/")


# --- through the distribution, as MiniStack plays it ---

# In the place of ours, which MiniStack cannot run: what ours does for a link that the store knows.
STAND_IN = """
function handler(event) {
  const request = event.request;
  if (request.uri.startsWith('/zarr/')) request.uri = '/c/' + request.uri.slice(6);
  request.headers['x-zarrlink-link'] = { value: 'Utbk2MqW8rns9yGf' };
  return request;
}
"""
SENT = {
    "Accept": "application/json",
    "Authorization": "Bearer of-somebody",
    "Cookie": "a=b",
    "X-Auth-Token": "of-somebody",
    "X-Zarrlink-Edge": "guessed",
}


@dataclass(frozen=True)
class Asked:
    path: str
    headers: Mapping[str, str]


@contextmanager
def origin(asked: list[Asked]) -> Iterator[int]:
    """The port of an API that notes what it is asked and says how long its answer may be kept."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(200)
            self.send_header("Cache-Control", "public, max-age=300, s-maxage=31536000, immutable")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def lead_to(made: Created, port: int) -> str:
    """The distribution with another origin and the function's stand-in; its domain."""
    client = made.aws.client("cloudfront")
    name = made.resources["ViewerRequest"]
    config = {"Comment": "stand-in", "Runtime": "cloudfront-js-2.0"}
    etag = client.describe_function(Name=name, Stage="DEVELOPMENT")["ETag"]
    client.update_function(Name=name, IfMatch=etag, FunctionConfig=config, FunctionCode=STAND_IN.encode())
    client.publish_function(Name=name, IfMatch=client.describe_function(Name=name, Stage="DEVELOPMENT")["ETag"])
    got = client.get_distribution_config(Id=made.outputs["DistributionId"])
    (item,) = got["DistributionConfig"]["Origins"]["Items"]
    item["DomainName"] = "localhost"
    item["CustomOriginConfig"] |= {"OriginProtocolPolicy": "http-only", "HTTPPort": port, "HTTPSPort": 443}
    client.update_distribution(
        Id=made.outputs["DistributionId"], IfMatch=got["ETag"], DistributionConfig=got["DistributionConfig"]
    )
    return made.outputs["DistributionDomain"]


def ask(aws: MiniStack, domain: str, path: str, scheme: str = "https") -> http.client.HTTPResponse:
    with closing(http.client.HTTPConnection("127.0.0.1", urlsplit(aws.endpoint).port)) as connection:
        connection.request("GET", path, headers={**SENT, "Host": domain, "X-Forwarded-Proto": scheme})
        answer = connection.getresponse()
        answer.read()
        return answer


def test_behaviours_send_on_what_their_answers_may_depend_on(aws: MiniStack) -> None:
    if shutil.which("node") is None:
        pytest.skip("node, which MiniStack runs functions with, is not installed")
    made = create(aws)
    asked: list[Asked] = []
    with origin(asked) as port:
        domain = lead_to(made, port)
        below_link = ask(aws, domain, "/zarr/TOKEN/v3/em.zarr/zarr.json?token=x")
        assert ask(aws, domain, "/data/datasets/1?token=x").status == 200
        assert ask(aws, domain, "/api/zarrPrivateLinks").status == 200
        plain = ask(aws, domain, "/zarr/TOKEN/", scheme="http")
        start = ask(aws, domain, "/", scheme="http")
    assert (below_link.status, plain.status, start.status) == (200, 301, 301)
    assert [it.path for it in asked] == [
        "/v1/c/TOKEN/v3/em.zarr/zarr.json",
        "/v1/data/datasets/1?token=x",
        "/v1/api/zarrPrivateLinks",
    ]
    for it in asked:
        # Whatever a viewer said.
        assert it.headers["x-zarrlink-edge"] == secret_of(made)
        assert it.headers["x-zarrlink-link"] == "Utbk2MqW8rns9yGf"
        assert it.headers["accept"] == "application/json"
        assert domain not in it.headers["host"]
        assert "cookie" not in it.headers
    link, data, api = (it.headers for it in asked)
    assert not {"authorization", "x-auth-token"} & link.keys()
    assert data["authorization"] == api["authorization"] == "Bearer of-somebody"
    # Two clocks: what the origin says to the CDN is not what a browser is told.
    assert below_link.headers["cache-control"] == "private, max-age=300"
    assert below_link.headers["referrer-policy"] == "no-referrer"
