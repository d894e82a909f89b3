"""Checks a deployed stack with its operator's rights: what only AWS itself can show, beside what readers see.

    smoke_stack.py STACK DATASET

Makes a link to a dataset (by name or id), tries all of `smoke.py` on it, revokes it, and waits until it is closed. Then asks CloudWatch
how much of its time the CDN's function takes, where the stack has one. One line a check; exit status 0 if all hold, 1 if one
does not, 2 where there is nothing to check. Nothing of it stays open.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from smoke import run
from smoke_client import BadAddress, Client

from zarrlink.errors import ZarrlinkError
from zarrlink.links.service import LinkRequest
from zarrlink_local.cloud import CloudState, open_stack
from zarrlink_local.verbs.links import link_verbs

# How long a change of a link may take to reach every place that looks at it.
CHANGED_WITHIN_S: Final = 60
_LOOK_AGAIN_S: Final = 0.5
# Of the time that a CloudFront function has: at 100 it is ended, and requests fail.
MOST_UTILISATION: Final = 70
_HOUR: Final = timedelta(hours=1)
# For as long as the checks take, in case that they are broken off.
_EXPIRES_MS: Final = 900_000


def main() -> None:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    stack, dataset = sys.argv[1:]
    try:
        failed = check(open_stack(stack), dataset)
    except (ZarrlinkError, BadAddress, OSError) as error:
        print(f"smoke_stack: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(1 if failed else 0)


def check(state: CloudState, dataset: str) -> int:
    """How many checks failed."""
    links = link_verbs(state)
    expires_ms = time.time_ns() // 1_000_000 + _EXPIRES_MS
    made = links.create(dataset, LinkRequest(name="smoke", expires_ms=expires_ms), None).facts
    client = Client(made["page"])
    revoked = False
    try:
        failed = 0 if opens(client) else 1
        failed += run(client)
        links.revoke(made["id"])
        revoked = True
        failed += 0 if closes(client) else 1
    finally:
        client.close()
        if not revoked:
            links.revoke(made["id"])
    for name, percent in utilisation(state):
        held = percent is None or percent <= MOST_UTILISATION
        said = "not called within the hour" if percent is None else f"at most {percent:.0f} % of its time"
        print(f"{'ok    ' if held else 'FAILED'}  edge: {name}: {said}", flush=True)
        failed += not held
    return failed


def opens(client: Client) -> bool:
    return _turns("a new link opens", lambda: client.send("GET", "", Accept="application/json").status == 200)


def closes(client: Client) -> bool:
    return _turns("a revoked link is closed", lambda: client.send("GET", "", Accept="application/json").status == 410)


def _turns(name: str, holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold in time; prints after how long."""
    started = time.monotonic()
    while True:
        held, waited = holds(), time.monotonic() - started
        if held or waited > CHANGED_WITHIN_S:
            print(f"{'ok    ' if held else 'FAILED'}  change: {name}: after {waited:.1f} s", flush=True)
            return held
        time.sleep(_LOOK_AGAIN_S)


def utilisation(state: CloudState) -> Iterator[tuple[str, float | None]]:
    """By function of the CDN, the largest share of its time in percent that it took within the last hour."""
    name = state.stack.edge_function
    if not name:
        return
    found = state.client("cloudwatch", region="us-east-1").get_metric_statistics(**_asked(name, datetime.now(UTC)))
    peaks = [point["Maximum"] for point in found["Datapoints"]]
    yield name, max(peaks, default=None)


def _asked(function: str, now: datetime) -> dict[str, Any]:
    """CloudFront counts in one region, whose name is this."""
    return {
        "Namespace": "AWS/CloudFront",
        "MetricName": "FunctionComputeUtilization",
        "Dimensions": [{"Name": "FunctionName", "Value": function}, {"Name": "Region", "Value": "Global"}],
        "StartTime": now - _HOUR,
        "EndTime": now,
        "Period": 60,
        "Statistics": ["Maximum"],
    }


if __name__ == "__main__":
    main()
