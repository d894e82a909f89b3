"""The application of `zarrlink serve`, made by a factory, as granian wants it."""

from __future__ import annotations

import os
from pathlib import Path

from zarrlink.http.asgi import Door
from zarrlink_local.machine import open_machine
from zarrlink_local.server import create_app


def create() -> Door:
    return create_app(open_machine(Path(os.environ["ZARRLINK_STATE"])), "http://127.0.0.1")
