"""The functions as built, on the emulator of Lambda's runtime: cold starts, warm requests, imports.

The emulator invokes as Lambda does; the machine is not Lambda's, and S3 and DynamoDB are moto, in this process.
"""

from __future__ import annotations

import base64
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from data import BLOCK, NAME, SHARD
from measure import Scale, interleaved
from report import Part, Table, at_most
from servers import Server

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from builders.emulator import Emulated, Runtime, emulated, find_runtime
from builders.lambda_door import rest_event
from builders.moto_aws import moto_aws
from builders.stack import Stack, make_stack
from zarrlink.http.message import Request

IMPORT_AIM_MS = 300
USER_TOKEN = "benchmark"
# The least that a function can do, with answers as long as ours: what beyond it is ours.
BARE = """
import base64, os
BODY = base64.b64encode(bytes(int(os.environ["BODY_BYTES"]))).decode()

def handler(event, context):
    return {"statusCode": 200, "headers": {}, "isBase64Encoded": True, "body": BODY}
"""
# ms waited and ms of CPU time; the second says what it takes on a machine that is busy with other things.
_IMPORT = """
import time
started, cpu = time.perf_counter(), time.process_time()
import app
print((time.perf_counter() - started) * 1000, (time.process_time() - cpu) * 1000)
"""


def missing() -> list[str]:
    """What is not there of what it takes."""
    return [] if find_runtime() else ["the built functions (`make bench` builds and names them)"]


@dataclass(frozen=True, slots=True)
class Case:
    """A function and the events that it is asked to answer, each in turn."""

    name: str
    function: str
    events: tuple[dict[str, Any], ...]

    @property
    def first(self) -> dict[str, Any]:
        return self.events[0]


@dataclass(slots=True)
class Bench:
    """Both functions and a bare one. `scratch`: for logs and the bare function's code."""

    runtime: Runtime
    stack: Stack
    scratch: Path

    @contextmanager
    def started(self, function: str, body_bytes: int = 0) -> Iterator[Emulated]:
        """A function that has seen no event yet; "bare" with an answer of that length."""
        log = self.scratch / f"{function}.log"
        if function == "bare":
            folder = self.scratch / "bare"
            folder.mkdir(exist_ok=True)
            (folder / "app.py").write_text(BARE)
            path, environment = [folder], {"BODY_BYTES": str(body_bytes), "AWS_LAMBDA_FUNCTION_TIMEOUT": "25"}
        else:
            path, environment = self.runtime.folders(function), self.stack.environment(function)
        with emulated(self.runtime, path, environment, log) as running:
            yield running

    def imports_ms(self, function: str) -> tuple[float, float]:
        """Of `app`, by a new interpreter: waited for, and CPU time."""
        path = os.pathsep.join(map(str, self.runtime.folders(function)))
        environment = {"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": path}
        environment |= self.stack.environment(function)
        command = [str(self.runtime.python), "-c", _IMPORT]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        waited, cpu = map(float, said.split())
        return waited, cpu

    def cold(self, case: Case) -> tuple[float, float, float]:
        """ms: of the start up to the handler, of the first request in it, and of both as they were waited for."""
        with self.started(case.function) as running:
            started = time.perf_counter()
            check(running.invoke(case.first))
            waited = (time.perf_counter() - started) * 1000
            log = running.log
        text = log.read_text()
        init = re.search(r"INIT REPORT\(durationMs: ([\d.]+)\)", text)
        invoke = re.search(r"INVOKE RTDONE\(.*duration: ([\d.]+)ms\)", text)
        if init is None or invoke is None:
            raise RuntimeError("the emulator's log tells no durations")
        return float(init[1]), float(invoke[1]), waited


def check(answer: Mapping[str, Any]) -> int:
    """The length of an answer's body, in bytes. Raises AssertionError where it is none."""
    assert answer["statusCode"] == 200, answer["statusCode"]
    return len(base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode())


def warm(running: Emulated, events: tuple[dict[str, Any], ...]) -> tuple[list[float], float]:
    """ms of every request, one after the other, and the CPU time of the function's processes, ms a request."""
    server, times, statuses = Server("function", running.pid, running.port), [], set()
    cpu_s = server.cpu_s()
    for event in events:
        started = time.perf_counter()
        statuses.add(running.post(event)[0])
        times.append((time.perf_counter() - started) * 1000)
    assert statuses == {200}
    return times, (server.cpu_s() - cpu_s) / len(events) * 1000


