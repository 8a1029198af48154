"""What it costs to put drivers' points into tracks: `python -m bench.archiving`.

An instance that has nothing else to do archives what this process, in the place of another one,
writes to Redis. At the end each point has to be in its track, once.
"""

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from bench import servers
from bench.accounting import Reading, Spent, pin
from bench.load.metronome import Metronome
from bench.plan import Contestant
from handlers.measuring import points_of
from models import mongo
from models.collections import TRIPS
from models.identity import Identity, Role
from models.mongo.connection import DEFAULT_DATABASE
from models.mongo.driver import Database, encoded
from models.mongo.trips import document_of
from models.points import Place, Point
from models.stores import Stores, TripRecord
from models.tracks import parts
from models.trips import Relation, Status, Trip, moved, requested
from realtime.app import now
from realtime.direct_archive import DirectArchive
from realtime.drivers import RedisDrivers
from realtime.metrics import Metrics
from realtime.redis_address import RedisAddress
from realtime.track_stream import TrackStream

WITHIN_S: Final = 120.0
"""How long the archive may take for what is left at the end."""
_LOOK_S: Final = 0.5
_IDLE_S: Final = 5.0
_AT_ONCE: Final = 200
_HOUR_MS: Final = 3_600_000
_STAFF: Final = Identity("bench", Role.SERVICE, expires_at=2**53)
_TOLD: Final = """{points:,} points of {drivers:,} drivers, each after {ended} trips today:
  {cpu_us:.1f} CPU µs a point, {share:.1%} of a core at {rate:,.0f} points/s, beside {idle:.1%} idle
  in the tracks {late_s:.1f} s after the last one, of which 6 s are meant
  Redis {redis_us:.1f} CPU µs a point; {missing:,} points missing
"""


class Archived(Struct, frozen=True):
    points: int
    spent: Spent
    """Until all were in the tracks. The server's CPU time, then that of Redis."""
    idle: float
    """The share of a core that the server used before."""
    late_s: float
    missing: int


async def archived(drivers: int, ended: int, seconds: float) -> Archived:
    """Feed a point a second and driver for so long, and wait until all are in tracks."""
    async with servers.stores() as shared:
        connection = mongo.connect(shared.mongodb_url)
        await connection.migrate()
        running = await _trips(shared.mongodb_url, drivers, ended)
        ridewire = servers.PROGRAMS[Contestant.RIDEWIRE]
        urls = {"REDIS_URL": shared.redis_url, "MONGODB_URL": shared.mongodb_url}
        settings = {**ridewire.settings, **urls, "PORT": "0", "JWT_SECRET": "s" * 48}
        async with servers.running(ridewire.command, settings) as server:
            result = await _fed(shared, connection.stores, running, seconds, server.pid)
        await connection.close()
    return result


async def _fed(
    shared: servers.Stores, kept: Stores, running: list[Trip], seconds: float, pid: int
) -> Archived:
    sent: dict[str, list[int]] = defaultdict(list)
    async with RedisAddress.parse(shared.redis_url).client() as redis:
        metrics = Metrics()
        direct = DirectArchive(kept, now, metrics)
        drivers = RedisDrivers(redis, direct.keep, 10**9, metrics)
        idle = await _busy(pid)
        pids = (pid, int((await redis.info("server"))["process_id"]))
        before = Reading.take(pids)
        writing = asyncio.create_task(drivers.run())

        def report(number: int, _at: float) -> None:
            trip = running[number % len(running)]
            step, ts = number // len(running), now()
            sent[trip.id].append(ts)
            drivers.record(str(trip.driver_id), [Point(52.5 + step / 10_000, 13.4, ts, step)])

        beat = Metronome(len(running), report)
        await asyncio.sleep(seconds)
        beat.stop()
        began = time.perf_counter()
        stream = TrackStream(redis)
        async with asyncio.timeout(WITHIN_S):
            await drivers.flush()
            while (await stream.lag()).points:  # noqa: ASYNC110 - another process
                await asyncio.sleep(_LOOK_S)
        late_s = time.perf_counter() - began
        spent = Reading.take(pids).since(before)
        writing.cancel()
    missing = sum([len(set(sent[t.id]) ^ set(await _track(kept, t))) for t in running])
    return Archived(sum(map(len, sent.values())), spent, idle, late_s, missing)


async def _busy(pid: int) -> float:
    """The share of a core that a process uses now."""
    before = Reading.take((pid,))
    await asyncio.sleep(_IDLE_S)
    return Reading.take((pid,)).since(before).busy


async def _track(kept: Stores, trip: Trip) -> list[int]:
    (part,) = parts(trip)
    return [p.ts async for some in points_of(kept.tracks, trip.id, part, now()) for p in some]


async def _trips(url: str, drivers: int, ended: int) -> list[Trip]:
    """Have a day's trips in the store; the running ones of them."""
    database = Database(url, DEFAULT_DATABASE)
    collection = database.collection(TRIPS.name)
    running: list[Trip] = []
    some: list[TripRecord] = []
    for number in range(drivers):
        of_driver = list(_day(number, ended))
        running.append(of_driver[-1].trip)
        some += of_driver
        if len(some) >= _AT_ONCE or number == drivers - 1:
            await collection.insert_each([encoded(document_of(record)) for record in some])
            some.clear()
    await database.close()
    return running


def _day(driver: int, ended: int) -> Iterator[TripRecord]:
    """A driver's trips, the last of which runs. The others ended one hour after the other."""
    began = now() - 1_000
    for number in range(ended + 1):
        at = began - (ended - number) * _HOUR_MS
        trip = _accepted(f"t{driver}-{number}", f"d{driver}", at)
        chat_until = None
        if number < ended:
            trip = moved(trip, Status.CANCELLED, _STAFF, Relation.STAFF, now=at + _HOUR_MS // 2)
            chat_until = at + 24 * _HOUR_MS
        yield TripRecord(trip=trip, creator=_STAFF.key, client_id=trip.id, chat_until=chat_until)


def _accepted(trip_id: str, driver_id: str, at: int) -> Trip:
    """A trip that a driver has, since a time in ms."""
    trip = requested(
        trip_id,
        f"rider-{driver_id}",
        _STAFF,
        now=at,
        pickup=Place(52.5, 13.4),
        dropoff=None,
        stops=(),
        offer=None,
        pin=None,
        metadata={},
    )
    return moved(trip, Status.ACCEPTED, _STAFF, Relation.STAFF, now=at, driver_id=driver_id)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.archiving", description=__doc__)
    parser.add_argument("--drivers", type=int, default=5_000, help="each sends a point a second")
    parser.add_argument("--ended", type=int, default=20, help="trips of each that ended today")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    pin(servers.LOAD_CORE)
    result = asyncio.run(archived(given.drivers, given.ended, given.seconds))
    used_s, redis_s = result.spent.cpu_s
    cpu_us = (used_s - result.idle * result.spent.seconds) / result.points * 1e6
    rate = result.points / given.seconds
    sys.stdout.write(
        _TOLD.format(
            points=result.points,
            drivers=given.drivers,
            ended=given.ended,
            cpu_us=cpu_us,
            share=cpu_us * rate / 1e6,
            rate=rate,
            late_s=result.late_s,
            idle=result.idle,
            redis_us=redis_s / result.points * 1e6,
            missing=result.missing,
        )
    )
    return int(result.missing > 0)


if __name__ == "__main__":
    sys.exit(main())
