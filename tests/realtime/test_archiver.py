"""Points on their way from the stream into tracks, by several instances, one of which may die."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from handlers.measuring import points_of
from handlers.tracks import TrackKeeper
from models import mongo
from models.errors import Unavailable
from models.points import Point, Sighting
from models.stores import Tracks
from models.tracks import Report, TrackMinute, parts
from models.trips import Trip
from realtime import archiver, keys, track_stream
from realtime.archiver import Archiver
from realtime.embedded import EmbeddedStores
from realtime.metrics import Metrics
from realtime.redis_address import RedisAddress
from realtime.track_stream import TrackStream
from tests.handlers.world import NOW, World
from tests.realtime.drivers import drivers_on
from tests.realtime.refusing import Refusing, everything, of_driver, with_seq

WITHIN_S = 10


class Archive:
    """Drivers' points in Redis, and instances that put them into the tracks of a world."""

    def __init__(self, redis: Redis, stop_redis: Callable[[], None]) -> None:
        self.redis = redis
        self.stop_redis = stop_redis
        self.world = World()
        self.drivers = drivers_on(redis, max_points=10_000)

    async def reports(self, *seqs: int, ago_ms: int = 0) -> None:
        points = [Point(lat=52.5, lng=13.4, ts=NOW + seq - ago_ms, seq=seq) for seq in seqs]
        self.drivers.saw(Sighting("dan", points[-1], "phone", NOW))
        self.drivers.record("dan", points)
        await self.drivers.flush()

    def instance(self, metrics: Metrics | None = None, tracks: Tracks | None = None) -> Archiver:
        kept = self.world.stores
        keeper = TrackKeeper(replace(kept, tracks=tracks or kept.tracks), self.world.clock)
        return Archiver(TrackStream(self.redis), keeper, metrics or Metrics())

    async def set_aside(self) -> list[dict[bytes, bytes]]:
        found: Any = await self.redis.xrange(keys.track_set_aside())
        return [fields for _, fields in found]

    async def track(self, trip: Trip) -> list[int]:
        return [
            point.seq
            for part in parts((await self.world.stored(trip.id)).trip)
            async for points in points_of(self.world.stores.tracks, trip.id, part, NOW + 10**6)
            for point in points
        ]

    async def waiting(self) -> tuple[int, int]:
        """Points and entries in the stream."""
        lag = await TrackStream(self.redis).lag()
        return lag.points, await self.redis.xlen(keys.track_stream())


class Stalling:
    """What stands before a store of tracks, and holds writes up."""

    def __init__(self, tracks: Tracks) -> None:
        self._tracks = tracks
        self.began = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def add(self, points: Mapping[TrackMinute, Sequence[Point]]) -> None:
        self.began.set()
        await self.goes_on.wait()
        await self._tracks.add(points)

    async def read(self, minutes: Sequence[TrackMinute]) -> Sequence[Point]:
        return await self._tracks.read(minutes)


@pytest.fixture
async def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archive]:
    monkeypatch.setattr(archiver, "SETTLE_S", 0.05)
    monkeypatch.setattr(archiver, "TICK_S", 0.02)
    with EmbeddedStores.start(tmp_path, redis=True, mongodb=False) as own:
        async with RedisAddress.parse(str(own.redis_url)).client() as redis:
            yield Archive(redis, own.stop)


async def until_nothing_waits(archive: Archive, *instances: Archiver) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await archive.waiting() != (0, 0):
            await asyncio.gather(*(instance.turn() for instance in instances))


async def test_points_come_into_the_track_and_leave_the_stream(archive: Archive) -> None:
    trip = await archive.world.trip_in("in_progress")
    await archive.reports(1, 2)
    await archive.reports(3)
    assert await archive.waiting() == (3, 2)
    instance = archive.instance()
    await instance.turn()
    assert await archive.track(trip) == [1, 2, 3]
    assert await archive.waiting() == (3, 2)  # until the second look
    await until_nothing_waits(archive, instance)
    assert await archive.track(trip) == [1, 2, 3]


async def test_several_instances_share_the_work(archive: Archive) -> None:
    trip = await archive.world.trip_in("in_progress")
    instances = [archive.instance() for _ in range(3)]
    for seq in range(20):
        await archive.reports(seq)
    await until_nothing_waits(archive, *instances)
    assert await archive.track(trip) == list(range(20))


async def test_what_a_dead_instance_had_taken_others_finish(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_stream, "LEASE_S", 0.2)
    trip = await archive.world.trip_in("in_progress")
    await archive.reports(1)
    await TrackStream(archive.redis).take()  # and it dies
    await archive.reports(2)
    await until_nothing_waits(archive, archive.instance())
    assert await archive.track(trip) == [1, 2]


async def test_what_is_renewed_nobody_else_takes(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_stream, "LEASE_S", 0.3)
    await archive.reports(1)
    owner, other = TrackStream(archive.redis), TrackStream(archive.redis)
    taken = await owner.take()
    deadline = asyncio.get_running_loop().time() + 1
    while asyncio.get_running_loop().time() < deadline:
        await owner.renew(taken)
        assert await other.take() == []


