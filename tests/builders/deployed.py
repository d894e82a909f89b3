"""The stack as LocalStack runs it: its API at an address, clients of all that it is made of, and services that fail."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import requests

from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.users.dynamodb import DynamoUsers
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.emulated_aws import DOOR, ENDPOINT, REGION
from zarrlink_local.emulated_deployment import BUCKET

T = TypeVar("T")
# Of an admin.
TOKEN: Final = "a-personal-token"
_NUMBERS: Final = itertools.count(time.time_ns())
_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.1


@dataclass
class Deployed:
    """The stack: its API at an address, its outputs, and clients of everything that it is made of."""

    session: Any
    outputs: dict[str, str]
    resources: dict[str, str]
    clients: dict[str, Any] = field(default_factory=dict)
    http: requests.Session = field(default_factory=requests.Session)
    prefixes: dict[str, str] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """The one of pytest-localstack's session."""
        if service not in self.clients:
            self.clients[service] = self.session.boto3.client(service)
        return self.clients[service]

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """An answer of API Gateway's, to whoever."""
        return self.http.request(method, path if path.startswith("http") else DOOR + path, timeout=60, **more)

    def api(self, method: str, path: str, *, status: int = 200, **more: Any) -> Any:
        """JSON of the API, signed in."""
        answer = self.ask(method, f"/api/{path}", headers={"X-Auth-Token": TOKEN}, **more)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    def add_user(self, name: str, token: str) -> None:
        """An admin; an earlier run may have made them, in a deployment that was there."""
        users = DynamoUsers(self.client("dynamodb"), self.outputs["UsersTable"])
        if name not in {user.name for user in users.all()}:
            users.add(User(name, 1, is_admin=True), hash_user_token(token))

    def register(self, objects: dict[str, bytes]) -> str:
        """The id of a new dataset of those objects."""
        prefix = f"tests/{next(_NUMBERS)}"
        catalogue = DynamoCatalogue(self.client("dynamodb"), self.outputs["CatalogueTable"])
        record = catalogue.register(prefix, f"s3://{BUCKET}/{prefix}", 1)
        self.prefixes[record.id] = prefix
        self.store(record.id, objects)
        return record.id

    def store(self, dataset_id: str, objects: dict[str, bytes]) -> None:
        """In the folder of such a dataset, in place of what was there."""
        for key, data in objects.items():
            self.client("s3").put_object(Bucket=BUCKET, Key=f"{self.prefixes[dataset_id]}/{key}", Body=data)

    def link(self, dataset_id: str, **wish: Any) -> str:
        """The address of a new link, made by the API, with a slash at its end."""
        page: str = self.api("POST", "zarrPrivateLinks", json={"dataset": dataset_id, **wish})["page"]
        assert page.startswith(f"{DOOR}/zarr/")
        return page

    def invoke(self, function: str, event: Any) -> tuple[Any, str | None]:
        """A function's answer and, where it failed, how Lambda calls that."""
        answer = self.client("lambda").invoke(FunctionName=self.resources[function], Payload=json.dumps(event))
        return json.loads(answer["Payload"].read()), answer.get("FunctionError")

    def put_fault(self, *faults: dict[str, Any]) -> None:
        self.http.put(f"{ENDPOINT}/_zarrlink/faults", json=list(faults), timeout=10).raise_for_status()

    @contextmanager
    def fault(self, *faults: dict[str, Any]) -> Iterator[None]:
        """Services that fail meanwhile (local/localstack/zarrlink_localstack/faults.py)."""
        self.put_fault(*faults)
        try:
            yield
        finally:
            self.put_fault()

    def configure(self, function: str, **values: Any) -> None:
        """Change a function's configuration, after which each of its environments is new."""
        name = self.resources[function]
        self.client("lambda").update_function_configuration(FunctionName=name, **values)
        self.client("lambda").get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    def lambda_errors(self, function: str) -> float:
        """The metric that Lambda itself counts for a function, since an hour ago."""
        now = datetime.now(UTC)
        asked = {
            "Action": "GetMetricStatistics",
            "Version": "2010-08-01",
            "Namespace": "AWS/Lambda",
            "MetricName": "Errors",
            "Dimensions.member.1.Name": "FunctionName",
            "Dimensions.member.1.Value": self.resources[function],
            "StartTime": (now - timedelta(hours=1)).isoformat(),
            "EndTime": (now + timedelta(minutes=1)).isoformat(),
            "Period": "60",
            "Statistics.member.1": "Sum",
        }
        # By hand: today's boto3 says it in words that LocalStack 4.7 does not know.
        scope = f"test/{now:%Y%m%d}/{REGION}/monitoring/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"}
        answer = self.http.post(ENDPOINT, data=asked, headers=headers, timeout=10)
        answer.raise_for_status()
        return sum(map(float, re.findall("<Sum>([^<]+)</Sum>", answer.text)))

    def log(self, output: str) -> Log:
        return Log(self.client("logs"), self.outputs.get(output, output))


class Log:
    """What functions write from now on."""

    def __init__(self, client: Any, group: str) -> None:
        self._client = client
        self._group = group
        self._before = {event["eventId"] for event in self._events()}

    def text(self) -> str:
        return "\n".join(event["message"].rstrip() for event in self._new())

    def streams(self) -> set[str]:
        """One for each environment that wrote."""
        return {event["logStreamName"] for event in self._new()}

    def _new(self) -> list[dict[str, Any]]:
        return [event for event in self._events() if event["eventId"] not in self._before]

    def _events(self) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("filter_log_events").paginate(logGroupName=self._group)
        return [event for page in pages for event in page["events"]]


def until(look: Callable[[], T], is_so: Callable[[T], Any]) -> T:
    """What is seen as soon as it is so. Fails with what was seen last."""
    limit = time.monotonic() + _PATIENCE_S
    while not is_so(seen := look()):
        assert time.monotonic() < limit, seen
        time.sleep(_LOOK_S)
    return seen
