"""When a call is sent again: how often, after which pause, and when that would be wrong."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ridewire.calls import Call
from ridewire.errors import RateLimited, RidewireError, Unavailable, Unreachable

_REQUEST_TIMEOUT = 408
"""What did not arrive as a whole was not carried out either."""


@dataclass(frozen=True)
class Retries:
    """A call is sent at most `attempts` times, the last time at most `within_s` after the first.

    A pause is what the server asks for and a random part besides: at most `first_pause_s`, doubled
    with every attempt up to `longest_pause_s`, so that many clients do not come back together.
    """

    attempts: int = 4
    within_s: float = 20.0
    first_pause_s: float = 0.2
    longest_pause_s: float = 3.0


class Course:
    """One call on its way."""

    def __init__(
        self, call: Call[Any], rules: Retries, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` tells the time in seconds."""
        self._call = call
        self._rules = rules
        self._clock = clock
        self._begun = clock()
        self._failed = 0
        self._widest = rules.first_pause_s

    def pause_after(self, failure: RidewireError) -> float:
        """Seconds until the next attempt. Raises the failure where there is none."""
        self._failed += 1
        pause_s = self._pause(failure)
        over_at = self._begun + self._rules.within_s
        if (
            self._failed >= self._rules.attempts
            or not may_repeat(self._call, failure)
            or self._clock() + pause_s > over_at
        ):
            raise failure
        return pause_s

    def _pause(self, failure: RidewireError) -> float:
        widest = min(self._widest, self._rules.longest_pause_s)
        self._widest = 2 * widest
        jitter = random.uniform(0, widest)  # noqa: S311
        return (failure.retry_after or 0) + jitter


def may_repeat(call: Call[Any], failure: RidewireError) -> bool:
    """Whether to send a call again: it was not carried out, or a second time does no harm."""
    if isinstance(failure, Unreachable | RateLimited) or failure.status == _REQUEST_TIMEOUT:
        return True
    return call.repeatable and isinstance(failure, Unavailable)
