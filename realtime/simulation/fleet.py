"""A whole run: connections opened one after another, rides until the time is over, the count."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import aiohttp
from msgspec import Struct

from models.fields import Id, new_id
from models.identity import Role
from realtime.simulation.course import Routes
from realtime.simulation.dispatcher import Dispatcher
from realtime.simulation.driver import DriverApp
from realtime.simulation.faults import Disturbance, Faults
from realtime.simulation.lag import Lag
from realtime.simulation.link import Account, CannotConnect
from realtime.simulation.ride import Crew, Ride
from realtime.simulation.rider import RiderApp
from realtime.simulation.tally import Tally

CONNECTIONS_PER_S: Final = 100
"""How fast they are opened, unless that would take more than half of the time."""
REACHED_WITHIN_S: Final = 3.0
OPENED_WITHIN_S: Final = 15.0
SHORTEST_RIDE_S: Final = 4.0
"""With less time left no ride is begun, but everybody's first."""
GRACE_S: Final = 30.0
"""How long running rides may take to end when the time is over: a second, if all is well."""
SETTLE_S: Final = 5.0
"""How long what was answered may take to reach everybody."""
LOOK_S: Final = 0.05
CLOSED_AT_ONCE: Final = 50


class Plan(Struct, frozen=True):
    """What to simulate. Drivers connect to the first address, riders to the others, if any."""

    urls: Sequence[str]
    drivers: int
    rate_hz: float
    seconds: float
    mint: Callable[[Role, Id], str]
    routes: Callable[[Random], Routes]
    """Makes a driver's routes."""
    faults: Faults | None = None
    """What happens to points on their way."""


class Fleet:
    """The drivers, their riders and the dispatcher of one run."""

    def __init__(self, plan: Plan, closing: asyncio.Event) -> None:
        """`closing` ends the run early when it is set."""
        self.tally = Tally()
        self.lag = Lag()
        self._plan = plan
        self._closing = closing
        self._run_id = new_id()[-6:].lower()
        self._started = time.perf_counter()

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._started

    async def run(self) -> None:
        """Returns when everything is counted. Raises CannotConnect when no client gets in."""
        self._started = time.perf_counter()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            crews = await self._crews(http)
            watch = asyncio.create_task(self.lag.watch())
            timer = asyncio.get_running_loop().call_later(self._plan.seconds, self._closing.set)
            try:
                await self._ride(crews)
                await self._settle(crews)
            finally:
                timer.cancel()
                watch.cancel()
                await _close(crews)

    async def _crews(self, http: aiohttp.ClientSession) -> list[Crew]:
        """All apps, not yet connected, and one dispatcher, which saw that the servers are there."""
        for url in self._plan.urls[1:]:
            visitor = self._dispatcher(url, http)
            await visitor.link.open(REACHED_WITHIN_S)
            await visitor.link.close()
        dispatcher = self._dispatcher(self._plan.urls[0], http)
        await dispatcher.link.open(REACHED_WITHIN_S)
        return [self._crew(number, dispatcher, http) for number in range(self._plan.drivers)]

    def _dispatcher(self, url: str, http: aiohttp.ClientSession) -> Dispatcher:
        return Dispatcher(self._account(url, Role.SERVICE, 0, msgpack=False), self.tally, http)

    def _crew(self, number: int, dispatcher: Dispatcher, http: aiohttp.ClientSession) -> Crew:
        """Over four crews, JSON and msgpack meet in all ways."""
        urls = self._plan.urls
        riders_url = urls[1 + number % (len(urls) - 1)] if len(urls) > 1 else urls[0]
        rider = self._account(riders_url, Role.RIDER, number, msgpack=number // 2 % 2 == 1)
        driver = self._account(urls[0], Role.DRIVER, number, msgpack=number % 2 == 1)
        return Crew(
            RiderApp(rider, self.tally, http),
            DriverApp(driver, self.tally, http, self._disturbance(number)),
            dispatcher,
        )

    def _disturbance(self, number: int) -> Disturbance | None:
        if self._plan.faults is None:
            return None
        rng = Random(-1 - number)  # noqa: S311 - the same in every run, not a secret
        return Disturbance(self._plan.faults, rng, self.tally.faults)

    def _account(self, url: str, role: Role, number: int, *, msgpack: bool) -> Account:
        """Ids of their own for every run: nobody finds the trips of a former one."""
        return Account(url, role, f"{role}-{self._run_id}-{number}", msgpack, self._plan.mint)

    async def _ride(self, crews: Sequence[Crew]) -> None:
        spread_s = min(2 * len(crews) / CONNECTIONS_PER_S, self._plan.seconds / 2)
        work = asyncio.gather(
            *(
                self._work(crew, number, number * spread_s / len(crews))
                for number, crew in enumerate(crews)
            )
        )
        ends: set[asyncio.Future[Any]] = {work, asyncio.create_task(self._closing.wait())}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self._closing.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(work, GRACE_S)

    async def _work(self, crew: Crew, number: int, delay_s: float) -> None:
        """One driver's day."""
        rng = Random(number)  # noqa: S311 - the same rides in every run, not a secret
        routes = self._plan.routes(rng)
        await asyncio.sleep(delay_s)
        if not await self._opened(crew):
            return
        reporting = asyncio.create_task(crew.driver.report(self._plan.rate_hz))
        try:
            left_s = max(self._left_s(), SHORTEST_RIDE_S)
            while left_s >= SHORTEST_RIDE_S and not self._closing.is_set():
                journey = routes.next(left_s)
                await Ride(crew, journey, self.tally, self._closing, rng).run()
                left_s = self._left_s()
            await self._closing.wait()
        finally:
            reporting.cancel()
            await crew.driver.surface()

    def _left_s(self) -> float:
        return self._plan.seconds - self.elapsed_s

    async def _opened(self, crew: Crew) -> bool:
        try:
            await asyncio.gather(
                crew.rider.link.open(OPENED_WITHIN_S), crew.driver.link.open(OPENED_WITHIN_S)
            )
        except CannotConnect as error:
            self.tally.errors[f"not connected: {error}"] += 1
            return False
        return True

    async def _settle(self, crews: Sequence[Crew]) -> None:
        """Give what was answered the time to arrive everywhere; then see what nobody asked for."""
        for _ in range(int(SETTLE_S / LOOK_S)):
            if self._is_settled(crews):
                break
            await asyncio.sleep(LOOK_S)
        for crew in crews:
            if unanswered := crew.driver.unanswered_points:
                self.tally.errors["driver:location without an answer"] += unanswered
            if foreign := crew.rider.heard_of_others + crew.driver.heard_of_others:
                self.tally.errors["events of a foreign trip"] += foreign

    def _is_settled(self, crews: Sequence[Crew]) -> bool:
        return self.tally.is_settled and not any(c.driver.unanswered_points for c in crews)


async def _close(crews: Sequence[Crew]) -> None:
    """A few at a time: a server has other things to do than closing a thousand at once."""
    for start in range(0, len(crews), CLOSED_AT_ONCE):
        some = crews[start : start + CLOSED_AT_ONCE]
        apps = [app for crew in some for app in (crew.rider, crew.driver)]
        await asyncio.gather(*(app.close() for app in apps))
    for dispatcher in {crew.dispatcher for crew in crews}:
        await dispatcher.link.close()