async def test_an_archiver_keeps_what_it_has_however_long_mongodb_takes(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_stream, "LEASE_S", 1.0)
    monkeypatch.setattr(archiver, "RENEW_S", 0.05)
    trip = await archive.world.trip_in("in_progress")
    await archive.reports(1)
    tracks = Stalling(archive.world.stores.tracks)
    running = asyncio.create_task(archive.instance(tracks=tracks).run())
    await asyncio.wait_for(tracks.began.wait(), WITHIN_S)
    other = TrackStream(archive.redis)
    deadline = asyncio.get_running_loop().time() + 2.2
    while asyncio.get_running_loop().time() < deadline:
        assert await other.take() == []
        await asyncio.sleep(0.01)
    tracks.goes_on.set()
    await until_nothing_waits(archive)
    running.cancel()
    assert await archive.track(trip) == [1]


async def test_what_two_instances_have_at_once_is_stored_once(
    archive: Archive, stores: EmbeddedStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was frozen in the midst of a write, for longer than it has what it took."""
    monkeypatch.setattr(track_stream, "LEASE_S", 0.05)
    connection = mongo.connect(str(stores.mongodb_url))
    archive.world.stores = replace(archive.world.stores, tracks=connection.stores.tracks)
    trip = await archive.world.trip_in("in_progress")
    tracks = Stalling(connection.stores.tracks)
    frozen, other = archive.instance(tracks=tracks), archive.instance()
    await archive.reports(1, 2)
    under_way = asyncio.create_task(frozen.turn())
    await asyncio.wait_for(tracks.began.wait(), WITHIN_S)
    await archive.reports(3)
    async with asyncio.timeout(WITHIN_S):
        while not await _is_abandoned(archive.redis):  # noqa: ASYNC110 - Redis' clock
            await asyncio.sleep(0.005)
    await until_nothing_waits(archive, other)
    tracks.goes_on.set()
    await under_way
    await archive.reports(4)
    await until_nothing_waits(archive, frozen, other)
    assert await archive.track(trip) == [1, 2, 3, 4]
    assert await archive.set_aside() == []
    await connection.close()


async def _is_abandoned(redis: Redis) -> bool:
    """Whether the oldest entry was taken longer ago than its owner has it."""
    found: Any = await redis.xpending_range(keys.track_stream(), "archive", "-", "+", 1)
    return bool(found[0]["time_since_delivered"] > 1_000 * track_stream.LEASE_S)


async def test_what_two_remove_counts_once(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_stream, "LEASE_S", 0)
    one, other = TrackStream(archive.redis), TrackStream(archive.redis)
    await archive.reports(1, 2)
    taken = await one.take()
    assert await other.take() == taken
    await archive.reports(3)
    for stream in (one, other):
        await stream.remove(taken)
    assert await archive.waiting() == (1, 1)


async def test_points_wait_in_the_stream_while_mongodb_is_away(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = await archive.world.trip_in("in_progress")
    instance = archive.instance()
    running = asyncio.create_task(instance.run())
    with monkeypatch.context() as away:
        tried = asyncio.Event()

        async def add(_points: object) -> None:
            tried.set()
            raise Unavailable("the store is away")

        away.setattr(archive.world.stores.tracks, "add", add)
        await archive.reports(1, 2)
        await asyncio.wait_for(tried.wait(), WITHIN_S)
        assert await archive.waiting() == (2, 1)
    await until_nothing_waits(archive)
    running.cancel()
    assert await archive.track(trip) == [1, 2]


async def test_a_redis_that_forgot_everything_is_used_again(archive: Archive) -> None:
    trip = await archive.world.trip_in("in_progress")
    instance = archive.instance()
    await archive.reports(1)
    await until_nothing_waits(archive, instance)
    await archive.redis.flushall()
    await archive.reports(2)
    await until_nothing_waits(archive, instance)
    assert await archive.track(trip) == [1, 2]


async def test_a_redis_that_forgot_everything_is_used_again_by_who_can_take_no_more(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "MAX_HELD", 2)
    monkeypatch.setattr(archiver, "RENEW_S", 0.01)
    trip = await archive.world.trip_in("in_progress")
    instance = archive.instance()
    await archive.reports(1, 2)
    await instance.turn()
    await archive.redis.flushall()
    await archive.reports(3)
    await until_nothing_waits(archive, instance)
    assert await archive.track(trip) == [1, 2, 3]


async def test_a_count_that_is_wrong_is_right_again_when_nothing_waits(archive: Archive) -> None:
    await archive.redis.set(keys.track_points(), 9_999)
    await archive.reports(1)
    await until_nothing_waits(archive, archive.instance())
    await archive.reports(2, 3)
    assert await archive.waiting() == (2, 1)


class TestPoison:
    """What cannot be archived is put aside, and holds up nobody."""

    async def test_what_cannot_be_read_is_put_aside_as_it_was(self, archive: Archive) -> None:
        trip = await archive.world.trip_in("in_progress")
        await archive.redis.xadd(keys.track_stream(), {"points": 0, "reports": b"no msgpack"})
        await archive.redis.xadd(keys.track_stream(), {"what": "none of ours"})
        await archive.reports(1)
        metrics = Metrics()
        await until_nothing_waits(archive, archive.instance(metrics))
        assert await archive.track(trip) == [1]
        assert metrics.track_points.counts["set_aside"] == 2
        first, second = await archive.set_aside()
        assert (first[b"reports"], second[b"what"]) == (b"no msgpack", b"none of ours")
        assert all(each[b"why"] for each in (first, second))

    async def test_what_the_store_refuses_is_put_aside_when_others_can_be_kept(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trip = await archive.world.trip_in("in_progress")
        Refusing(archive.world, monkeypatch, with_seq(2))
        instance = archive.instance()
        await archive.reports(2)
        await instance.turn()
        assert await archive.waiting() == (1, 1), "it may be the store's fault"
        for seq in (1, 3, 4):
            await archive.reports(seq)
        await until_nothing_waits(archive, instance)
        assert await archive.track(trip) == [1, 3, 4]
        (refused,) = await archive.set_aside()
        assert (refused[b"points"], b"refuses" in refused[b"why"]) == (b"1", True)

    async def test_of_what_many_drivers_sent_only_what_is_refused_is_put_aside(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drivers = ("dan", "eve", "ida")
        trips = [await archive.world.trip_in("accepted", driver_id=each) for each in drivers]
        Refusing(archive.world, monkeypatch, of_driver("eve"))
        refused = Point(lat=52.5, lng=13.4, ts=NOW, seq=1)
        for driver_id in drivers:
            archive.drivers.record(driver_id, [refused])
        await archive.drivers.flush()
        await archive.reports(2)
        assert await archive.waiting() == (4, 2)
        metrics = Metrics()
        await until_nothing_waits(archive, archive.instance(metrics))
        assert [await archive.track(trip) for trip in trips] == [[1, 2], [], [1]]
        (aside,) = await archive.set_aside()
        reports = msgspec.msgpack.decode(aside[b"reports"], type=list[Report])
        assert (aside[b"points"], reports) == (b"1", [Report("eve", [refused])])
        assert metrics.track_points.counts["set_aside"] == 1

    async def test_what_is_refused_only_at_the_second_look_is_put_aside(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Refusing(archive.world, monkeypatch, with_seq(1))
        instance = archive.instance()
        await archive.reports(1)
        await instance.turn()
        trip = await archive.world.trip_in("accepted")
        async with asyncio.timeout(WITHIN_S):
            for seq in itertools.count(2):
                await archive.reports(seq)
                await instance.turn()
                if await archive.set_aside():
                    break
        await until_nothing_waits(archive, instance)
        assert 1 not in await archive.track(trip)

    async def test_where_the_store_refuses_everything_nothing_is_put_aside(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trip = await archive.world.trip_in("in_progress")
        store = Refusing(archive.world, monkeypatch, everything)
        instance = archive.instance()
        await archive.reports(1)
        await archive.reports(2)
        await archive.reports(3, ago_ms=100_000)  # is of no trip, and cannot be refused
        async with asyncio.timeout(WITHIN_S):
            while await archive.waiting() != (2, 2):
                await instance.turn()
        assert await archive.set_aside() == []
        store.refused = None
        await until_nothing_waits(archive, instance)
        assert await archive.track(trip) == [1, 2]

    async def test_the_oldest_of_many_gives_way(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(track_stream, "MAX_SET_ASIDE", 2)
        for number in range(3):
            await archive.redis.xadd(keys.track_stream(), {"what": number})
        await until_nothing_waits(archive, archive.instance())
        assert [each[b"what"] for each in await archive.set_aside()] == [b"1", b"2"]


async def test_no_more_is_taken_than_there_is_room_for(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "MAX_HELD", 20)
    for seq in range(0, 50, 10):
        await archive.reports(*range(seq, seq + 10))
    instance = archive.instance()
    await instance.turn()
    pending = await archive.redis.xpending(keys.track_stream(), "archive")
    assert pending["pending"] == 2
    trip = await archive.world.trip_in("in_progress")
    await until_nothing_waits(archive, instance)
    assert len(await archive.track(trip)) == 50


async def test_how_much_waits_is_not_told_while_redis_is_away(archive: Archive) -> None:
    instance = archive.instance()
    assert instance.waiting_points == {}
    await archive.reports(1, 2)
    await instance.measure_lag()
    assert instance.waiting_points == {(): 2}
    assert instance.waiting_seconds[()] >= 0
    archive.stop_redis()
    await instance.measure_lag()
    assert (instance.waiting_points, instance.waiting_seconds) == ({}, {})


async def test_consumers_that_are_gone_are_forgotten(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_stream, "FORGOTTEN_MS", -1)
    streams = [TrackStream(archive.redis) for _ in range(3)]
    await archive.reports(1)
    for stream in streams:
        await stream.take()
    await streams[0].forget_consumers()
    left = await archive.redis.xinfo_consumers(keys.track_stream(), "archive")
    assert [consumer["pending"] for consumer in left] == [1]
