"""Checks a zarrlink from outside, deployed or on this machine, as readers of a link will meet it.

    smoke.py ADDRESS

ADDRESS is a link's: https://.../zarr/TOKEN/. One line a check, which says what was expected and what came. Exit status:
0 if all hold, 1 if one does not, 2 where there is nothing to check (no such address, nobody there, a dead link).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from smoke_checks import Check, checks
from smoke_client import BadAddress, Client, Failed, find_site, read_facts


def main() -> None:
    address = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        client = Client(address)
        try:
            failed = run(client)
        finally:
            client.close()
    except BadAddress as error:
        print(f"smoke: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"smoke: nothing answers there: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(1 if failed else 0)


def run(client: Client) -> int:
    """How many checks failed. Raises OSError where the first request reaches nobody, BadAddress for a dead link."""
    held = failed = 0
    for name, fault in results(client):
        print(f"ok      {name}" if fault is None else f"FAILED  {name}: {fault}", flush=True)
        held, failed = (held + 1, failed) if fault is None else (held, failed + 1)
    print(f"{held} ok, {failed} failed")
    return failed


def results(client: Client) -> Iterator[tuple[str, str | None]]:
    """Each check's name, and what was wrong."""
    # Outside of `fault_of`: what cannot be reached at all is no failed check.
    try:
        facts = read_facts(client)
    except (Failed, ValueError) as error:
        yield "page: facts as JSON by Accept", _said(error)
        return
    yield "page: facts as JSON by Accept", None
    try:
        site = find_site(client, facts)
    except (Failed, OSError, ValueError, LookupError, TypeError) as error:
        yield "layer: metadata and a stored chunk are found", _said(error)
        return
    yield "layer: metadata and a stored chunk are found", None
    for name, check in checks(site):
        yield name, fault_of(check)


def fault_of(check: Check) -> str | None:
    """What was wrong; None where the check holds."""
    try:
        check()
    except (Failed, OSError) as error:
        return _said(error)
    return None


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, Failed) else f"expected an answer that fits, got {error!r}"


if __name__ == "__main__":
    main()
