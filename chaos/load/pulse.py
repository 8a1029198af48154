"""The load's own clock: when it was due to do something and did not get to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec import Struct

from chaos.load.record import now

BEAT_S: Final = 0.05
LATE_S: Final = 0.1
"""How late a beat may be without being noted."""


class Interval(Struct, frozen=True):
    """From a time to another, by `now()`."""

    begin: float
    end: float


class Pulse:
    """Beats, and notes the times in which it did not: the machine was busy or asleep."""

    def __init__(self) -> None:
        self.stalls: list[Interval] = []

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _beat(self) -> None:
        while True:
            due = now() + BEAT_S
            await asyncio.sleep(BEAT_S)
            if (came := now()) > due + LATE_S:
                self.stalls.append(Interval(due, came))
