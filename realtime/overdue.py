"""Answers that are waited for, but no longer than a client may be kept waiting."""

import asyncio
from collections import deque
from collections.abc import Callable

Told = Callable[[bool], None]
"""Is told whether it came about. It may not fail."""


class _Answer:
    """Passed on once."""

    __slots__ = ("_told",)

    def __init__(self, told: Told) -> None:
        self._told: Told | None = told

    def __call__(self, has_happened: bool) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(has_happened)


class Overdue:
    """Says no in the place of who has not answered in time. One timer serves all."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._waiting: deque[tuple[float, _Answer]] = deque()

    def bound(self, told: Told) -> Told:
        """What is to be told instead: in time, or it comes too late and is left out."""
        loop = asyncio.get_running_loop()
        answer = _Answer(told)
        if not self._waiting:
            loop.call_later(self._within_s, self._give_up)
        self._waiting.append((loop.time() + self._within_s, answer))
        return answer

    def _give_up(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time():
            self._waiting.popleft()[1](False)
        if self._waiting:
            loop.call_at(self._waiting[0][0], self._give_up)
