"""A driver's phone: it has its points acknowledged, and sends again what was not."""

import asyncio
import time
from random import Random
from typing import Any, Final

import msgspec

from chaos.load.app import App
from models.points import Point

STEP: Final = 0.0001
"""Degrees that a car moves from one point to the next: 11 m."""
OLD_MS: Final = 1_500
"""How much older than the newest a point is that was held up on its way."""
OLD_SHARE: Final = 0.15
TUNNEL_SHARE: Final = 0.06
"""How often a tunnel begins, of which all points are sent together when it ends."""
LONGEST_TUNNEL: Final = 7
"""In points."""
MOST_AT_ONCE: Final = 500


class Phone:
    """Points stay until they are answered to be safe."""

    def __init__(self, driver: App, lat: float) -> None:
        self._driver = driver
        self._lat = lat
        self._seq = 0
        self._unsafe: list[Point] = []

    def measure(self) -> None:
        self._lat += STEP
        self._unsafe.append(self._point(self._lat, 0))

    async def send(self) -> bool:
        """Have all points acknowledged; whether they were."""
        sent = self._unsafe[:MOST_AT_ONCE]
        answer = await self._report(sent)
        if answer is None or not answer["ok"]:
            return False
        del self._unsafe[: len(sent)]
        return not self._unsafe

    async def send_old(self) -> None:
        """Send a point that is older than what was sent already."""
        await self._report([self._point(self._lat - STEP, OLD_MS)])

    def _point(self, lat: float, late_ms: int) -> Point:
        self._seq += 1
        ts = time.time_ns() // 1_000_000 - late_ms
        point = Point(lat, 13.4, ts, self._seq, speed=11.5)
        self._driver.life.points[self._seq] = point
        return point

    async def _report(self, points: list[Point]) -> dict[str, Any] | None:
        payload = msgspec.to_builtins(points)
        alone = payload[0] if len(payload) == 1 else payload
        return await self._driver.try_once("driver:location", alone)


async def report(driver: App, rng: Random, rate_hz: float) -> None:
    """A driver's points, now and then an old one, or those of a tunnel. Until cancelled."""
    phone, tunnel = Phone(driver, rng.uniform(52.4, 52.6)), 0
    while True:
        await asyncio.sleep(rng.uniform(0.8, 1.2) / rate_hz)
        phone.measure()
        tunnel -= 1
        if tunnel > 0 or not await phone.send():
            continue
        if rng.random() < OLD_SHARE:
            await phone.send_old()
        elif rng.random() < TUNNEL_SHARE:
            tunnel = rng.randint(2, LONGEST_TUNNEL)
