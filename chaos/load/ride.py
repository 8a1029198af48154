"""One trip from its request to its end, by whatever turns it takes."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import msgspec
from msgspec import Struct

from chaos.load.app import App
from chaos.load.backend import Backend
from chaos.load.record import Answer
from chaos.load.talk import Talk
from models.fields import Id, new_id
from models.trips import Status, Trip

HEARD_WITHIN_S: Final = 4.0
"""How long a driver may take to hear of an offer before it is made to somebody else."""
OFFERS: Final = 4
PIN: Final = "4711"
PLACE: Final = {"lat": 52.5, "lng": 13.4}
_FATES: Final = ("accepts", "accepts", "accepts", "ignores", "declines", "loses", "is put on")
_ON_THE_WAY: Final = (Status.ARRIVING, Status.ARRIVED, Status.IN_PROGRESS, Status.COMPLETED)


class Cast(Struct):
    """Who may take part in a ride. `watcher` brings a viewer of a trip, for as long as it runs."""

    rider: App
    staff: App
    drivers: Sequence[App]
    backend: Backend
    watcher: Callable[[Id], Any]


class Ride:
    """Each step is a command by one of the cast, at the version that it knows of."""

    def __init__(self, cast: Cast, rng: Random, pace_s: float, closing: asyncio.Event) -> None:
        """`pace_s` is the usual pause between two steps; `closing` asks to come to an end."""
        self._cast = cast
        self._rng = rng
        self._pace_s = pace_s
        self._closing = closing
        self._trip: Trip
        self._talk = Talk(cast.rider, cast.backend, rng, pace_s)

    async def run(self) -> None:
        await self._request()
        talking = asyncio.create_task(self._talk.run(self._trip.id))
        watching = asyncio.create_task(self._watch())
        try:
            while not self._trip.has_ended:
                await self._go_on()
        finally:
            self._talk.stop()
            await talking
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _go_on(self) -> None:
        """From the state that the trip is in, whoever brought it there."""
        if self._closing.is_set():
            await self._cancel()
        elif self._trip.status is Status.REQUESTED:
            await self._find_driver()
        else:
            await self._serve()

    async def _request(self) -> None:
        cast, wish = self._cast, {"client_id": new_id(), "pickup": PLACE}
        if self._rng.random() < 0.5:
            wish["pin"] = PIN
        if self._rng.random() < 0.5:
            answer = await cast.rider.ask("trip:create", wish)
        else:
            asking = self._rng.choice((cast.staff, cast.backend))
            answer = await asking.ask("trip:create", wish | {"rider_id": cast.rider.user_id})
        self._trip = msgspec.convert(answer["trip"], Trip)

    async def _find_driver(self) -> None:
        for _ in range(OFFERS):
            await self._pause()
            driver = self._rng.choice(self._cast.drivers)
            await self._offer(driver, self._rng.choice(_FATES))
            if self._trip.status is not Status.REQUESTED or self._closing.is_set():
                return
        await self._move(self._cast.staff, Status.UNFULFILLED)

    async def _offer(self, driver: App, fate: str) -> None:
        if fate == "is put on":
            await self._move(self._cast.staff, Status.ACCEPTED, driver_id=driver.user_id)
            return
        expiry = 300 if fate == "ignores" else 15_000
        offer = {"driver_id": driver.user_id, "expires_in_ms": expiry}
        asking = self._rng.choice((self._cast.staff, self._cast.backend))
        if not await self._done(asking, "trip:offer", offer) or fate == "loses":
            return
        if fate == "ignores":
            await self._expired(self._trip.version)
        elif await self._hears(driver, self._trip.version):
            await self._react(driver, accepts=fate == "accepts")

    async def _react(self, driver: App, *, accepts: bool) -> None:
        if accepts:
            await self._move(driver, Status.ACCEPTED)
        else:
            decline = {"trip_id": self._trip.id, "reason": f"no-{new_id()}"}
            await driver.ask("trip:decline", decline)
            await self._reread()

    async def _expired(self, version: int) -> None:
        await self._hears(self._cast.rider, version + 1)
        await self._reread()

    async def _serve(self) -> None:
        driver = next(d for d in self._cast.drivers if d.user_id == self._trip.driver_id)
        await self._bring_together(driver)
        for status in _ON_THE_WAY:
            if _passed(self._trip.status, status):
                continue
            await self._pause()
            await self._step(driver, status)
            if not self._trip.is_served or self._closing.is_set():
                break
        self._talk.leave(driver)

    async def _bring_together(self, driver: App) -> None:
        await self._cast.rider.subscribe(self._trip.id)
        if self._rng.random() < 0.7:
            await driver.subscribe(self._trip.id)
        self._talk.join(driver)
        if self._rng.random() < 0.4 and await self._cast.staff.subscribe(self._trip.id):
            self._talk.join(self._cast.staff)

    async def _step(self, driver: App, status: Status) -> None:
        """The next state, or what happens now and then instead."""
        turn = self._rng.random()
        may_leave = self._trip.status is not Status.IN_PROGRESS
        if may_leave and turn < 0.06:
            await self._move(self._rng.choice((driver, self._cast.staff)), Status.REQUESTED)
        elif may_leave and turn < 0.09:
            await self._cancel()
        elif may_leave and turn < 0.13:
            await asyncio.gather(self._cancel(), self._move(driver, status))
            await self._reread()
        elif turn < 0.16:
            await self._try_to_decline()
        elif turn < 0.28:
            await self._edit()
        elif status is Status.IN_PROGRESS:
            await self._start(driver)
        else:
            await self._move(driver, status)

    async def _start(self, driver: App) -> None:
        if self._trip.pin and self._rng.random() < 0.1:
            await self._move(driver, Status.IN_PROGRESS, pin="0000")
        pin = {"pin": self._trip.pin} if self._trip.pin else {}
        await self._move(driver, Status.IN_PROGRESS, **pin)

    async def _cancel(self) -> None:
        rides = self._trip.status is Status.IN_PROGRESS
        who = self._cast.staff if rides else self._rng.choice((self._cast.rider, self._cast.staff))
        await self._move(who, Status.CANCELLED)

    async def _edit(self) -> None:
        """Rider or staff change their minds, at the version that they know or at any."""
        place = {"lat": 52.5, "lng": self._rng.uniform(13.3, 13.5)}
        edit: dict[str, Any] = self._rng.choice(
            [{"metadata": {"token": new_id()}}, {"dropoff": place}, {"stops": [place, PLACE]}]
        )
        if self._rng.random() < 0.5:
            edit["version"] = self._trip.version
        await self._done(self._rng.choice((self._cast.rider, self._cast.staff)), "trip:edit", edit)

    async def _try_to_decline(self) -> None:
        """What only a driver with an offer may."""
        asking = self._rng.choice((self._cast.rider, self._cast.staff, *self._cast.drivers))
        await asking.ask("trip:decline", {"trip_id": self._trip.id})
        await self._reread()

    async def _move(self, who: App, status: Status, **more: object) -> None:
        asking: App | Backend = who
        if who is self._cast.staff and self._rng.random() < 0.3:
            asking = self._cast.backend
        reason = f"{status}-{new_id()}"
        await self._done(
            asking,
            "trip:update",
            {"status": status.value, "version": self._trip.version, "reason": reason, **more},
        )

    async def _done(self, asking: App | Backend, event: str, payload: dict[str, Any]) -> bool:
        """Ask; where it is refused, look how the trip is."""
        answer = await asking.ask(event, {"trip_id": self._trip.id, **payload})
        if answer["ok"]:
            self._take(answer, asking)
        else:
            await self._reread()
        return bool(answer["ok"])

    async def _reread(self) -> None:
        self._take(await self._cast.backend.ask("trip:get", {"trip_id": self._trip.id}), None)

    def _take(self, answer: Answer, asking: App | Backend | None) -> None:
        """A driver's view lacks the pin, which the ride's own does not forget."""
        trip = msgspec.convert(answer["trip"], Trip)
        if isinstance(asking, App) and trip.id in asking.knowledge.trips:
            asking.learn_trip(answer)
        if trip.version >= self._trip.version:
            pin = trip.pin or self._trip.pin
            self._trip = msgspec.structs.replace(trip, pin=pin)

    async def _hears(self, app: App, version: int) -> bool:
        trip_id = self._trip.id
        return await app.knows(
            lambda known: trip_id in known.trips and known.trips[trip_id].version >= version,
            HEARD_WITHIN_S,
        )

    async def _watch(self) -> None:
        if self._rng.random() < 0.25:
            await self._cast.watcher(self._trip.id)

    async def _pause(self) -> None:
        await asyncio.sleep(self._pace_s * self._rng.uniform(0.5, 1.5))


def _passed(now: Status, status: Status) -> bool:
    """Whether a served trip in the state `now` has had this one."""
    order = (Status.ACCEPTED, *_ON_THE_WAY)
    return order.index(status) <= order.index(now)
