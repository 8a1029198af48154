"""One timer for many: everybody is looked after when its time has come."""

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Wheel(Generic[T]):
    """Calls `visit(member, now)` at or after each member's time, within a tick.

    What it returns is when to come again (loop time), or None for no more; whose visit fails is
    visited no more. Adding, moving and removing a member cost the same however many there are.
    """

    def __init__(self, tick_s: float, visit: Callable[[T, float], float | None]) -> None:
        self._tick_s = tick_s
        self._visit = visit
        self._slots: dict[int, dict[T, None]] = {}
        self._slot_of: dict[T, int] = {}
        self._turned_to = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, member: T, when: float) -> None:
        """Visit a member at `when` (loop time), and not when it was to be visited before."""
        if self._timer is None:
            self._start()
        slot = max(int(when / self._tick_s), self._turned_to) + 1
        before = self._slot_of.get(member)
        if before == slot:
            return
        if before is not None:
            self._slots[before].pop(member, None)
        self._slot_of[member] = slot
        self._slots.setdefault(slot, {})[member] = None

    def remove(self, member: T) -> None:
        slot = self._slot_of.pop(member, None)
        if slot is not None:
            self._slots.get(slot, {}).pop(member, None)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._slots.clear()
        self._slot_of.clear()

    def turn(self, now: float) -> None:
        """Visit everybody whose time has come by `now` (loop time)."""
        last = int(now / self._tick_s)
        self._turned_to, first = max(last, self._turned_to), self._turned_to + 1
        for slot in range(first, last + 1):
            due = self._slots.get(slot, {})
            while due:  # a visit may add, move and remove anybody
                member, _ = due.popitem()
                self._slot_of.pop(member, None)
                self._call_on(member, now)
            self._slots.pop(slot, None)

    def _call_on(self, member: T, now: float) -> None:
        try:
            again = self._visit(member, now)
        except Exception:  # noqa: BLE001 - logged; the others are to be visited
            _log.exception("a visit failed")
            return
        if again is not None:
            self.add(member, again)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._turned_to = int(loop.time() / self._tick_s)
        self._timer = loop.call_later(self._tick_s, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._tick_s, self._tick)
        self.turn(loop.time())
