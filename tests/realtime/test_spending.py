"""One bucket for a user over all instances: what is spent on one is gone on the others, too."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from realtime import keys, spending
from realtime.buckets import BURST_S, Rate
from realtime.embedded import EmbeddedStores
from realtime.redis_address import RedisAddress
from realtime.spending import SharedBuckets, Spending
from tests.conftest import fresh

PER_S = 20
MOST = PER_S * BURST_S


class Instance:
    """The buckets of one instance, on a clock that stands."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.now = 100.0
        self.buckets = SharedBuckets(Rate.of(PER_S, ticks=lambda: self.now))
        self.spending = Spending(redis, {name: self.buckets}, lambda: self.now)

    def spend(self, key: str, wanted: int = 10 * MOST) -> int:
        """How many of so many are granted."""
        granted = 0
        while granted < wanted and self.buckets.of(key).take():
            self.buckets.note(key)
            granted += 1
        return granted

    async def share(self) -> None:
        self.now += spending.SHARE_S
        await self.spending.share()


@pytest.fixture
async def redis(stores: EmbeddedStores) -> AsyncIterator[Redis]:
    async with RedisAddress.parse(str(stores.redis_url)).client() as client:
        yield client


@pytest.fixture
def name() -> str:
    return fresh("users")


async def test_what_a_user_spent_on_one_instance_is_gone_on_the_other(
    redis: Redis, name: str
) -> None:
    first, second = Instance(redis, name), Instance(redis, name)
    assert first.spend("rita") == MOST
    await first.share()
    assert second.spend("rita", PER_S) == PER_S
    await second.share()
    assert second.spend("rita") <= 2 * PER_S, "a second is what the others may be late by"
    assert second.spend("dan") == MOST


async def test_a_user_of_one_instance_loses_nothing_by_it(redis: Redis, name: str) -> None:
    shared, alone = Instance(redis, name), Instance(redis, name)
    for each in (shared, alone):
        assert each.spend("rita") == MOST
    alone.now += spending.SHARE_S
    await shared.share()
    assert shared.spend("rita") == alone.spend("rita") == PER_S


async def test_who_spends_on_many_instances_at_once_owes_as_much_as_a_bucket_holds(
    redis: Redis, name: str
) -> None:
    instances = [Instance(redis, name) for _ in range(4)]
    for each in instances:
        assert each.spend("rita") == MOST
    for each in instances:
        await each.share()
    last = instances[-1]
    for seconds, granted in ((BURST_S - 1, 0), (2, PER_S)):
        for _ in range(seconds):  # others come, and buckets are forgotten
            last.now += 1
            last.spend(f"user-{last.now}", 1)
        assert granted / 2 <= last.spend("rita") <= granted
    last.now += BURST_S
    assert last.spend("rita") == MOST


async def test_who_asks_for_little_is_not_told_of_nor_remembered(redis: Redis, name: str) -> None:
    instance = Instance(redis, name)
    instance.spend("rita", 1)
    assert instance.spend("dan", 2) == 2
    await instance.share()
    assert await redis.zrange(keys.spent(name), 0, -1) == [b"dan"]
    await redis.zadd(keys.spent(name), {b"long ago": 1})
    instance.spend("dan", 2)
    await instance.share()
    assert await redis.zrange(keys.spent(name), 0, -1) == [b"dan"]
    assert 0 < await redis.ttl(keys.spent(name)) <= keys.SPENT_TTL_S


async def test_more_than_one_script_takes_are_told_all(redis: Redis, name: str) -> None:
    instance = Instance(redis, name)
    many = 2 * spending.MAX_AT_ONCE + 1
    for number in range(many):
        instance.spend(f"user-{number}", 2)
    await instance.share()
    assert await redis.zcard(keys.spent(name)) == many


async def test_without_redis_each_instance_goes_by_its_own() -> None:
    nowhere = RedisAddress.parse("redis://127.0.0.1:1").client()
    alone = Instance(nowhere, "users")
    assert alone.spend("rita") == MOST
    await alone.share()
    assert alone.spend("rita") == PER_S
    await nowhere.aclose()
