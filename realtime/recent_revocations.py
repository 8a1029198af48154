"""What was revoked lately, in Redis besides: for instances that MongoDB does not answer.

Redis pub/sub loses what is told while a connection is down. Here it is found afterwards, whoever
revoked it: each instance that learns of a revocation, from wherever, notes it.
"""

import asyncio
from collections.abc import Collection
from typing import Final, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from handlers.ports import Clock
from models.errors import Unavailable
from models.fields import Millis
from models.revocations import Revocation
from realtime import keys

KEPT_MS: Final = keys.REVOKED_TTL_S * 1_000
ANSWER_WITHIN_S: Final = 0.5
"""Who asks several times a second does not wait for one answer for long."""
MAX_UNNOTED: Final = 10_000
"""How many wait for Redis at most, then the oldest are left to MongoDB."""
_UNREACHABLE: Final = (RedisError, OSError, TimeoutError)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Revocation).decode


class RecentRevocations:
    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._unnoted: dict[bytes, None] = {}

    def note(self, revocation: Revocation) -> None:
        """Have it written with the next `flush`, unless it is from long ago. Never waits."""
        if revocation.at > self._clock() - KEPT_MS:
            self._unnoted[_encode(revocation)] = None
            if len(self._unnoted) > MAX_UNNOTED:
                del self._unnoted[next(iter(self._unnoted))]

    async def flush(self) -> None:
        """Write what was noted; what Redis does not take stays. Raises Unavailable."""
        if not self._unnoted:
            return
        writing, now = list(self._unnoted), self._clock()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._redis.zadd(keys.REVOKED, dict.fromkeys(writing, now), nx=True)
                await self._redis.zremrangebyscore(keys.REVOKED, 0, now - KEPT_MS)
                await self._redis.expire(keys.REVOKED, keys.REVOKED_TTL_S)
        except _UNREACHABLE as error:
            raise Unavailable("Redis did not take what was revoked") from error
        for encoded in writing:
            self._unnoted.pop(encoded, None)

    async def since(self, at: Millis) -> Collection[Revocation]:
        """Those that were written `at` (ms) or later, however old they are. Raises Unavailable."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                found = await self._redis.zrangebyscore(keys.REVOKED, at, "+inf")
        except _UNREACHABLE as error:
            raise Unavailable("Redis does not tell what was revoked") from error
        read = (_read(encoded) for encoded in cast("list[bytes]", found))
        return [revocation for revocation in read if revocation is not None]


def _read(encoded: bytes) -> Revocation | None:
    """None for what this version does not know: another one must not hide the rest."""
    try:
        revocation: Revocation = _decode(encoded)
    except msgspec.DecodeError:
        return None
    return revocation
