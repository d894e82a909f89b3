"""The `EdgeStore` protocol: what the edge looks links and keys up in (`zarrlink.edge.entries`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

Decide = Callable[[Sequence[str], float], Mapping[str, str | None]]
"""(keys, share of the store's room that is taken, 0 to 1) -> what each of these keys is to hold, None: nothing.

Keys that it does not name stay as they are.
"""


class EdgeStore(Protocol):
    """Texts by key. Every call raises SourceUnavailable where the store refuses, fails or is not there.

    `room_bytes`: what fits in, None for any amount.
    """

    @property
    def room_bytes(self) -> int | None: ...

    def entries(self) -> dict[str, str]:
        """All that it holds. What others change meanwhile may be missing or not."""
        ...

    def change(self, keys: Sequence[str], decide: Decide) -> None:
        """Have these keys hold what `decide` says, which is asked for some of them at a time.

        It is asked again wherever another writer came in between: so what is written was decided by facts that are not
        older than anything that the store held. Some may be written and others not where this raises.
        """
        ...
