"""All apps of a round, and what they do until they are asked to come to an end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import aiohttp
from msgspec import Struct

from chaos.load.app import Account, App
from chaos.load.backend import Backend
from chaos.load.knowledge import Ledger
from chaos.load.others import Support, pry
from chaos.load.phone import report
from chaos.load.record import Life
from chaos.load.ride import Cast, Ride
from models.fields import Id
from models.identity import Role
from realtime.tokens import Secret, TokenRules, Tokens

LOOK_S: Final = 0.05
TTL_S: Final = 3_600
BACKENDS: Final = 4
LOOKED_AT: Final = 2
"""Conversations that each app reads again in the end."""


class Size(Struct, frozen=True):
    """How many of each, and how fast. `pace_s` is the usual pause between two steps."""

    riders: int
    drivers: int
    agents: int
    strangers: int
    pace_s: float
    rate_hz: float = 1.2

    @classmethod
    def of(cls, clients: int, pace_s: float) -> "Size":
        """That many clients; the viewers that come and go are counted on top."""
        agents, strangers = max(2, clients // 10), max(2, clients // 12)
        riders = (clients - agents - strangers) // 2
        return cls(riders, clients - agents - strangers - riders, agents, strangers, pace_s)


class Ways(Struct, frozen=True):
    """Where the instances are, straight and over bad connections, and the key of their tokens.

    They are asked for each time: an instance has the same address for life, a proxy too.
    """

    straight: Sequence[Callable[[], str]]
    bad: Sequence[Callable[[], str]]
    secret: str


class City:
    def __init__(self, size: Size, ways: Ways, seed: int) -> None:
        self.ledger = Ledger()
        self.answered = 0
        self._size = size
        self._ways = ways
        self._rng = Random(seed)  # noqa: S311 - to be repeated, not a secret
        self._tokens = Tokens(TokenRules(secrets=(Secret(ways.secret),)), _now)
        self._closing = asyncio.Event()
        self._apps: dict[App, asyncio.Task[None]] = {}
        self._gone: list[Life] = []
        """Of viewers that have left."""
        self._backends: list[Backend] = []
        self._ending: list[asyncio.Task[None]] = []
        """Work that comes to an end when it is asked to."""
        self._endless: list[asyncio.Task[None]] = []

    async def run(self, during: Callable[[], Awaitable[None]]) -> None:
        """Have everybody at work while this goes on, and connected until it returns."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as self._http:
            try:
                await self._begin()
                await during()
            finally:
                await self._leave()

    @property
    def lives(self) -> list[Life]:
        """Of everybody who ever was there."""
        lives = [app.life for app in self._apps] + [one.life for one in self._backends]
        return lives + self._gone

    @property
    def clients(self) -> int:
        return len(self._apps)

    async def wind_up(self, within_s: float) -> list[str]:
        """Bring all rides to their end; what did not come to one in time."""
        self._closing.set()
        for task in self._endless:
            task.cancel()
        _, late = await asyncio.wait(self._ending, timeout=within_s)
        for task in late:
            task.cancel()
        failed = [task for task in self._ending if task not in late and task.exception()]
        return [f"{task.get_name()} is stuck" for task in late] + [
            f"{task.get_name()} failed: {task.exception()!r}" for task in failed
        ]

    def lagging(self, due: Ledger) -> dict[App, list[str]]:
        """Who does not know yet what it should."""
        found: dict[App, list[str]] = {}
        for app in self._apps:
            behind = app.knowledge.lags(due)
            if behind or not app.is_up_to_date:
                found[app] = behind or [app.state]
        return found

    async def converged(self, due: Ledger, within_s: float) -> tuple[float | None, str]:
        """Wait until everybody who is there has known what is due.

        Returns the seconds that it took, None for too many, and who was last.
        """
        began, last = time.monotonic(), ""
        waiting = self.lagging(due)
        while waiting:
            if time.monotonic() - began > within_s:
                return None, last
            app, behind = next(iter(waiting.items()))
            last = f"{app.life.who}: {behind[0]}"
            await asyncio.sleep(LOOK_S)
            lagging = self.lagging(due)
            waiting = {app: lagging[app] for app in waiting if app in lagging}
        return time.monotonic() - began, last

    async def progresses(self, answers: int, within_s: float) -> None:
        """Wait until that many more commands were answered, or this time is over."""
        aim, deadline = self.answered + answers, time.monotonic() + within_s
        await _until(lambda: self.answered >= aim or time.monotonic() > deadline)

    async def read_back(self, within_s: float) -> None:
        """Have everybody look at what they talked about last; it is checked like all pages."""
        reading = [asyncio.create_task(app.read_back(LOOKED_AT)) for app in self._apps]
        _, late = await asyncio.wait(reading, timeout=within_s)
        for task in late:
            task.cancel()

    async def all_answered(self, within_s: float) -> None:
        """Wait for a moment in which no command is under way, or until this time is over."""
        deadline = time.monotonic() + within_s
        await _until(
            lambda: time.monotonic() > deadline or not any(app.waits for app in self._apps)
        )

    async def _begin(self) -> None:
        size = self._size
        riders = [self._app(Role.RIDER, n) for n in range(size.riders)]
        drivers = [self._app(Role.DRIVER, n) for n in range(size.drivers)]
        agents = [self._app(Role.AGENT, n, bad=True) for n in range(size.agents)]
        roles = (Role.RIDER, Role.DRIVER)
        strangers = [self._app(roles[n % 2], 900 + n) for n in range(size.strangers)]
        self._backends = [self._backend(n) for n in range(BACKENDS)]
        await _until(lambda: all(app.is_up_to_date for app in self._apps))
        for number, rider in enumerate(riders):
            self._start(self._rides(rider, number, agents, drivers), f"the ride of {rider.user_id}")
        for agent in agents:
            support = Support(agent, riders + drivers, self._random(), size.pace_s, self._closing)
            self._start(support.run(), f"the support of {agent.user_id}")
        for driver in drivers:
            self._start_endless(report(driver, self._random(), size.rate_hz))
        for stranger in strangers:
            self._start_endless(pry(stranger, self.ledger, self._random(), size.pace_s))

    async def _rides(
        self, rider: App, number: int, agents: Sequence[App], drivers: Sequence[App]
    ) -> None:
        rng = self._random()
        await asyncio.sleep(rng.uniform(0, 2) * self._size.pace_s)
        cast = Cast(
            rider,
            agents[number % len(agents)],
            drivers,
            self._backends[number % BACKENDS],
            self._watch,
        )
        while not self._closing.is_set():
            await Ride(cast, rng, self._size.pace_s, self._closing).run()

    async def _watch(self, trip_id: Id) -> None:
        """Somebody with a share link, until cancelled."""
        viewer = self._app(Role.VIEWER, len(self._apps) + len(self._gone), trips=(trip_id,))
        try:
            await viewer.subscribe(trip_id)
            await pry(viewer, self.ledger, self._random(), self._size.pace_s)
        finally:
            self._gone.append(viewer.life)
            await self._close(viewer)

    def _app(self, role: Role, number: int, *, bad: bool = False, trips: Sequence[Id] = ()) -> App:
        """Half of them on each instance, a quarter over bad connections, half with msgpack."""
        user_id = f"{role}-{number}"
        token = self._tokens.mint(role, user_id, ttl_s=TTL_S, trips=trips)
        ways = list(self._ways.bad if bad or number % 4 == 3 else self._ways.straight)
        if number // 2 % 2:
            ways.reverse()
        account = Account(role, user_id, token, ways, msgpack=number % 2 == 1, trips=trips)
        app = App(account, self.ledger, self._http, self._random(), self._count)
        self._apps[app] = asyncio.create_task(app.run())
        return app

    def _backend(self, number: int) -> Backend:
        user_id = f"service-{number}"
        token = self._tokens.mint(Role.SERVICE, user_id, ttl_s=TTL_S)
        urls = [way() for way in self._ways.straight]
        return Backend(user_id, token, urls, self._http, rng=self._random(), count=self._count)

    async def _leave(self) -> None:
        for task in (*self._ending, *self._endless):
            task.cancel()
        await asyncio.gather(*(self._close(app) for app in list(self._apps)))

    async def _close(self, app: App) -> None:
        running = self._apps.pop(app, None)
        if running is None:
            return  # it is leaving already
        running.cancel()
        await app.close()
        with suppress(asyncio.CancelledError):
            await running

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._ending.append(asyncio.create_task(work, name=name))

    def _start_endless(self, work: Coroutine[Any, Any, None]) -> None:
        self._endless.append(asyncio.create_task(work))

    def _random(self) -> Random:
        return Random(self._rng.random())  # noqa: S311 - as above

    def _count(self) -> None:
        self.answered += 1


def _now() -> int:
    return time.time_ns() // 1_000_000


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - nobody tells when
        await asyncio.sleep(LOOK_S)
