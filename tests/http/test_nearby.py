"""Drivers nearby, from their points to the back end's list, across instances."""

import asyncio
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis

from realtime import keys
from realtime.redis_address import RedisAddress
from tests.clients import WAIT_S, Client
from tests.conftest import Cluster, Connect, fresh
from tests.http.conftest import Caller, Company
from tests.rides import point

AROUND: dict[str, Any] = {"lng": -150, "radius_m": 500}


async def nearby(caller: Caller, lat: float) -> list[dict[str, Any]]:
    answer = await caller.ok("GET", "/v1/drivers/nearby", query=AROUND | {"lat": lat})
    assert answer["next_cursor"] is None
    items: list[dict[str, Any]] = answer["items"]
    return items


async def lists(caller: Caller, lat: float, *drivers: Client) -> list[dict[str, Any]]:
    """What is listed once it is these drivers."""
    async with asyncio.timeout(WAIT_S):
        while True:
            items = await nearby(caller, lat)
            if [item["driver_id"] for item in items] == [each.user_id for each in drivers]:
                return items
            await asyncio.sleep(0.05)


async def test_a_driver_is_listed_while_it_is_available(
    company: Company, cluster: Cluster, connect: Connect
) -> None:
    dan = await connect(cluster.first, "driver", fresh("dan"))
    eve = await connect(cluster.second, "driver", fresh("eve"))
    await dan.ok("driver:location", point(1, lat=-50.001, lng=-150, heading=90, speed=8))
    for driver in (dan, eve):
        await driver.ok("driver:status", {"status": "available"})
    await eve.ok("driver:location", point(1, lat=-50, lng=-150))
    nearest, other = await lists(company.service, -50, eve, dan)
    assert nearest["distance_m"] == 0
    assert (other["distance_m"], other["heading"], other["speed"]) == (111, 90, 8)
    assert 0 <= other["age_ms"] < 10_000
    await eve.ok("driver:status", {"status": "busy"})
    assert [item["driver_id"] for item in await nearby(company.agent, -50)] == [dan.user_id]


async def test_the_list_comes_back_after_redis_has_lost_it(
    company: Company, cluster: Cluster, connect: Connect
) -> None:
    dan = await connect(cluster.first, "driver", fresh("dan"))
    await dan.ok("driver:status", {"status": "available"})
    await dan.ok("driver:location", point(1, lat=-51, lng=-150))
    await lists(company.service, -51, dan)
    async with RedisAddress.parse(str(cluster.stores.redis_url)).client() as redis:
        await lose(redis, dan.user_id)
    assert await nearby(company.service, -51) == []
    reporting = asyncio.create_task(report(dan, lat=-51, lng=-150))
    await lists(company.service, -51, dan)
    reporting.cancel()


async def report(driver: Client, **place: float) -> None:
    """Send points as a phone does, until cancelled."""
    for seq in count(2):
        await driver.emit("driver:location", point(seq, **place))
        await asyncio.sleep(0.25)


async def lose(redis: Redis, driver_id: str) -> None:
    """All that Redis has of a driver."""
    await redis.delete(keys.driver_status(driver_id), keys.sighting(driver_id))
    for index in (keys.NEARBY_PLACES, keys.NEARBY_SEEN):
        await redis.zrem(index, driver_id)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"lat": "86"}, "lat"),
        ({"lat": "north"}, "lat"),
        ({"lat": "nan"}, "lat"),
        ({"lat": "1", "lng": "1e999"}, "lng"),
        ({"lat": "1", "radius_m": "1.5"}, "radius_m"),
        ({"lat": "1", "radius_m": "100001"}, "radius_m"),
        ({}, "lat"),
    ],
)
async def test_a_place_that_is_none_is_refused(
    company: Company, query: dict[str, str], path: str
) -> None:
    answer = await company.service.ask("GET", "/v1/drivers/nearby", query={"lng": "2"} | query)
    assert (answer.status, answer.error["path"]) == (400, path)


async def test_numbers_are_taken_as_languages_write_them(company: Company) -> None:
    for number in ("1e-05", "-0.0", "1E+1", "7"):
        query = {"lat": number, "lng": number, "limit": 1}
        assert await company.service.ok("GET", "/v1/drivers/nearby", query=query)
