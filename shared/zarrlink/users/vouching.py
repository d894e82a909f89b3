"""Servers that vouch for people whom we do not know: what they say of a token, and how long that is remembered."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from zarrlink.users.interface import User, hash_user_token

# So long may somebody go on who was turned away in the meantime.
REMEMBERED_S: Final = 120.0
# A reader with a wrong token asks for hundreds of chunks.
REFUSED_S: Final = 10.0
MOST_REMEMBERED: Final = 10_000
_STRIPES: Final = 64


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whose a token is, None for nobody's, and for how many seconds that may be taken for granted."""

    user: User | None
    seconds: float


NOBODY: Final = Vouched(None, REFUSED_S)


class Voucher(Protocol):
    """A server that vouches for people. Calls wait for it, in the thread of whoever asks."""

    def ask(self, token: str) -> Vouched:
        """Raises SignInUnavailable where it cannot be told."""
        ...


class RememberingVoucher:
    """A voucher that is asked once per token and time, however many requests come with it.

    Only hashes of tokens are kept, as of our own.
    """

    def __init__(
        self, voucher: Voucher, *, monotonic: Callable[[], float] = time.monotonic, most: int = MOST_REMEMBERED
    ) -> None:
        self._voucher = voucher
        self._monotonic = monotonic
        self._most = most
        self._known: OrderedDict[str, tuple[Vouched, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._asking = [threading.Lock() for _ in range(_STRIPES)]

    def at_hand(self, token: str) -> Vouched | None:
        """What is remembered of a token; None where somebody has to be asked."""
        return self._recall(hash_user_token(token))

    def ask(self, token: str) -> Vouched:
        """The same, having asked where nothing is remembered. Raises SignInUnavailable."""
        key = hash_user_token(token)
        with self._asking[int(key[:8], 16) % _STRIPES]:
            found = self._recall(key)
            if found is None:
                found = self._voucher.ask(token)
                self._keep(key, found)
        return found

    def _recall(self, key: str) -> Vouched | None:
        with self._lock:
            found, until = self._known.get(key, (None, 0.0))
            return found if self._monotonic() < until else None

    def _keep(self, key: str, found: Vouched) -> None:
        with self._lock:
            self._known[key] = (found, self._monotonic() + min(found.seconds, REMEMBERED_S))
            self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Vouchers:
    """Who vouches here; by default nobody. `personal`: for tokens in X-Auth-Token; `bearer`: for those in Authorization."""

    personal: RememberingVoucher | None = None
    bearer: RememberingVoucher | None = None
