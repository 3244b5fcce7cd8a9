"""A figure and how it is taken: the median of interleaved rounds, in processes of their own where memory counts."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `ok` says that it keeps its bound; one that is not firm is for orientation only."""

    name: str
    value: float
    unit: str
    bound: float
    ok: bool
    is_firm: bool = True


def at_most(name: str, value: float, unit: str, bound: float) -> Figure:
    return Figure(name, round(value, 3), unit, bound, value <= bound)


def at_least(name: str, value: float, unit: str, bound: float) -> Figure:
    return Figure(name, round(value, 3), unit, bound, value >= bound)


def as_orientation(figure: Figure) -> Figure:
    """The same for orientation: to miss it is no failure."""
    return replace(figure, is_firm=False)


def show(figure: Figure) -> bool:
    """Print the figure's line; whether it keeps its bound, if it is firm."""
    line = asdict(figure)
    if line.pop("is_firm"):
        print(json.dumps(line), flush=True)
        return figure.ok
    print(json.dumps(line | {"orientation": True}), flush=True)
    return True


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def cpu_seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def interleave(
    actions: Sequence[Callable[[], object]],
    *,
    rounds: int,
    clock: Callable[[Callable[[], object]], float] = seconds,
) -> list[float]:
    """The median of each action, all of them measured in turn in every round."""
    taken: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds):
        for times, action in zip(taken, actions, strict=True):
            times.append(clock(action))
    return [statistics.median(times) for times in taken]


def memory_mb(kind: str = "VmHWM") -> float:
    """The peak (`VmHWM`) or present (`VmRSS`) memory of this process.

    Not `ru_maxrss`: in a process that was just started it still counts what its parent held.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == kind:
            return int(value.split()[0]) / 1024
    raise LookupError(kind)


def in_own_process(module: str, *arguments: str) -> dict[str, Any]:
    """Run `python -m module` and read the one JSON object that it prints last."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], check=True, capture_output=True, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
