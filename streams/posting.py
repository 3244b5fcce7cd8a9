"""One request to a destination, and what its answer means. Of an answer no more than its beginning is read."""

from collections.abc import Callable, Mapping
from typing import Final

from provisioning.ports import Clock
from streams.outcomes import Outcome, Verdict, judge
from web.outgoing import Answer, Outgoing, OutgoingError

ANSWER_BYTES: Final = 4096
_NEVER: Final = frozenset({"url", "address"})


class Poster:
    """Posts for one destination. Safe between threads."""

    def __init__(self, outgoing: Outgoing, clock: Clock) -> None:
        self._outgoing = outgoing
        self._clock = clock

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """What came back, by its status alone."""
        return self.ask(url, body, headers)[0]

    def ask(
        self, url: str, body: bytes, headers: Mapping[str, str], *, max_bytes: int = ANSWER_BYTES
    ) -> tuple[Outcome, Answer | None]:
        """The same with the answer, for those who must look into it."""
        return self._exchange(
            lambda: self._outgoing.post(url, body, max_bytes=max_bytes, headers=headers, cut=True)
        )

    def put(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[Outcome, Answer | None]:
        """Store under an address, for those who look into the answer."""
        return self._exchange(
            lambda: self._outgoing.put(url, body, max_bytes=ANSWER_BYTES, headers=headers, cut=True)
        )

    def head(self, url: str, headers: Mapping[str, str]) -> tuple[Outcome, Answer | None]:
        """Ask what is at an address."""
        return self._exchange(lambda: self._outgoing.head(url, headers=headers))

    def _exchange(self, send: Callable[[], Answer]) -> tuple[Outcome, Answer | None]:
        try:
            answer = send()
        except OutgoingError as error:
            verdict = Verdict.REFUSED if error.code in _NEVER else Verdict.LATER
            return Outcome(verdict, str(error)), None
        return judge(answer.status, answer.headers, self._clock()), answer
