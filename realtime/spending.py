"""What users spend of their buckets on all instances, so that many instances are not many buckets.

Whether somebody may go on is decided by the bucket here, at once. Once a second each instance tells
Redis what was spent here, and hears how much is owed in all: no bucket is fuller than that leaves
it. So a user who spreads over instances has one bucket, a second late. Without Redis each instance
goes by its own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from realtime import keys
from realtime.buckets import Bucket, Buckets, Rate, Ticks

SHARE_S: Final = 1.0
NOTEWORTHY: Final = 0.1
"""What share of its rate a key has to spend for others to be told: most never do."""
MAX_AT_ONCE: Final = 500
"""Keys in one script, so that Redis has time for others in between."""
SLACK_MS: Final = 250
"""For the way to Redis: nothing counts as spent later than it was, which would cost a user more."""
WITHIN_S: Final = 0.5
_UNREACHABLE: Final = (RedisError, OSError, TimeoutError)

# A bucket is kept as the time at which it is full again. What was spent moves that on, from the
# beginning of the time in which it was spent, where the bucket was full; nobody owes more than one
# bucket holds.
_ADD: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = now - ARGV[2]
local owed = {}
for i = 4, #ARGV, 2 do
    local before = redis.call('ZSCORE', KEYS[1], ARGV[i])
    local full = math.max(before and tonumber(before) or began, began) + ARGV[i + 1]
    full = math.min(full, now + ARGV[3])
    redis.call('ZADD', KEYS[1], full, ARGV[i])
    owed[#owed + 1] = math.floor(full - now)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', began)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return owed
"""


class SharedBuckets:
    """A bucket for each key, which may be spent from on other instances as well."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._here = Buckets(rate)
        self._spent: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._here) + len(self._spent)

    @property
    def longest_ms(self) -> float:
        """What a bucket takes to fill from owing as much as it holds."""
        return 2 * self._rate.most / self._rate.per_s * 1_000

    def of(self, key: str) -> Bucket:
        return self._here.of(key)

    def note(self, key: str) -> None:
        """A token of this key was taken here."""
        self._spent[key] = self._spent.get(key, 0) + 1

    def take_spent(self) -> list[tuple[str, float]]:
        """What was spent since the last time and is worth telling: by key, ms until it is back."""
        spent, self._spent = self._spent, {}
        per_s = self._rate.per_s
        return [
            (key, count / per_s * 1_000)
            for key, count in spent.items()
            if count >= per_s * NOTEWORTHY
        ]

    def owe(self, key: str, in_ms: float) -> None:
        """So much was spent, on all instances together, that the bucket is full in so many ms."""
        self.of(key).lower(self._rate.most - in_ms / 1_000 * self._rate.per_s)


class Spending:
    """Tells Redis of the buckets of this instance, and them what Redis knows of all."""

    def __init__(self, redis: Redis, shared: Mapping[str, SharedBuckets], ticks: Ticks) -> None:
        """`shared` are the buckets by the name that they have on all instances."""
        self._add = redis.register_script(_ADD)
        self._shared = shared
        self._ticks = ticks
        self._shared_at = ticks()

    async def share(self) -> None:
        """Tell and hear. What Redis does not take is forgotten: then the local limits go on."""
        began, self._shared_at = self._shared_at, self._ticks()
        since_ms = round((self._shared_at - began) * 1_000) + SLACK_MS
        for name, buckets in self._shared.items():
            spent = buckets.take_spent()
            for start in range(0, len(spent), MAX_AT_ONCE):
                some = spent[start : start + MAX_AT_ONCE]
                owed = await self._told(name, some, (since_ms, buckets.longest_ms))
                if not owed:
                    return  # Redis is away: it is not waited for again and again
                for (key, _), in_ms in zip(some, owed, strict=True):
                    buckets.owe(key, in_ms)

    async def _told(
        self, name: str, spent: Sequence[tuple[str, float]], times_ms: tuple[float, float]
    ) -> Sequence[int]:
        """In how many ms each bucket is full; empty if Redis does not say.

        `times_ms` are those in which it was spent, and in which any bucket is to be full.
        """
        words = [word for pair in spent for word in pair]
        try:
            async with asyncio.timeout(WITHIN_S):
                owed = await self._add(
                    keys=[keys.spent(name)], args=[keys.SPENT_TTL_S, *times_ms, *words]
                )
        except _UNREACHABLE:
            return ()
        return cast("list[int]", owed)
