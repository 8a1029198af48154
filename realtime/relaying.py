"""How long locations are under way, from their receipt to the sockets of those who look."""

import asyncio
import time
from collections import defaultdict
from typing import Final

from models.fields import Millis
from realtime.counting import Spread

LOCAL: Final = "local"
"""Received by this process."""
BUS: Final = "bus"
"""Received by another one, and then through Redis."""

_STEP_S: Final = 0.001
"""Of the clock that tells when something was received."""
Deliveries = defaultdict[Millis, int]
"""How many of this turn's, by when their locations were received, to the millisecond."""


class Relay:
    """Counts deliveries of locations, and observes them together once in a turn of the event loop.

    A delivery is one location for one client. What was received in the turn in which it leaves has
    taken as long as the turn, from its first delivery on, so that no clock is read for it. The time
    of all others runs from their receipt; where that was another process', by that one's clock.
    """

    __slots__ = ("_arrived", "_shown", "_spread", "_total")

    def __init__(self, spread: Spread) -> None:
        self._shown: Deliveries = Deliveries(int)
        """Of locations that this process received."""
        self._arrived: Deliveries = Deliveries(int)
        """Of those that others received."""
        self._spread = spread
        self._total = 0

    @property
    def deliveries(self) -> int:
        """All there ever were."""
        return self._total + sum(self._shown.values()) + sum(self._arrived.values())

    def shown(self, seen_at: Millis, count: int) -> None:
        """A location that this process received then was written to so many."""
        if not self._shown:
            asyncio.get_running_loop().call_soon(self._observe_shown, time.perf_counter())
        self._shown[seen_at] += count

    def arrived(self, seen_at: Millis, count: int) -> None:
        """A location that another process received then, by its clock."""
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._observe_arrived)
        self._arrived[seen_at] += count

    def _observe_shown(self, began: float) -> None:
        """What was written in the turn that began then (`time.perf_counter`) has left."""
        turn_s = time.perf_counter() - began
        self._observe(self._shown, LOCAL, turn_s, turn_s + _STEP_S)

    def _observe_arrived(self) -> None:
        self._observe(self._arrived, BUS, 0, 0)  # clocks differ: none arrives before it left

    def _observe(self, deliveries: Deliveries, origin: str, turn_s: float, fresh_s: float) -> None:
        """What is no older than `fresh_s` has taken as long as the turn."""
        now = time.time_ns() / 1_000_000
        for seen_at, count in deliveries.items():
            seconds = (now - seen_at) / 1000
            self._spread.observe(turn_s if seconds <= fresh_s else seconds, origin, count)
            self._total += count
        deliveries.clear()
