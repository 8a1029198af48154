"""The geo index of available drivers, on a real Redis. Tests keep apart by places on the map, and
by a database of their own from other tests' servers, which drop whom they think unseen.
"""

from collections.abc import AsyncIterator
from math import cos, radians
from urllib.parse import urlsplit

import pytest

from models.commands import DriverAvailability
from models.errors import Unavailable
from models.fields import Id
from models.points import Point, Sighting
from realtime.embedded import EmbeddedStores
from realtime.nearby import EVERY_MS, MARGIN_M, NearbyIndex
from realtime.redis_address import RedisAddress
from tests.conftest import fresh, now
from tests.relay import Relay

DEGREE_M = 111_195


def known(driver_id: Id) -> DriverAvailability | None:
    """Everybody is available whose name does not say otherwise."""
    return DriverAvailability.BUSY if driver_id.startswith("busy") else DriverAvailability.AVAILABLE


def seen(driver_id: Id, lat: float, lng: float, seen_at: int | None = None) -> Sighting:
    at = now() if seen_at is None else seen_at
    return Sighting(driver_id, Point(lat=lat, lng=lng, ts=at, seq=1), "phone", at)


@pytest.fixture
def database(stores: EmbeddedStores) -> str:
    return urlsplit(str(stores.redis_url))._replace(path="/15").geturl()


@pytest.fixture
async def index(database: str) -> AsyncIterator[NearbyIndex]:
    async with RedisAddress.parse(database).client() as redis:
        yield NearbyIndex(redis, known)


async def found(
    index: NearbyIndex, lat: float, lng: float, radius_m: int = 1_000, at_most: int = 50
) -> int:
    return len(await index.around(lat, lng, radius_m, at_most))


async def test_only_available_drivers_are_in_it(index: NearbyIndex) -> None:
    await index.note([seen(fresh("dan"), -41, 10), seen(fresh("busy"), -41, 10)])
    await index.note([seen(fresh("busy"), -41, 10)])
    assert await found(index, -41, 10) == 1


async def test_the_nearest_are_found_however_far_they_are(index: NearbyIndex) -> None:
    for metres in (90_000, 40_000, 700, 100):
        await index.note([seen(fresh(f"at-{metres}"), -42 + metres / DEGREE_M, 10)])
    for radius_m, drivers in ((99 + MARGIN_M, 1), (50_000, 3), (100_000, 4)):
        assert await found(index, -42, 10, radius_m) == drivers
    assert await found(index, -42.01, 10, 500) == 0
    assert await found(index, -42, 10, 100_000, at_most=2) == 2


@pytest.mark.parametrize("lng", [180.0, -180.0, 179.9999])
@pytest.mark.parametrize("lat", [-17.5, 84.9, -84.9])
async def test_a_circle_across_the_antimeridian_is_whole(
    index: NearbyIndex, lat: float, lng: float
) -> None:
    near = 400 / (DEGREE_M * cos(radians(lat)))
    around = [-180 + near, 180 - near, 180.0, -180.0]
    before = await found(index, lat, lng)
    await index.note([seen(fresh("dan"), lat, place) for place in around])
    assert await found(index, lat, lng) == before + 4


async def test_who_is_at_a_pole_is_left_out_and_keeps_nobody_out(index: NearbyIndex) -> None:
    await index.note([seen(fresh("amundsen"), -90, 0), seen(fresh("dan"), -43, 10)])
    assert await found(index, -43, 10) == 1
    assert await found(index, -85, 0, 100_000) == 0


async def test_who_is_not_seen_any_more_is_forgotten(index: NearbyIndex) -> None:
    dan, eve, at = fresh("dan"), fresh("eve"), now()
    await index.note([seen(dan, -44, 10, at - 60_000), seen(eve, -44, 10, at - 30_000)])
    await index.note([seen(dan, -44, 10, at - 65_000)])
    for unseen_ms, left in ((70_000, 2), (45_000, 1), (20_000, 0)):
        await index.forget_unseen(at, unseen_ms)
        assert await found(index, -44, 10) == left


async def test_a_clock_that_is_wrong_takes_nobody_from_the_others(database: str) -> None:
    async with RedisAddress.parse(database).client() as redis:
        right, wrong = NearbyIndex(redis, known), NearbyIndex(redis, known)
        hour = 3_600_000
        for index, ahead in ((right, 0), (wrong, hour)):
            await index.forget_unseen(now() + ahead, 10_000)
            gone, here = now() + ahead - 60_000, now() + ahead
            await index.note([seen(fresh("eve"), -47, 10, gone), seen(fresh("dan"), -47, 10, here)])
        for index, ahead in ((right, 0), (wrong, hour)):
            await index.forget_unseen(now() + ahead, 10_000)
        assert await found(right, -47, 10) == 2


async def test_a_place_is_put_right_now_and_then(index: NearbyIndex) -> None:
    dan, at = fresh("dan"), now()
    for seen_at, lat in ((at, -45.0), (at + EVERY_MS - 1, -46.0)):
        await index.note([seen(dan, lat, 10, seen_at)])
    assert (await found(index, -45, 10), await found(index, -46, 10)) == (1, 0)
    await index.note([seen(dan, -46, 10, at + EVERY_MS)])
    assert (await found(index, -45, 10), await found(index, -46, 10)) == (0, 1)


async def test_without_redis_nobody_can_tell(stores: EmbeddedStores) -> None:
    async with Relay.to(str(stores.redis_url)) as relay:
        relay.cut()
        async with RedisAddress.parse(relay.url).client() as redis:
            away = NearbyIndex(redis, known)
            with pytest.raises(Unavailable):
                await away.around(0, 0, 1_000, 10)
            await away.forget_unseen(0, 0)
