"""A ride that goes on meanwhile: its driver reports ten times a second, its rider looks on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from random import Random
from typing import Any, Final, Self

from chaos.checks.conditions import outside
from chaos.load.pulse import Pulse
from chaos.load.record import now
from chaos.storm.phone import Phone
from models.fields import Id, new_id
from models.identity import Role
from realtime.tokens import Tokens

EVERY_S: Final = 0.1
PLACE: Final = {"lat": 52.5, "lng": 13.4}
TTL_S: Final = 3_600


class Bystanders:
    def __init__(self, rider: "_Rider", driver: Phone, pulse: Pulse) -> None:
        self._rider = rider
        self._driver = driver
        self._pulse = pulse

    @classmethod
    @asynccontextmanager
    async def riding(cls, url: str, tokens: Tokens) -> AsyncIterator[Self]:
        name = new_id()
        rider = _Rider(url, tokens.mint(Role.RIDER, name, ttl_s=TTL_S), Random(1))  # noqa: S311
        driver = Phone(url, tokens.mint(Role.DRIVER, name, ttl_s=TTL_S), Random(2))  # noqa: S311
        agent = Phone(url, tokens.mint(Role.AGENT, name, ttl_s=TTL_S), Random(3))  # noqa: S311
        people = (rider, driver, agent)
        try:
            for phone in people:
                phone.come()
                await phone.is_back.wait()
            trip_id = await _begun(rider, driver.user_id, agent)
            await _done(rider, "trip:subscribe", {"trip_id": trip_id})
            reporting, pulse = asyncio.create_task(_report(driver)), Pulse()
            async with pulse.beating():
                yield cls(rider, driver, pulse)
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting
        finally:
            for phone in people:
                phone.leave()

    @property
    def stayed(self) -> bool:
        """Whether they kept their connections."""
        return self._rider.is_back.is_set() and self._driver.is_back.is_set()

    async def watch(self) -> None:
        """From now on the time between locations counts."""
        self._rider.located.clear()
        await self._rider.located.wait()
        self._rider.times = self._rider.times[-1:]

    @property
    def gap_s(self) -> float:
        """The longest time between two locations that the rider was shown, seconds.

        The times in which this process itself did not get to anything do not count.
        """
        shown = pairwise(self._rider.times)
        stalls = self._pulse.stalls
        return max((outside(before, after, stalls) for before, after in shown), default=0.0)


class _Rider(Phone):
    def __init__(self, url: str, token: str, rng: Random) -> None:
        super().__init__(url, token, rng)
        self.located = asyncio.Event()
        self.times: list[float] = []

    def hear(self, name: str, _payload: dict[str, Any]) -> None:
        if name == "trip:location":
            self.times.append(now())
            self.located.set()


async def _begun(rider: Phone, driver_id: Id, agent: Phone) -> Id:
    wish = {"client_id": new_id(), "pickup": PLACE}
    trip_id: Id = (await _done(rider, "trip:create", wish))["trip"]["id"]
    accepted = {"trip_id": trip_id, "status": "accepted", "driver_id": driver_id}
    await _done(agent, "trip:update", accepted)
    return trip_id


async def _report(driver: Phone) -> None:
    seq = 0
    while True:
        seq += 1
        point = PLACE | {"ts": time.time_ns() // 1_000_000, "seq": seq}
        await driver.ask("driver:location", point)
        await asyncio.sleep(EVERY_S)


async def _done(phone: Phone, event: str, payload: dict[str, Any]) -> dict[str, Any]:
    answer = await phone.ask(event, payload)
    if not answer["ok"]:
        raise RuntimeError(f"{event}: {answer}")
    return answer
