"""The locations of one ride on their way from its driver to its rider, and what became of them."""

import math
from collections.abc import Iterable
from typing import Final, Literal

from models.fields import Millis

HEARD_WITHIN_S: Final = 2.0
"""After this, a location that the rider knows neither itself nor by a newer one, is lost."""

End = Literal["driver", "rider"]


class Relay:
    """Times are in s, of one clock for both ends; a location is known by its `ts`.

    What counts as lost was due: sent on a ride that its rider looks at. The time runs while both
    ends are connected; a break at either end starts it again, since then the driver sends again
    what was not answered, and the rider is told the newest with its snapshot.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.heard = 0
        self.overtaken = 0
        """A newer one, or the snapshot's, was heard in time instead."""
        self.lost = 0
        self.doubled = 0
        self.out_of_order = 0
        self.foreign = 0
        """Heard, but never sent on this ride."""
        self.after_end = 0
        """Heard by a rider that had heard already that the ride is over."""
        self.latencies_s: list[float] = []
        self._earlier: set[Millis] = set()
        self._sent_at: dict[Millis, float] = {}
        self._due_by: dict[Millis, float] = {}
        """Of those that the rider does not know yet, oldest first."""
        self._not_due: set[Millis] = set()
        self._interrupted: set[Millis] = set()
        """Those that waited for a connection: how long they took says nothing."""
        self._newest: Millis = -1
        self._missing: set[End] = {"driver", "rider"}
        self._is_served = False

    @property
    def not_due(self) -> int:
        """Sent before the ride had its driver, refused, or on the way when it ended; not heard."""
        return len(self._not_due)

    def note_earlier(self, ts: Iterable[Millis]) -> None:
        """Sent before the ride: may be shown as the newest there is, but need not."""
        self._earlier.update(ts)

    def send(self, ts: Millis, now: float) -> None:
        """Sent, perhaps not for the first time."""
        if ts in self._sent_at:
            return
        self.sent += 1
        self._sent_at[ts] = now
        if self._missing:
            self._interrupted.add(ts)
        if self._is_served:
            self._due_by[ts] = self._deadline(now)
        else:
            self._not_due.add(ts)

    def refuse(self, refused: Iterable[Millis]) -> None:
        """The server did not take them: they need not arrive."""
        for ts in refused:
            if self._due_by.pop(ts, None) is not None:
                self._not_due.add(ts)

    def hear(self, ts: Millis, now: float) -> None:
        """An event that the rider got."""
        self._expire(now)
        if ts not in self._sent_at and ts not in self._earlier:
            self.foreign += 1
        elif ts == self._newest:
            self.doubled += 1
        elif ts < self._newest:
            self.out_of_order += 1
        else:
            self._take(ts, now)

    def read(self, ts: Millis, now: float) -> None:
        """The newest location as a snapshot has it."""
        self._expire(now)
        self._newest = max(self._newest, ts)
        self.overtaken += self._settle(ts)

    def begin(self) -> None:
        """The driver has the ride: from now on its locations are for the rider."""
        self._is_served = True

    def end(self, now: float) -> None:
        """The driver is about to end the ride: what is on its way need not arrive."""
        self._expire(now)
        self._is_served = False
        self._not_due.update(self._due_by)
        self._due_by.clear()

    def interrupt(self, end: End, now: float) -> None:
        """An end's connection is gone."""
        self._expire(now)
        self._missing.add(end)
        self._interrupted.update(self._due_by)
        self._due_by = dict.fromkeys(self._due_by, math.inf)

    def resume(self, end: End, now: float) -> None:
        """An end is there (again), and has done its part to be up to date."""
        self._expire(now)
        self._missing.discard(end)
        self._due_by = dict.fromkeys(self._due_by, self._deadline(now))

    def _take(self, ts: Millis, now: float) -> None:
        self._newest = ts
        if ts in self._earlier:
            return
        self.heard += 1
        if ts not in self._interrupted:
            self.latencies_s.append(now - self._sent_at[ts])
        self._not_due.discard(ts)
        self._due_by.pop(ts, None)
        self.overtaken += self._settle(ts)

    def _settle(self, ts: Millis) -> int:
        """The rider knows this one: how many it need not hear of any more."""
        known = [older for older in self._due_by if older <= ts]
        for older in known:
            del self._due_by[older]
        return len(known)

    def _expire(self, now: float) -> None:
        overdue = [ts for ts, due_by in self._due_by.items() if due_by < now]
        for ts in overdue:
            del self._due_by[ts]
        self.lost += len(overdue)

    def _deadline(self, now: float) -> float:
        return math.inf if self._missing else now + HEARD_WITHIN_S
