"""Which trips anybody looks at: here, and on other instances, which are subscribed to them then."""

import asyncio
from collections.abc import Collection, Container
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from models import rooms
from models.fields import Id
from models.rooms import Room
from realtime import keys

WITHIN_S: Final = 1.0


class Watchers:
    def __init__(self, redis: Redis, watched_here: Container[Room]) -> None:
        self._redis = redis
        self._here = watched_here

    async def of(self, trip_ids: Collection[Id]) -> set[Id]:
        """Those of the trips that somebody looks at; while Redis is away, here."""
        watched = {each for each in trip_ids if rooms.live(each) in self._here}
        others = [each for each in trip_ids if each not in watched]
        if others:
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(WITHIN_S):
                    channels = [keys.channel(rooms.live(each)) for each in others]
                    counts = await self._redis.pubsub_numsub(*channels)
                    watched.update(
                        each for each, (_, count) in zip(others, counts, strict=True) if count
                    )
        return watched
