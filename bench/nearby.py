"""How long a search for drivers nearby takes while all report: `python -m bench.nearby`.

Drivers of a large city report once a second to instances that do nothing else, each on the servers'
core; this process searches, beside Redis. What Redis itself needs for each command is told, too.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import uvloop
from msgspec import Struct
from redis.asyncio import Redis

from bench import servers
from bench.accounting import Reading, Spent, pin
from bench.load.metronome import Metronome
from bench.load.record import percentile
from handlers.nearby import NearbyHandler
from models.commands import DriverAvailability
from models.errors import Unavailable
from models.identity import Identity, Role
from models.points import FilterState, Point, Sighting
from models.presence import PresenceLimits
from models.requests import DriversNearby
from models.tracks import Report
from realtime import keys
from realtime.app import now
from realtime.drivers import RedisDrivers, Saved
from realtime.metrics import Metrics
from realtime.nearby import NearbyIndex
from realtime.redis_address import RedisAddress

SEARCHES: Final = ((2_000, 20), (10_000, 20), (100_000, 20), (3_000, 100))
"""Radius in metres, and how many drivers are asked for."""
CITY: Final = (52.5, 13.4)
_SPREAD: Final = (0.08, 0.13)
"""Of drivers and searches around it, degrees: a standard deviation."""
GOAL_MS: Final = 20.0
"""What 99 of 100 searches are to stay below."""
_READY_WITHIN_S: Final = 60.0
_PAUSE_S: Final = 0.01
_BATCHES_PER_S: Final = 50
_SERVICE: Final = Identity("bench", Role.SERVICE, expires_at=2**53)
_SHOWN: Final = ("evalsha", "geosearch", "mget", "set", "geoadd", "zadd")


class Search(Struct, frozen=True):
    """Searches of one kind."""

    radius_m: int
    limit: int
    seconds: Sequence[float]
    """What each took, ascending."""
    found: float
    """Drivers, on average."""


def places(seed: int, count: int) -> Iterator[tuple[float, float]]:
    rng = Random(seed)  # noqa: S311 - places, no secrets
    for _ in range(count):
        yield rng.gauss(CITY[0], _SPREAD[0]), rng.gauss(CITY[1], _SPREAD[1])


async def report(url: str, instance: int, count: int) -> None:
    """Be an instance whose drivers report once a second, for ever."""
    drivers = list(places(instance, count))
    async with RedisAddress.parse(url).client() as redis:
        kept = RedisDrivers(redis, _nowhere, 1, Metrics())
        names = [f"driver-{instance}-{n}" for n in range(count)]
        for name in names:
            kept.came(name, DriverAvailability.AVAILABLE)
        await kept.availability.say_again()
        tasks = [asyncio.create_task(run) for run in (kept.run(), kept.availability.run())]

        def beat(number: int, _at: float) -> None:
            for n in range(number % _BATCHES_PER_S, count, _BATCHES_PER_S):
                at, (lat, lng) = now(), drivers[n]
                point = Point(lat, lng, at, number, 90.0, 8.3, 5.0)
                kept.saw(Sighting(names[n], point, "phone", at, FilterState(point)))

        Metronome(_BATCHES_PER_S, beat)
        await asyncio.gather(*tasks)


async def _nowhere(_reports: Sequence[Report], _saved: Saved) -> None:
    raise Unavailable("there are no tracks here")


async def search(redis: Redis, seconds: float) -> list[Search]:
    index = NearbyIndex(redis, lambda _driver_id: None)
    handler = NearbyHandler(index, PresenceLimits(), now)
    return [await _search(handler, *kind, seconds / len(SEARCHES)) for kind in SEARCHES]


async def _search(handler: NearbyHandler, radius_m: int, limit: int, seconds: float) -> Search:
    took: list[float] = []
    found = 0
    until = time.perf_counter() + seconds
    for lat, lng in places(-1, 1_000_000):
        began = time.perf_counter()
        if began > until:
            break
        wish = DriversNearby(lat=lat, lng=lng, radius_m=radius_m, limit=limit)
        found += len(await handler.find(_SERVICE, wish))
        took.append(time.perf_counter() - began)
        await asyncio.sleep(_PAUSE_S)
    return Search(radius_m, limit, sorted(took), found / len(took))


async def measured(url: str, pids: Sequence[int], drivers: int, seconds: float) -> int:
    """Search, and tell what it took; how many kinds of searches miss the goal.

    Raises TimeoutError when the drivers are not all seen.
    """
    async with RedisAddress.parse(url).client() as redis:
        async with asyncio.timeout(_READY_WITHIN_S):
            while await redis.zcard(keys.NEARBY_PLACES) < drivers:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(_PAUSE_S)
        await redis.config_resetstat()
        redis_pid = int((await redis.info("server"))["process_id"])
        before = Reading.take((redis_pid, *pids))
        searches = await search(redis, seconds)
        spent = Reading.take((redis_pid, *pids)).since(before)
        stats = await redis.info("commandstats")
    _tell(searches, spent, stats)
    return sum((percentile(each.seconds, 99) or 0) > GOAL_MS for each in searches)


def _tell(searches: Sequence[Search], spent: Spent, stats: dict[str, dict[str, float]]) -> None:
    for each in searches:
        p50, p99 = (percentile(each.seconds, share) for share in (50, 99))
        sys.stdout.write(
            f"{each.radius_m:>7,} m, {each.limit:>3} asked for, {each.found:.0f} found: "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(each.seconds):,}\n"
        )
    busy = [f"{used / spent.seconds:.0%}" for used in spent.cpu_s]
    sys.stdout.write(
        f"Redis busy {busy[0]}, instances {', '.join(busy[1:])}, searches {spent.own_busy:.0%}\n"
    )
    for name in _SHOWN:
        told = stats.get(f"cmdstat_{name}")
        if told:
            share = told["usec"] / spent.seconds / 1e6
            sys.stdout.write(
                f"  {name}: {told['calls'] / spent.seconds:,.0f}/s, "
                f"{told['usec_per_call']:,.0f} µs each, {share:.0%} of Redis' time\n"
            )


@asynccontextmanager
async def _instances(url: str, count: int, drivers: int) -> AsyncIterator[list[int]]:
    """Processes that report; their ids."""
    command = (sys.executable, "-m", "bench.nearby", "--redis", url)
    processes = [
        await asyncio.create_subprocess_exec(
            *servers.on_server_core(*command, "--instance", str(n), "--drivers", str(drivers)),
            cwd=servers.ROOT,
        )
        for n in range(count)
    ]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            await process.wait()


async def run(drivers: int, instances: int, seconds: float) -> int:
    async with servers.stores() as stores:
        url = stores.redis_url
        each = drivers // instances
        async with _instances(url, instances, each) as pids:
            return await measured(url, pids, each * instances, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.nearby", description=__doc__)
    parser.add_argument("--drivers", type=int, default=50_000, help="each reports once a second")
    parser.add_argument("--instances", type=int, default=2, help="that they report to")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--redis", metavar="URL", help="only be an instance on this Redis")
    parser.add_argument("--instance", type=int, default=0, metavar="N", help="which one")
    given = parser.parse_args()
    if given.redis:
        uvloop.run(report(given.redis, given.instance, given.drivers))
    pin(servers.LOAD_CORE)
    return int(uvloop.run(run(given.drivers, given.instances, given.seconds)) > 0)


if __name__ == "__main__":
    sys.exit(main())
