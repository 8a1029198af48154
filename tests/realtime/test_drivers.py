"""Where drivers are, with a Redis that is there, and with one that does not answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from models.commands import DriverAvailability
from models.errors import Unavailable
from models.points import Point, Sighting
from realtime.drivers import RedisDrivers
from realtime.embedded import EmbeddedStores
from realtime.redis_address import RedisAddress
from tests.conftest import fresh


def sighting(driver_id: str, ts: int) -> Sighting:
    return Sighting(driver_id, Point(lat=1, lng=2, ts=ts, seq=ts), "phone", ts)


@pytest.fixture
def asked() -> list[bytes]:
    """What the silent Redis was sent."""
    return []


@pytest.fixture
async def silent(asked: list[bytes]) -> AsyncIterator[RedisDrivers]:
    """On a Redis that takes connections and says nothing."""

    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            asked.append(data)

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    redis = RedisAddress.parse(f"redis://127.0.0.1:{port}").client()
    yield RedisDrivers(redis)
    await redis.aclose()
    server.close()


async def test_the_newest_point_is_kept_for_all(stores: EmbeddedStores) -> None:
    async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
        here, there = RedisDrivers(redis), RedisDrivers(redis)
        dan = fresh("dan")
        for ts in (1, 3, 2):
            here.saw(sighting(dan, ts))
        assert await here.newest(dan) == sighting(dan, 3)
        assert await there.newest(dan) is None
        await here.flush()
        assert await there.newest(dan) == sighting(dan, 3)
        await here.set_status(dan, DriverAvailability.BUSY)
        assert await there.status(dan) is DriverAvailability.BUSY


async def test_what_an_instance_writes_late_replaces_nothing_newer(stores: EmbeddedStores) -> None:
    async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
        slow, fast = RedisDrivers(redis), RedisDrivers(redis)
        dan, eve = fresh("dan"), fresh("eve")
        for driver_id in (dan, eve):
            slow.saw(sighting(driver_id, 1))
        fast.saw(sighting(dan, 2))
        await fast.flush()
        await slow.flush()
        assert await fast.newest(dan) == sighting(dan, 2)
        assert await fast.newest(eve) == sighting(eve, 1)


async def test_a_silent_redis_holds_nobody_up_in_a_queue(silent: RedisDrivers) -> None:
    async with asyncio.timeout(20):  # one after the other they would take some minutes
        assert set(await asyncio.gather(*(silent.newest(f"d{n}") for n in range(5_000)))) == {None}
        with pytest.raises(Unavailable):
            await silent.set_status("dan", DriverAvailability.BUSY)


async def test_a_silent_redis_is_left_alone_for_a_moment(
    silent: RedisDrivers, asked: list[bytes]
) -> None:
    assert await silent.newest("dan") is None
    questions = list(asked)
    assert questions
    assert await silent.newest("eve") is None
    assert asked == questions


async def test_points_under_way_when_the_writing_ends_are_kept(silent: RedisDrivers) -> None:
    silent.saw(sighting("dan", 1))
    writing = asyncio.create_task(silent.flush())
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await silent.newest("dan") == sighting("dan", 1)
