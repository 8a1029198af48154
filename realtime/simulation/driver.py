"""A driver's app: reports where the vehicle is all the time, and takes the rides it is offered."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
from aiohttp import ClientSession

from handlers.answers import Located, SessionReady
from models.commands import DRIVER_LOCATION, MAX_POINTS
from models.facts import TripStatus
from models.fields import Id, Millis, Number
from models.points import Point
from models.trips import Offer
from realtime.app import now as wall_clock
from realtime.simulation.app import App
from realtime.simulation.course import Course, Fix
from realtime.simulation.faults import CLEAN_POINTS, Disturbance
from realtime.simulation.link import Account
from realtime.simulation.relay import Relay
from realtime.simulation.tally import Tally

_KNOWN_ALREADY: Final = frozenset({"duplicate", "stale"})
"""Why a point that is sent again may be refused."""
_DISTURBED: Final = _KNOWN_ALREADY | {"implausible"}
"""And why one of a disturbed phone."""
_PLACES: Final = 6
"""Decimal places of a degree that a phone gives: a tenth of a metre."""


class DriverApp(App):
    """What it measures offline it keeps and sends as one list, newest last, when it is back."""

    def __init__(
        self,
        account: Account,
        tally: Tally,
        http: ClientSession,
        disturbance: Disturbance | None = None,
    ) -> None:
        """With a disturbance, points are disturbed on their way, and some are refused."""
        super().__init__(account, tally, http)
        self._disturbance = disturbance
        self._relay: Relay | None = None
        """Of the ride that it serves."""
        self._is_behind = False
        """Whether points from before the present connection are to be sent first."""
        self._course: Course | None = None
        self._departure = 0.0
        self._offers: asyncio.Queue[Id] = asyncio.Queue()
        self._unanswered: dict[Number, Point] = {}
        self._sent: deque[Millis] = deque(maxlen=MAX_POINTS)
        """The last points' times."""
        self._ts = 0
        self._seq = 0

    @property
    def unanswered_points(self) -> int:
        return len(self._unanswered)

    def serve(self, relay: Relay) -> None:
        """From now on the points may be a ride's locations."""
        self._relay = relay
        relay.note_earlier(self._sent)

    async def leave(self, trip_id: Id) -> None:
        await super().leave(trip_id)
        self._relay = None

    async def offered(self, trip_id: Id) -> None:
        """Wait until this trip was offered."""
        while await self._offers.get() != trip_id:
            pass

    def depart(self, course: Course) -> None:
        """Follow a course from now on."""
        self._course = course
        self._departure = time.perf_counter() - course.start_s

    async def report(self, rate_hz: float) -> None:
        """Send a point at every tick, until cancelled. A tick that was missed is left out."""
        due = time.perf_counter()
        while True:
            if self._course is not None:
                await self._report(self._course.at(time.perf_counter() - self._departure))
            due = max(due + 1 / rate_hz, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())

    async def surface(self) -> None:
        """Send what was held back, and then where the car stands, undisturbed."""
        if self._disturbance is None or self._course is None:
            return
        fix = self._course.at(time.perf_counter() - self._departure)
        clean = [self._point(fix) for _ in range(CLEAN_POINTS)]
        await self._send_new([*self._disturbance.released(), *clean])

    async def _report(self, fix: Fix) -> None:
        point = self._point(fix)
        if self._disturbance is None:
            await self._send_new([point])
            return
        for points in self._disturbance.disturb(point):
            await self._send_new(points)

    async def _send_new(self, points: Sequence[Point]) -> None:
        for point in points:
            self._unanswered[point.seq] = point
            if len(self._unanswered) > MAX_POINTS:
                del self._unanswered[next(iter(self._unanswered))]
        if self.link.is_up and not self._is_behind:
            await self._send(points, again=False)

    def _point(self, fix: Fix) -> Point:
        self._seq += 1
        self._ts = max(wall_clock(), self._ts + 1)
        return Point(
            lat=round(fix.lat, _PLACES),
            lng=round(fix.lng, _PLACES),
            ts=self._ts,
            seq=self._seq,
            heading=round(fix.heading, 1) % 360,
            speed=round(fix.speed, 2),
            accuracy=fix.accuracy,
        )

    async def _send(self, points: Sequence[Point], *, again: bool) -> None:
        if self._relay is not None:
            now = time.perf_counter()
            for point in points:
                self._relay.send(point.ts, now)
        self._sent.extend(point.ts for point in points)
        self._tally.points["sent"] += len(points)
        payload = msgspec.to_builtins(points if again or len(points) > 1 else points[0])
        await self.link.emit(DRIVER_LOCATION, payload, partial(self._located, points, again))

    def _located(self, points: Sequence[Point], again: bool, data: object) -> None:
        for point in points:
            self._unanswered.pop(point.seq, None)
        try:
            located = msgspec.convert(data, Located)
        except msgspec.ValidationError:
            self._tally.errors[f"{DRIVER_LOCATION}: refused"] += 1
            return
        self._tally.points["accepted"] += located.accepted
        expected = _DISTURBED if self._disturbance else _KNOWN_ALREADY if again else frozenset()
        for rejection in located.rejected:
            self._tally.points[rejection.code] += 1
            if rejection.code not in expected:
                self._tally.errors[f"{DRIVER_LOCATION}: a point is {rejection.code}"] += 1
        if self._relay is not None and located.rejected:
            refused = {rejection.seq for rejection in located.rejected}
            self._relay.refuse(point.ts for point in points if point.seq in refused)

    def _begin_session(self, ready: SessionReady) -> None:
        super()._begin_session(ready)
        for trip in ready.trips:
            self._note_offer(trip.id, trip.offer)
        if self._is_behind:
            self._tasks.start(self._send_what_is_left())

    async def _send_what_is_left(self) -> None:
        self._is_behind = False
        if points := list(self._unanswered.values()):
            await self._send(points, again=True)
        if self._relay is not None and self.link.is_up:
            self._relay.resume("driver", time.perf_counter())

    def _be_offline(self) -> None:
        self._is_behind = True
        if self._relay is not None:
            self._relay.interrupt("driver", time.perf_counter())

    def _hear_status(self, status: TripStatus) -> None:
        super()._hear_status(status)
        self._note_offer(status.trip_id, status.offer)

    def _note_offer(self, trip_id: Id, offer: Offer | None) -> None:
        if offer is not None and offer.driver_id == self.user_id:
            self._offers.put_nowait(trip_id)
