"""What Redis keeps of revocations, with a Redis that is there, and with one that is not."""

import pytest

from models.errors import Unavailable
from models.revocations import Revocation, RevokedToken, RevokedUser
from realtime import keys
from realtime.embedded import EmbeddedStores
from realtime.recent_revocations import KEPT_MS, RecentRevocations
from realtime.redis_address import RedisAddress
from tests.conftest import fresh, now
from tests.handlers.world import NOW, Clock

NOWHERE = "redis://127.0.0.1:1"


async def test_what_one_instance_notes_another_finds_by_when_it_was_written(
    stores: EmbeddedStores,
) -> None:
    async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
        here, there = RecentRevocations(redis, now), RecentRevocations(redis, now)
        before = now()
        await redis.zadd(keys.REVOKED, {b"of a later version": before})
        noted: list[Revocation] = [
            RevokedToken(fresh("jti"), before - KEPT_MS + 60_000),
            RevokedUser(fresh("rita"), before),
        ]
        for revocation in noted:
            here.note(revocation)
        await here.flush()
        found = await there.since(before)
        assert [each for each in noted if each in found] == noted
        assert noted[0] not in await there.since(now() + 60_000)


async def test_what_was_written_stays_where_it_was_written_first(stores: EmbeddedStores) -> None:
    clock = Clock()
    async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
        here, there = RecentRevocations(redis, clock), RecentRevocations(redis, clock)
        revocation = RevokedToken(fresh("jti"), NOW)
        here.note(revocation)
        await here.flush()
        clock.advance(1_000)
        there.note(revocation)
        await there.flush()
        assert revocation not in await here.since(NOW + 1)


async def test_it_is_forgotten_after_an_hour(stores: EmbeddedStores) -> None:
    clock = Clock()
    async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
        recent = RecentRevocations(redis, clock)
        old, new = RevokedToken(fresh("jti"), NOW), RevokedToken(fresh("jti"), NOW + KEPT_MS)
        recent.note(old)
        await recent.flush()
        clock.advance(KEPT_MS)
        recent.note(old)
        recent.note(new)
        await recent.flush()
        found = await recent.since(0)
        assert (old in found, new in found) == (False, True)


async def test_what_redis_does_not_take_is_written_when_it_is_back(stores: EmbeddedStores) -> None:
    clock = Clock()
    away = RedisAddress.parse(NOWHERE).client()
    there = RedisAddress.parse(str(stores.redis_url)).client()
    async with away, there:
        recent = RecentRevocations(away, clock)
        revocation = RevokedToken(fresh("jti"), NOW)
        recent.note(revocation)
        with pytest.raises(Unavailable):
            await recent.flush()
        with pytest.raises(Unavailable):
            await recent.since(0)
        recent._redis = there
        await recent.flush()
        assert revocation in await recent.since(0)
