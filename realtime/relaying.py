"""How long locations are under way, from their receipt to the sockets of those who look."""

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
    taken as long as the turn, from its first write on, so that no clock is read for it. The time
    of all others runs from their receipt; where that was another process', by that one's clock.
    """

    __slots__ = ("_spread", "_total", "arrived", "shown")

    def __init__(self, spread: Spread) -> None:
        self.shown: Deliveries = Deliveries(int)
        """Of locations that this process received."""
        self.arrived: Deliveries = Deliveries(int)
        """Of those that others received."""
        self._spread = spread
        self._total = 0

    @property
    def deliveries(self) -> int:
        """All there ever were."""
        return self._total + sum(self.shown.values()) + sum(self.arrived.values())

    def sent(self, began: float) -> None:
        """What was written in the turn that began then (`time.perf_counter`) has left."""
        if self.shown:
            turn_s = time.perf_counter() - began
            self._observe(self.shown, LOCAL, turn_s, turn_s + _STEP_S)
        if self.arrived:
            self._observe(self.arrived, BUS, 0, 0)  # clocks differ: none arrives before it left

    def settle(self, *, is_leaving: bool) -> None:
        """Between two turns: what is left went to clients that poll, at no moment of its own.

        Unless something `is_leaving` with the end of this turn, and is observed then.
        """
        if is_leaving:
            return
        self._total = self.deliveries
        self.shown.clear()
        self.arrived.clear()

    def _observe(self, deliveries: Deliveries, origin: str, turn_s: float, fresh_s: float) -> None:
        """What is no older than `fresh_s` has taken as long as the turn."""
        now = time.time_ns() / 1_000_000
        for seen_at, count in deliveries.items():
            seconds = (now - seen_at) / 1000
            self._spread.observe(turn_s if seconds <= fresh_s else seconds, origin, count)
            self._total += count
        deliveries.clear()