def run(dataset: Path, scale: Scale) -> Part:
    runtime = find_runtime()
    assert runtime is not None
    python = subprocess.run([runtime.python, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    part = Part(
        "The functions on the emulator of Lambda's runtime",
        f"`StreamFunction` and `ApiFunction` as `sam build` made them, on aws-lambda-rie and awslambdaric, Python {python};"
        " S3, DynamoDB and Secrets Manager are moto, which is Python as well, on the same cores. Bare: a function that"
        " answers a constant of the same length.",
    )
    with TemporaryDirectory() as scratch, moto_aws() as aws:
        stack = make_stack(aws)
        stack.add_user("ann", USER_TOKEN)
        files = {
            path.relative_to(dataset).as_posix(): path.read_bytes() for path in dataset.rglob("*") if path.is_file()
        }
        bench = Bench(runtime, stack, Path(scratch))
        cases = make_cases(bench, stack.register(NAME, files).id, scale)
        part.tables = [imports(bench, scale), cold_starts(bench, cases, scale), warm_requests(bench, cases, scale)]
    part.notes = [
        "Imports: of `app`, in a new interpreter with compiled layers, files in the page cache.",
        "Start: by the emulator's own word. First request: the handler's, with clients made, keys fetched, layer opened.",
        "A later request asks DynamoDB once and S3 once: p50 holds their time too.",
        "CPU: user + system time of the function's processes, the emulator's and the runtime client's among them.",
    ]
    return part


def make_cases(bench: Bench, dataset_id: str, scale: Scale) -> list[Case]:
    """What readers ask for; the link is made by the function that makes links."""
    with bench.started("ApiFunction") as api:
        headers = {b"x-auth-token": USER_TOKEN.encode(), b"content-type": b"application/json"}
        body = json.dumps({"dataset": dataset_id}).encode()
        made = api.invoke(rest_event(Request("POST", "/api/zarrPrivateLinks", headers), body))
    check(made)
    base = f"/zarr/{json.loads(made['body'])['accessToken']}"
    random = Random(7)

    def keys(folder: str, side: int) -> Iterator[str]:
        for _ in range(max(8, scale.calls // 200)):
            yield f"{folder}/" + "/".join(str(random.randrange(length // side)) for length in scale.size_xyz[::-1])

    def get(*paths: str) -> tuple[dict[str, Any], ...]:
        return tuple(rest_event(Request("GET", f"{base}/{path}", {})) for path in paths)

    count = max(8, scale.calls // 200)
    listed = rest_event(Request("GET", "/api/zarrPrivateLinks", headers))
    return [
        Case(f"stream: v2 chunk {BLOCK}^3", "StreamFunction", get(*keys("v2/em.zarr/0", BLOCK))),
        Case(f"stream: v3 shard {SHARD}^3", "StreamFunction", get(*keys("v3/em.zarr/0/c", SHARD))),
        Case("stream: metadata", "StreamFunction", get("v3/em.zarr/zarr.json") * count),
        Case("api: the list of links", "ApiFunction", (listed,) * count),
    ]


def imports(bench: Bench, scale: Scale) -> Table:
    rows = []
    for function, aim in (("StreamFunction", IMPORT_AIM_MS), ("ApiFunction", None)):
        waited, cpu = zip(*(bench.imports_ms(function) for _ in range(4 * scale.rounds)), strict=True)
        best = f"{min(waited):.0f}" if aim is None else at_most(min(waited), aim)
        rows.append([function, best, f"{statistics.median(waited):.0f}", f"{min(cpu):.0f}"])
    return Table(f"Imports, ms, {4 * scale.rounds} times", ("function", "best", "median", "best CPU time"), rows)


def cold_starts(bench: Bench, cases: list[Case], scale: Scale) -> Table:
    every = {"bare": Case("bare", "bare", ({},)), **{case.name: case for case in cases}}
    found = interleaved({name: partial(bench.cold, case) for name, case in every.items()}, scale.rounds)
    rows = [
        [name, *(f"{statistics.median(column):.0f}" for column in zip(*times, strict=True))]
        for name, times in found.items()
    ]
    head = ("first request", "start", "first request", "waited for")
    return Table(f"Cold starts, ms, medians of {scale.rounds}", head, rows)


def warm_requests(bench: Bench, cases: list[Case], scale: Scale) -> Table:
    rows = []
    for case in cases:
        with bench.started(case.function) as ours:
            size = statistics.median(check(ours.invoke(event)) for event in case.events)
            with bench.started("bare", int(size)) as bare:
                check(bare.invoke({}))
                found = interleaved(
                    {"ours": partial(warm, ours, case.events), "bare": partial(warm, bare, case.events)}, scale.rounds
                )
        row = [case.name, f"{size / 1000:.1f}"]
        for name in ("ours", "bare"):
            times = sorted(ms for round_ms, _ in found[name] for ms in round_ms)
            row += [f"{statistics.median(times):.1f} / {times[len(times) * 99 // 100]:.1f}"]
            row += [f"{statistics.median(cpu_ms for _, cpu_ms in found[name]):.1f}"]
        rows.append(row)
    head = ("request", "kB", "p50 / p99 ms", "CPU ms", "bare p50 / p99 ms", "bare CPU ms")
    return Table(f"Warm requests, one after the other, {scale.rounds} rounds of {len(cases[0].events)}", head, rows)
