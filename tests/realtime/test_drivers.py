"""Where drivers are, with a Redis that is there, and with one that does not answer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from models.commands import DriverAvailability
from models.errors import Unavailable
from models.points import Point, Sighting
from models.tracks import Report
from realtime import keys
from realtime.drivers import RedisDrivers, Saved
from realtime.embedded import EmbeddedStores
from realtime.metrics import Metrics
from realtime.redis_address import RedisAddress
from realtime.track_stream import TrackStream
from realtime.unsaved import DRIVERS_AT_ONCE, MAX_POINTS, Unsaved
from tests.conftest import fresh
from tests.realtime.drivers import drivers_on


def sighting(driver_id: str, ts: int) -> Sighting:
    return Sighting(driver_id, Point(lat=1, lng=2, ts=ts, seq=ts), "phone", ts)


def fixes(*times: int) -> list[Point]:
    return [Point(lat=1, lng=2, ts=ts, seq=ts) for ts in times]


async def _never(_reports: Sequence[Report], _saved: Saved) -> None:
    raise AssertionError("Redis is there")


def _note(told: list[tuple[str, bool]], driver_id: str, is_safe: bool) -> None:
    told.append((driver_id, is_safe))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def asked() -> list[bytes]:
    """What the silent Redis was sent."""
    return []


@pytest.fixture
async def silence(asked: list[bytes]) -> AsyncIterator[Redis]:
    """A Redis that takes connections and says nothing."""

    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            asked.append(data)

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    redis = RedisAddress.parse(f"redis://127.0.0.1:{port}").client()
    yield redis
    await redis.aclose()
    server.close()


@pytest.fixture
def silent(silence: Redis) -> RedisDrivers:
    return drivers_on(silence)


async def test_the_newest_point_is_kept_for_all(stores: EmbeddedStores) -> None:
    async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
        here, there = drivers_on(redis), drivers_on(redis)
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
        slow, fast = drivers_on(redis), drivers_on(redis)
        dan, eve = fresh("dan"), fresh("eve")
        for driver_id in (dan, eve):
            slow.saw(sighting(driver_id, 1))
        fast.saw(sighting(dan, 2))
        await fast.flush()
        await slow.flush()
        assert await fast.newest(dan) == sighting(dan, 2)
        assert await fast.newest(eve) == sighting(eve, 1)


async def test_what_another_release_left_keeps_no_driver_out(stores: EmbeddedStores) -> None:
    async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
        drivers, dan = drivers_on(redis), fresh("dan")
        await redis.set(keys.sighting(dan), msgspec.msgpack.encode(sighting(dan, 9)))
        assert await drivers.newest(dan) is None
        drivers.saw(sighting(dan, 1))
        await drivers.flush()
        assert await drivers.newest(dan) == sighting(dan, 1)


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


async def test_who_waits_until_points_are_safe_is_told_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.drivers.TOLD_WITHIN_S", 0.05)

    async def never(_reports: Sequence[Report], _saved: Saved) -> None:
        await asyncio.Event().wait()

    async with RedisAddress.parse(f"redis://127.0.0.1:{_free_port()}").client() as redis:
        drivers = RedisDrivers(redis, never, 100, Metrics())
        drivers.record("dan", fixes(1))
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        drivers.tell_when_safe("dan", answered.set_result)
        flushing = asyncio.create_task(drivers.flush())
        assert await answered is False
        assert not flushing.done()
        await flushing  # its own answer comes too late, and is left out


async def test_points_that_are_being_written_are_known(silent: RedisDrivers) -> None:
    silent.saw(sighting("dan", 1))
    writing = asyncio.create_task(silent.flush())
    await asyncio.sleep(0)
    assert await silent.newest("dan") == sighting("dan", 1)
    assert not writing.done()
    writing.cancel()


class TestTracks:
    """Points go to Redis with the sighting that counts them as taken, or nowhere."""

    @pytest.fixture
    async def redis(self, tmp_path: Path) -> AsyncIterator[Redis]:
        with EmbeddedStores.start(tmp_path, redis=True, mongodb=False) as own:
            async with RedisAddress.parse(str(own.redis_url)).client() as redis:
                yield redis

    async def test_points_and_sightings_are_written_together(self, redis: Redis) -> None:
        drivers = drivers_on(redis)
        safe: list[bool] = []
        drivers.saw(sighting("dan", 2))
        drivers.record("dan", fixes(1, 2))
        drivers.saw(sighting("eve", 1))
        assert not drivers.is_safe("dan")
        assert drivers.is_safe("eve")
        drivers.tell_when_safe("dan", safe.append)
        await drivers.flush()
        assert safe == [True]
        assert drivers.is_safe("dan")
        stream = TrackStream(redis)
        (entry,) = await stream.take()
        assert list(entry.reports) == [Report("dan", fixes(1, 2))]
        assert (await stream.lag()).points == 2
        assert await drivers_on(redis).newest("dan") == sighting("dan", 2)

    async def test_a_full_stream_takes_neither_points_nor_the_sightings_that_count_them(
        self, redis: Redis
    ) -> None:
        drivers = drivers_on(redis, max_points=3)
        safe: list[bool] = []
        for driver_id, times in (("dan", (1, 2)), ("eve", (1, 2))):
            drivers.saw(sighting(driver_id, 2))
            drivers.record(driver_id, fixes(*times))
            drivers.tell_when_safe(driver_id, safe.append)
            await drivers.flush()
        assert safe == [True, False]
        assert await drivers_on(redis).newest("eve") is None
        stream = TrackStream(redis)
        await stream.remove(await stream.take())
        await drivers.flush()
        assert drivers.is_safe("eve")
        assert await drivers_on(redis).newest("eve") == sighting("eve", 2)

    async def test_of_a_large_backlog_no_later_points_are_taken_before_the_earlier(
        self, redis: Redis
    ) -> None:
        drivers = drivers_on(redis, max_points=2_100)
        drivers.record("eve", fixes(*range(1_000)))
        await drivers.flush()
        drivers.record("dan", fixes(*range(2_500)))
        await drivers.flush()
        stream, taken = TrackStream(redis), list[Point]()
        while not drivers.is_safe("dan") or (await stream.lag()).points:
            entries = await stream.take()
            for report in (report for entry in entries for report in entry.reports):
                taken += report.points if report.driver_id == "dan" else ()
            await stream.remove(entries)
            await drivers.flush()
        assert taken == fixes(*range(2_500))

    async def test_while_redis_is_away_mongodb_has_the_points(self) -> None:
        kept: list[Report] = []
        safe: list[bool] = []
        is_away = True

        async def keep(reports: Sequence[Report], saved: Saved) -> None:
            if is_away:
                raise Unavailable("the store is away")
            kept.extend(reports)
            saved(reports)

        nobody = RedisAddress.parse(f"redis://127.0.0.1:{_free_port()}").client()
        silent = drivers_on(nobody, keep)
        silent.record("dan", fixes(1))
        silent.tell_when_safe("dan", safe.append)
        await silent.flush()
        assert (safe, silent.is_safe("dan")) == ([False], False)
        is_away = False
        silent.record("dan", fixes(2))
        silent.tell_when_safe("dan", safe.append)
        await silent.flush()
        assert (safe, silent.is_safe("dan")) == ([False, True], True)
        assert kept == [Report("dan", fixes(1, 2))]
        await nobody.aclose()

    async def test_points_are_safe_even_if_nobody_can_be_found_nearby(self, redis: Redis) -> None:
        await redis.set(keys.NEARBY_PLACES, "what is no geo set")
        drivers = drivers_on(redis)
        safe: list[bool] = []
        for driver_id in (f"d{n}" for n in range(DRIVERS_AT_ONCE + 1)):
            drivers.came(driver_id, DriverAvailability.AVAILABLE)
            drivers.saw(sighting(driver_id, 9_999), fixes(9_999))
        drivers.tell_when_safe("d0", safe.append)
        await drivers.flush()
        assert safe == [True]

    async def test_each_who_waits_is_told_of_its_own_points(self) -> None:
        async def keep(reports: Sequence[Report], saved: Saved) -> None:
            saved([each for each in reports if each.driver_id != "dan"])
            raise Unavailable("the store is away")

        nobody = RedisAddress.parse(f"redis://127.0.0.1:{_free_port()}").client()
        drivers = drivers_on(nobody, keep)
        told: list[tuple[str, bool]] = []
        for driver_id in ("dan", "eve"):
            drivers.record(driver_id, fixes(1))
            drivers.tell_when_safe(driver_id, partial(_note, told, driver_id))
        await drivers.flush()
        assert told == [("dan", False), ("eve", True)]
        assert (drivers.is_safe("dan"), drivers.is_safe("eve")) == (False, True)
        await nobody.aclose()

    async def test_at_the_end_points_are_written_as_long_as_that_gets_on(self) -> None:
        asked: list[int] = []

        async def keep(reports: Sequence[Report], saved: Saved) -> None:
            asked.append(len(reports))
            if len(reports) > 1:
                saved(reports[:1])

        nobody = RedisAddress.parse(f"redis://127.0.0.1:{_free_port()}").client()
        drivers = drivers_on(nobody, keep)
        for driver_id in ("dan", "eve", "ida"):
            drivers.record(driver_id, fixes(1))
        await drivers.finish(within_s=60)
        assert asked == [3, 2, 1]
        await nobody.aclose()

    async def test_what_has_no_time_left_is_the_next_flushs(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drivers = drivers_on(redis, _never)
        drivers.saw(sighting("dan", 1), fixes(1))
        with monkeypatch.context() as busy:
            busy.setattr("realtime.drivers.BEGIN_WITHIN_S", -1)
            await drivers.flush()
        assert not drivers.is_safe("dan")
        await drivers.flush()
        assert drivers.is_safe("dan")

    async def test_who_came_while_mongodb_took_points_does_not_wait_for_redis_again(
        self, silence: Redis, asked: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("realtime.drivers.WRITE_WITHIN_S", 0.05)
        monkeypatch.setattr("realtime.drivers.PAUSE_S", 0)
        kept: list[Report] = []

        async def keep(reports: Sequence[Report], saved: Saved) -> None:
            kept.extend(reports)
            saved(reports)
            monkeypatch.setattr("realtime.drivers.PAUSE_S", 3_600)

        drivers = drivers_on(silence, keep)
        drivers.record("dan", fixes(1))
        await drivers.flush()
        questions = list(asked)
        drivers.record("dan", fixes(2))
        await drivers.flush()
        assert kept == [Report("dan", fixes(1)), Report("dan", fixes(2))]
        assert asked == questions

    async def test_after_a_place_without_an_answer_points_do_not_wait_for_redis(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept: list[Report] = []

        async def keep(reports: Sequence[Report], saved: Saved) -> None:
            kept.extend(reports)
            saved(reports)

        noted: list[Sequence[Sighting]] = []

        async def note(sightings: Sequence[Sighting]) -> None:
            noted.append(sightings)
            raise TimeoutError

        drivers = drivers_on(redis, keep)
        monkeypatch.setattr(drivers.nearby, "note", note)
        drivers.saw(sighting("dan", 1), fixes(1))
        await drivers.flush()
        assert kept == []
        drivers.saw(sighting("dan", 2), fixes(2))
        await drivers.flush()
        assert len(noted) == 1
        assert kept == [Report("dan", fixes(2))]

    async def test_a_fault_does_not_end_the_writing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("realtime.drivers.PAUSE_S", 0.01)
        kept = asyncio.Event()
        safe: list[bool] = []

        async def keep(reports: Sequence[Report], saved: Saved) -> None:
            if not safe:
                raise RuntimeError("a fault")
            saved(reports)
            kept.set()

        nobody = RedisAddress.parse(f"redis://127.0.0.1:{_free_port()}").client()
        drivers = drivers_on(nobody, keep)
        drivers.record("dan", fixes(1))
        drivers.tell_when_safe("dan", safe.append)
        running = asyncio.create_task(drivers.run())
        await asyncio.wait_for(kept.wait(), 10)
        running.cancel()
        assert safe == [False]
        await nobody.aclose()

    async def test_what_there_is_no_room_for_is_not_called_safe(self, silent: RedisDrivers) -> None:
        silent.record("dan", fixes(*range(MAX_POINTS)))
        silent.record("eve", fixes(1))
        assert not silent.is_safe("eve")
        told: list[bool] = []
        silent.tell_when_safe("eve", told.append)
        assert told == [False]

    def test_what_is_being_saved_counts_until_it_is(self) -> None:
        unsaved = Unsaved()
        unsaved.record("dan", fixes(*range(MAX_POINTS)))
        taken = unsaved.take()
        unsaved.record("dan", fixes(1))
        assert (unsaved.dropped, unsaved.is_full) == (1, True)
        unsaved.put_back(taken)
        assert (len(unsaved.points["dan"]), unsaved.is_full) == (MAX_POINTS, True)
        saved = unsaved.take()
        for portion in saved.portions():
            saved.saved(portion)
        assert not unsaved.is_full

    def test_what_waits_in_memory_is_bounded(self) -> None:
        unsaved = Unsaved()
        for driver_id in ("dan", "eve"):
            unsaved.record(driver_id, fixes(*range(MAX_POINTS)))
        assert (len(unsaved.points["dan"]), unsaved.dropped) == (MAX_POINTS, MAX_POINTS)
        assert "eve" not in unsaved.points


def test_a_large_backlog_is_written_in_portions_that_together_are_all_of_it() -> None:
    unsaved = Unsaved()
    many = {f"d{n}": fixes(*range(n % 5 * 900 if n < 50 else 0)) for n in range(700)}
    for driver_id, points in many.items():
        unsaved.note(sighting(driver_id, 9))
        if points:
            unsaved.record(driver_id, points)
    written: dict[str, list[Point]] = {driver_id: [] for driver_id in many}
    seen: list[str] = []
    for portion in list(unsaved.portions()):
        assert portion.count < 4_000
        assert len(portion.sightings) <= 500
        for driver_id, points_of in portion.points:
            assert driver_id not in seen
            written[driver_id] += points_of
        seen += [each.driver_id for each in portion.sightings]
        assert all(written[each] == many[each] for each in seen)
        unsaved.saved(portion)
    assert (sorted(seen), bool(unsaved)) == (sorted(many), False)
