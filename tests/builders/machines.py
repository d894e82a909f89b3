"""A machine with a dataset and users, as its own server would find it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from builders.wkw_files import Objects, write_tree
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below


def machine_with(folder: Path, mouse: Objects, users: Sequence[str] = ("ann", "bob")) -> Machine:
    """`mouse` lies in `data/mouse` of the folder and is registered; the token of a user is `NAME-token`."""
    write_tree(mouse, folder / "data" / "mouse")
    machine = open_machine(folder / "state.sqlite")
    register_below(folder / "data", machine.catalogue, 1, pytest.fail)
    for name in users:
        machine.users.add(User(name, 1), hash_user_token(f"{name}-token"))
    return machine
