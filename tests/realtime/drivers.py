"""Drivers as an instance keeps them in Redis, by themselves."""

from collections.abc import Sequence

from redis.asyncio import Redis

from models.errors import Unavailable
from models.tracks import Report
from realtime.drivers import Keep, RedisDrivers, Saved
from realtime.metrics import Metrics


async def nowhere(_reports: Sequence[Report], _saved: Saved) -> None:
    """A store of tracks that is away."""
    raise Unavailable("the store is away")


def drivers_on(redis: Redis, keep: Keep = nowhere, max_points: int = 1_000) -> RedisDrivers:
    return RedisDrivers(redis, keep, max_points, Metrics())
