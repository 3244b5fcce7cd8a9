"""Spares a receiver that does not answer, and everybody else its silence: one breaker for each host."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FAILURES: Final = 3
_OPEN_SECONDS: Final = 30.0
_AT_ONCE: Final = 4


@dataclass(slots=True)
class _Host:
    failures: int = 0
    open_until: float = 0.0
    busy: int = 0


class Breakers:
    """Who may be sent to now. `timer` counts seconds. Safe between threads.

    No host has more than four deliveries at once, and behind a failure one, so that those that hang leave room for
    the others. Behind three failures in a row nothing is sent for half a minute, then one delivery tries.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def enter(self, name: str) -> bool:
        """Whether a delivery may begin; `leave` must follow."""
        with self._lock:
            host = self._hosts.setdefault(name, _Host())
            if host.failures >= _FAILURES and self._timer() < host.open_until:
                return False
            if host.busy >= (1 if host.failures else _AT_ONCE):
                return False
            host.busy += 1
            return True

    def leave(self, name: str, *, has_failed: bool | None) -> None:
        """The delivery is over. None: nothing was sent."""
        with self._lock:
            host = self._hosts[name]
            host.busy -= 1
            if has_failed:
                host.failures += 1
                host.open_until = self._timer() + _OPEN_SECONDS
            elif has_failed is False:
                host.failures = 0
            if not host.busy and not host.failures:
                del self._hosts[name]
