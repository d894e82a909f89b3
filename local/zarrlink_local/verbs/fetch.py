"""Fetching the result of a job: gone on with where it broke off, by this command or by the next one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NamedTuple

from zarrlink.errors import InvalidRequest
from zarrlink_local.remote import Api, ApiRefusal, Broken, Reply
from zarrlink_local.verbs.facts import Show
from zarrlink_local.verbs.received import check_free, put_in_place

# In a row, and without a byte in between.
_TRIES: Final = 5
_PAUSE_S: Final = 0.5


class Result(NamedTuple):
    """`address`: below /api. `run`: tells this content from any other. `length`: in bytes."""

    address: str
    run: str
    length: int


def fetch(api: Api, result: Result, path: Path, show: Show, *, replaces: bool) -> None:
    """Put a result there, whole. What has come before it broke off for good stays, hidden, for the next call.

    Raises InvalidRequest; Broken where the server does not answer for several tries.
    """
    check_free(path, replaces=replaces)
    draft = path.with_name(f".{path.name[:100]}.{result.run}.partial")
    idle = 0
    while (have := _length(draft)) != result.length:
        if have > result.length:
            draft.unlink()
            continue
        try:
            _go_on(api, result, draft, have, show)
        except Broken:
            idle = 0 if _length(draft) > have else idle + 1
            if idle >= _TRIES:
                raise
            time.sleep(_PAUSE_S * idle)
    put_in_place(draft, path, replaces=replaces)


def _go_on(api: Api, result: Result, draft: Path, have: int, show: Show) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        with api.open("GET", result.address, headers=headers) as reply:
            start = _start(reply)
            with draft.open("r+b" if draft.exists() else "xb") as file:
                file.truncate(start)
                file.seek(start)
                done = start
                show(done, result.length)
                for piece in reply.pieces():
                    done += file.write(piece)
                    if done > result.length:
                        raise InvalidRequest("the result is longer than the job tells")
                    show(done, result.length)
        if done < result.length:
            raise Broken("the server sent less than it told")
    except ApiRefusal as error:
        if error.status == 416:
            draft.unlink(missing_ok=True)
        raise


def _start(reply: Reply) -> int:
    """Where in the file the body begins: 0 where a range was asked for and the whole comes."""
    if reply.status != 206:
        return 0
    told = reply.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if not told.isdecimal():
        raise InvalidRequest("the server does not tell which part it sends")
    return int(told)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
