"""Services that fail when they are told to: throttled tables, a store that is out of order, answers that take too long.

PUT /_zarrlink/faults takes a list of them, DELETE ends them all, GET tells which are left. A function meets them at the
wire, as AWS's own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

PATH: Final = "/_zarrlink/faults"
# Longer than whatever waits.
_LONGEST_S: Final = 60.0


@dataclass(slots=True)
class Fault:
    """What happens to requests of one operation, `times` times, or until it is ended.

    `of`: text in the name of the table, bucket or key that is asked for. `delay_s`: before anything else. `code` and
    `status`: the error that is answered; without a code the request goes on.
    """

    service: str
    operation: str
    of: str = ""
    code: str = ""
    status: int = 400
    delay_s: float = 0
    times: int | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises TypeError for a field that there is not, ValueError for a delay that is too long."""
        fault = cls(**value)
        if not 0 <= fault.delay_s <= _LONGEST_S:
            raise ValueError(f"a delay has 0 to {_LONGEST_S:.0f} seconds, not {fault.delay_s}")
        return fault

    def concerns(self, service: str, operation: str, request: Mapping[str, Any]) -> bool:
        if (service, operation) != (self.service, self.operation):
            return False
        return any(self.of in str(request.get(name, "")) for name in ("TableName", "Bucket", "Key"))


class Faults:
    """Those that are set, for however many threads ask."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._turn = threading.Lock()

    def put(self, faults: Sequence[Fault]) -> None:
        """In place of those before."""
        with self._turn:
            self._faults = list(faults)

    def left(self) -> list[Fault]:
        with self._turn:
            return list(self._faults)

    def take(self, service: str, operation: str, request: Mapping[str, Any]) -> Fault | None:
        """The first that concerns a request; it counts as used."""
        with self._turn:
            fault = next((it for it in self._faults if it.concerns(service, operation, request)), None)
            if fault is not None and fault.times is not None:
                fault.times -= 1
                if fault.times < 1:
                    self._faults.remove(fault)
            return fault

    def meet(self, service: str, operation: str, request: Mapping[str, Any]) -> Fault | None:
        """Wait as a fault says, and give the one that is to be answered."""
        fault = self.take(service, operation, request)
        if fault is None:
            return None
        time.sleep(fault.delay_s)
        return fault if fault.code else None
