"""How a reading ended. Only a `Complete` one says anything by what it does not hold."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Complete:
    """Everything was read: what is absent is gone, unless `doubt` says why that may be the server's fault."""

    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Partial:
    """Something is missing or in doubt: what was read may add and change; nothing may be removed by absence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing that was read may be used. `may_pass`: another try, perhaps on another server, may succeed."""

    reason: str
    may_pass: bool = False


Outcome = Complete | Partial | Failed
