"""One ride from the rider's request to its end, with chat: what the apps and a dispatcher do."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from random import Random
from typing import Final

from msgspec import Struct

from handlers.answers import TripIs
from models.commands import TripCreate, TripUpdate
from models.fields import Id, new_id
from models.points import Place
from models.trips import Status
from realtime.simulation.app import App
from realtime.simulation.course import Course, Journey
from realtime.simulation.dispatcher import Dispatcher
from realtime.simulation.driver import DriverApp
from realtime.simulation.link import CommandFailed
from realtime.simulation.record import RideRecord
from realtime.simulation.rider import RiderApp
from realtime.simulation.tally import Tally

OFFERED_WITHIN_S: Final = 10.0
CHAT_PAUSE_S: Final = (2.0, 9.0)
RIDER_SAYS: Final = (
    "I am at the corner, in a blue coat.",
    "There is a bag with me, is that fine?",
    "Could you turn the music down, please?",
    "The entrance is on the left side.",
)
DRIVER_SAYS: Final = (
    "On my way.",
    "Two minutes, there is some traffic.",
    "Yes, no problem.",
    "We are nearly there.",
)


class Crew(Struct, frozen=True):
    """Who takes part in the rides of one driver."""

    rider: RiderApp
    driver: DriverApp
    dispatcher: Dispatcher


class Ride:
    """`closing` is set when the run is over: then what is left of the way is not driven."""

    def __init__(
        self, crew: Crew, journey: Journey, tally: Tally, closing: asyncio.Event, rng: Random
    ) -> None:
        self._rider = crew.rider
        self._driver = crew.driver
        self._dispatcher = crew.dispatcher
        self._journey = journey
        self._tally = tally
        self._closing = closing
        self._rng = rng
        self._pin = f"{rng.randrange(10_000):04}"
        self._record = RideRecord(self._rider.user_id, self._driver.user_id)
        tally.rides.append(self._record)

    async def run(self) -> None:
        """Ride. What fails is in the tally; an unfinished trip is cancelled."""
        self._driver.depart(self._journey.approach.standing)
        try:
            trip_id = await self._request()
        except CommandFailed:
            return
        try:
            await self._assign(trip_id)
            await self._serve(trip_id)
            self._record.is_finished = True
        except CommandFailed:
            self._record.relay.end(time.perf_counter())
            await self._dispatcher.cancel(trip_id)
        with suppress(CommandFailed):
            await asyncio.gather(self._rider.leave(trip_id), self._driver.leave(trip_id))

    async def _request(self) -> Id:
        start, end = self._journey.drive.start, self._journey.drive.end
        create = TripCreate(
            client_id=new_id(),
            pickup=Place(start.lat, start.lng),
            dropoff=Place(end.lat, end.lng),
            pin=self._pin,
        )
        trip = (await self._rider.link.ask(create, TripIs)).trip
        self._record.rider = self._rider.journal(trip.id)
        self._record.driver = self._driver.journal(trip.id)
        self._record.stands_at(trip)
        self._rider.begin(trip.id, self._record)
        self._driver.begin(trip.id, self._record)
        return trip.id

    async def _assign(self, trip_id: Id) -> None:
        """Have the dispatcher offer it, and the driver accept it as soon as it hears of that."""
        self._record.stands_at(await self._dispatcher.offer(trip_id, self._driver.user_id))
        try:
            await asyncio.wait_for(self._driver.offered(trip_id), OFFERED_WITHIN_S)
        except TimeoutError:
            self._tally.errors["an offer that the driver did not hear of"] += 1
            raise CommandFailed from None
        self._driver.serve(self._record.relay)
        await self._move(trip_id, Status.ACCEPTED)
        await asyncio.gather(self._rider.subscribe(trip_id), self._driver.subscribe(trip_id))

    async def _serve(self, trip_id: Id) -> None:
        over = asyncio.Event()
        talks = [
            asyncio.create_task(self._talk(self._rider, trip_id, RIDER_SAYS, over)),
            asyncio.create_task(self._talk(self._driver, trip_id, DRIVER_SAYS, over)),
        ]
        try:
            await self._drive(trip_id)
        finally:
            over.set()
            await asyncio.gather(*talks)
        await self._driver.surface()
        self._record.relay.end(time.perf_counter())
        await self._move(trip_id, Status.COMPLETED)

    async def _drive(self, trip_id: Id) -> None:
        await self._move(trip_id, Status.ARRIVING)
        await self._follow(self._journey.approach)
        await self._driver.surface()
        await self._move(trip_id, Status.ARRIVED)
        await self._move(trip_id, Status.IN_PROGRESS, pin=self._pin)
        await self._follow(self._journey.drive)

    async def _move(self, trip_id: Id, status: Status, pin: str | None = None) -> None:
        update = TripUpdate(trip_id, status, pin=pin)
        await self._driver.link.ask(update, TripIs, self._note_move)

    def _note_move(self, answer: TripIs) -> None:
        self._record.stands_at(answer.trip)
        if answer.trip.status is Status.ACCEPTED:
            self._record.relay.begin()
            self._record.relay.resume("driver", time.perf_counter())

    async def _follow(self, course: Course) -> None:
        self._driver.depart(course)
        await _happens(self._closing, course.duration_s)

    async def _talk(self, app: App, trip_id: Id, texts: Sequence[str], over: asyncio.Event) -> None:
        """Say something now and then until the ride is over."""
        with suppress(CommandFailed):
            for text in cycle(texts):
                if await _happens(over, self._rng.uniform(*CHAT_PAUSE_S)):
                    return
                await app.send(trip_id, text, self._record)


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return False
    return True
