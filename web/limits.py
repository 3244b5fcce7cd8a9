"""Token buckets in memory: how often somebody may do something. They stop loops, in this one process."""

import math
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

Timer = Callable[[], float]
"""Seconds that only ever grow, from any beginning."""

_MOST_KEYS = 10_000


class RateLimit:
    """A bucket for each key, which holds `burst` and is refilled by `rate` a second. Safe between threads.

    At most `capacity` keys are remembered. The one longest unseen is forgotten first, and begins with a full bucket
    when it comes again; so memory is bounded, however many addresses somebody invents.
    """

    def __init__(self, *, rate: float, burst: int, timer: Timer, capacity: int = _MOST_KEYS) -> None:
        if rate <= 0 or burst < 1 or capacity < 1:
            raise ValueError(f"a limit needs a rate, a burst and a capacity, not {rate}, {burst}, {capacity}")
        self._rate = rate
        self._burst = float(burst)
        self._timer = timer
        self._capacity = capacity
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, key: str) -> int:
        """Take one from the key's bucket: 0, or the whole seconds after which there is one again."""
        now = self._timer()
        with self._lock:
            left, seen = self._buckets.pop(key, (self._burst, now))
            left = min(self._burst, left + (now - seen) * self._rate)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, now)
            if len(self._buckets) > self._capacity:
                self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1 - left) / self._rate))
