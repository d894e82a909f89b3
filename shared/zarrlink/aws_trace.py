"""Calls of AWS's services as subsegments of a function's trace, sent the way that X-Ray's daemon beside each function takes them.

Without the X-Ray SDK, which would be most of a cold start. Where there is no daemon, or the event is none of those that are traced,
nothing is sent. What is told of a call is its service, operation, time and outcome: no names of tables, keys or objects.
Source: AWS X-Ray developer guide, "Sending trace data" and "Segment documents".
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from typing import Any, Final

DAEMON: Final = "AWS_XRAY_DAEMON_ADDRESS"
# Lambda sets it anew for each event.
TRACE: Final = "_X_AMZN_TRACE_ID"
_HEADER: Final = b'{"format": "json", "version": 1}\n'
_STARTED: Final = "zarrlink_started_s"
_THROTTLED: Final = 429
_FAULT: Final = 500


def trace_calls(client: Any) -> None:
    """Have every call of a botocore client told, its repetitions in one."""
    events = client.meta.events
    events.register("before-call", _begin)
    events.register("after-call", _end)
    events.register("after-call-error", _break_off)


def _begin(context: dict[str, Any], **_others: Any) -> None:
    context[_STARTED] = time.time()


def _end(http_response: Any, model: Any, context: dict[str, Any], **_others: Any) -> None:
    status = int(http_response.status_code)
    outcome: dict[str, Any] = {"http": {"response": {"status": status}}}
    if status >= _FAULT:
        outcome["fault"] = True
    elif status == _THROTTLED:
        outcome |= {"error": True, "throttle": True}
    elif status >= 400:
        outcome["error"] = True
    _tell(model.service_model.service_id, model.name, context, outcome)


def _break_off(context: dict[str, Any], event_name: str = "", **_others: Any) -> None:
    """No answer at all. The event's name is after-call-error.SERVICE.OPERATION."""
    _, service, operation = event_name.split(".", 2)
    _tell(service, operation, context, {"fault": True})


def _tell(service: str, operation: str, context: dict[str, Any], outcome: dict[str, Any]) -> None:
    parts = dict(part.partition("=")[::2] for part in os.environ.get(TRACE, "").split(";"))
    host, _, port = os.environ.get(DAEMON, "").rpartition(":")
    if parts.get("Sampled") != "1" or not host or _STARTED not in context:
        return
    document = {
        "type": "subsegment",
        "id": secrets.token_hex(8),
        "trace_id": parts.get("Root", ""),
        "parent_id": parts.get("Parent", ""),
        "name": service,
        "namespace": "aws",
        "start_time": context[_STARTED],
        "end_time": time.time(),
        "aws": {"operation": operation},
        **outcome,
    }
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(_HEADER + json.dumps(document).encode(), (host, int(port)))
    except OSError:
        # Nobody is to fail because nobody watches.
        return
