"""What one client has yet to hear from one source, in order."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from bench.load.record import Record

E = TypeVar("E")
R = TypeVar("R")


class Awaited(Generic[R, E]):
    """Deliveries under way. One that overtakes another shows that the other is lost.

    While the client is away they need not arrive; those that still do have to be right.
    """

    __slots__ = ("_is", "_kind", "_queue", "_record", "_taken", "_until", "is_away")

    def __init__(self, kind: str, record: Record, is_it: Callable[[R, E], bool]) -> None:
        """`is_it(received, expected)`; `kind` names what is delivered, for the notes."""
        self.is_away = False
        self._kind = kind
        self._record = record
        self._is = is_it
        self._queue: deque[tuple[E, float]] = deque()
        self._taken = 0
        """How many have left the queue."""
        self._until = 0
        """So many from the first on were under way during an absence."""

    @property
    def missing(self) -> int:
        """How many are under way that have to arrive."""
        return 0 if self.is_away else max(0, len(self._queue) - max(0, self._until - self._taken))

    def expect(self, expected: E, at: float) -> None:
        """`at` is when it was to be sent."""
        self._queue.append((expected, at))

    def leave(self) -> None:
        self.is_away = True

    def come_back(self) -> None:
        """From what is sent next on, everything has to arrive."""
        self._until = self._taken + len(self._queue)
        self.is_away = False

    def arrived(self, received: R) -> float | None:
        """When what has arrived was to be sent; None for what was not waited for."""
        for place, (expected, at) in enumerate(self._queue):
            if self._is(received, expected):
                self._pass_over(place)
                return at if self._take() else None
        self._record.is_wrong(f"{self._kind} that was not sent, or not now")
        return None

    def _pass_over(self, count: int) -> None:
        lost = sum(self._take() for _ in range(count))
        self._record.is_missing(f"{self._kind} overtaken by a later one", lost)

    def _take(self) -> bool:
        """Take the first; whether it had to arrive."""
        self._queue.popleft()
        self._taken += 1
        return not self.is_away and self._taken > self._until
