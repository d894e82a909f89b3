"""A server killed at random under load: a short share of what `make faults` does for a minute."""

from __future__ import annotations

from pathlib import Path
from random import Random

from faults.killed import EXPORTED, IMPORTED, LINKS, READ, Site, check, use


def test_nothing_that_was_answered_is_lost_by_a_server_that_is_killed(tmp_path: Path) -> None:
    site = Site(tmp_path, Random(1))
    try:
        use(site, 3)
        assert site.lives > 1
        assert min(site.counts[what] for what in (LINKS, READ, IMPORTED, EXPORTED)) > 0
        check(site)
    finally:
        site.end()
