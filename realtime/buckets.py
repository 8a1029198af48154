"""Token buckets: how much of something one client may do at once, and after that per second."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from msgspec import Struct

BURST_S: Final = 10
"""How many seconds' worth a full bucket holds: what a phone has to say that was away."""
MOST_KEPT: Final = 50_000
"""Buckets of each half of a `Buckets`."""

Ticks = Callable[[], float]
"""A time in seconds that only grows."""


class Rate(Struct, frozen=True):
    """How fast a bucket fills, and how much it holds."""

    per_s: float
    most: float
    ticks: Ticks

    @classmethod
    def of(cls, per_s: float, burst_s: float = BURST_S, ticks: Ticks = monotonic) -> "Rate":
        return cls(per_s, per_s * burst_s, ticks)


class Bucket:
    """Full in the beginning. Costs a comparison and a subtraction as long as something is left.

    By itself it fills only when it is empty, so after a long pause there may be what was left
    before the pause and a full bucket besides. Who needs it exactly calls `fill` before.
    """

    __slots__ = ("_filled_at", "_left", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._left = rate.most
        self._filled_at = rate.ticks()

    def take(self, tokens: float = 1) -> bool:
        """Whether there was a token left. What costs more than is left is owed."""
        if self._left < 1:
            self.fill()
            if self._left < 1:
                return False
        self._left -= tokens
        return True

    def give(self) -> None:
        """Put one back."""
        self._left = min(self._rate.most, self._left + 1)

    def lower(self, left: float) -> None:
        """Have no more in it than this, which may be less than nothing."""
        self._left = min(self._left, left)

    def fill(self) -> None:
        """Put in what came since the last time."""
        rate, now = self._rate, self._rate.ticks()
        self._left = min(rate.most, self._left + (now - self._filled_at) * rate.per_s)
        self._filled_at = now

    @property
    def left(self) -> float:
        """What was in it when it was filled or taken from last; below zero, what is owed."""
        return self._left

    @property
    def retry_after_ms(self) -> int:
        """When an empty one has a token again."""
        return max(1, round((1 - self._left) / self._rate.per_s * 1_000))


class Buckets:
    """A bucket for each key, forgotten once it must be full again, or when there are too many.

    Those in use are in the younger half. As often as a bucket takes to fill that owes as much as it
    holds, or when it is large, it becomes the older one, and what is in the older one then goes.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._young: dict[str, Bucket] = {}
        self._old: dict[str, Bucket] = {}
        self._aged_at = rate.ticks()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def of(self, key: str) -> Bucket:
        found = self._young.get(key)
        if found is None:
            self._age()
            found = self._old.pop(key) if key in self._old else Bucket(self._rate)
            self._young[key] = found
        found.fill()
        return found

    def _age(self) -> None:
        rate, now = self._rate, self._rate.ticks()
        if now - self._aged_at >= 2 * rate.most / rate.per_s or len(self._young) >= MOST_KEPT:
            self._young, self._old = {}, self._young
            self._aged_at = now
