"""What drivers say outlives what Redis loses, for as long as they are connected somewhere."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from models.commands import DriverAvailability
from realtime import keys
from realtime.availability import Availability
from realtime.embedded import EmbeddedStores
from realtime.redis_address import RedisAddress
from tests.conftest import fresh
from tests.realtime.drivers import drivers_on

AVAILABLE, BUSY = DriverAvailability.AVAILABLE, DriverAvailability.BUSY


@pytest.fixture
async def redis(stores: EmbeddedStores) -> AsyncIterator[Redis]:
    async with RedisAddress.parse(str(stores.redis_url)).client() as client:
        yield client


async def test_what_redis_has_lost_is_said_again(redis: Redis) -> None:
    drivers, elsewhere = drivers_on(redis), drivers_on(redis)
    dan, eve = fresh("dan"), fresh("eve")
    for driver_id in (dan, eve):
        drivers.came(driver_id, None)
    await drivers.set_status(dan, AVAILABLE)
    await redis.delete(keys.driver_status(dan))
    assert await drivers.status(dan) is AVAILABLE
    assert await elsewhere.status(dan) is None
    await drivers.availability.say_again()
    assert await elsewhere.status(dan) is AVAILABLE
    assert await elsewhere.status(eve) is None


async def test_what_was_said_elsewhere_is_learned(redis: Redis) -> None:
    here, there = Availability(redis), Availability(redis)
    dan = fresh("dan")
    here.came(dan, AVAILABLE)
    await there.set(dan, BUSY)
    assert here.known(dan) is AVAILABLE
    await here.say_again()
    assert here.known(dan) is BUSY


async def test_what_redis_has_is_not_written_again(redis: Redis) -> None:
    here, dan = Availability(redis), fresh("dan")
    here.came(dan, None)
    await here.set(dan, AVAILABLE)
    await redis.expire(keys.driver_status(dan), 100)
    await here.say_again()
    assert await redis.ttl(keys.driver_status(dan)) <= 100
    assert here.known(dan) is AVAILABLE


async def test_who_has_left_is_not_spoken_for(redis: Redis) -> None:
    here, dan = Availability(redis), fresh("dan")
    here.came(dan, AVAILABLE)
    here.came(dan, None)
    here.went(dan)
    assert here.known(dan) is AVAILABLE
    here.went(dan)
    assert here.known(dan) is None
    await here.say_again()
    assert await redis.get(keys.driver_status(dan)) is None
