"""A ride that goes on beside hostile clients, and misses nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

from tests.conftest import fresh, now
from tests.hostile.raw import Session

PACED_S: Final = 0.01
HERE: Final = {"lat": 52.5, "lng": 13.4}


@asynccontextmanager
async def a_ride(url: str) -> AsyncIterator[list[float]]:
    """A driver on a trip whose rider hears every point, all the while; how long each took (s)."""
    rider = await Session.open(url, "rider", fresh("rita"), "msgpack")
    driver = await Session.open(url, "driver", fresh("dan"))
    staff = await Session.open(url, "service", fresh("staff"))
    request = {"client_id": "r", "rider_id": rider.user_id, "pickup": HERE}
    trip = {"trip_id": (await staff.ok("trip:create", request))["trip"]["id"]}
    accepted = {**trip, "status": "accepted", "driver_id": driver.user_id}
    await staff.ok("trip:update", accepted)
    await driver.hears("trip:status")
    await rider.ok("trip:subscribe", trip)
    over = asyncio.Event()
    took: list[float] = []
    driving = asyncio.create_task(_drive(driver, rider, over, took))
    yield took
    over.set()
    await driving
    assert took
    for session in (rider, driver, staff):
        session.close()


async def _drive(driver: Session, rider: Session, over: asyncio.Event, took: list[float]) -> None:
    """Report points, each of which the rider has to hear before the next one."""
    seq = 0
    while not over.is_set():
        seq += 1
        point = {**HERE, "ts": now(), "seq": seq}
        rider.events.clear()
        began = perf_counter()
        sent = driver.emit("driver:location", point)
        assert (await rider.hears("trip:location"))["seq"] == seq
        took.append(perf_counter() - began)
        assert (await driver.answer(sent))["accepted"] == 1
        await asyncio.sleep(PACED_S)
