"""Servers under test: pinned, with databases of their own, and gone afterwards."""

import os
import signal
import sys

import pytest
from pymongo import MongoClient
from redis.asyncio import Redis

from bench.plan import Contestant
from bench.servers import (
    LOAD_CORE,
    PROGRAMS,
    REDIS_DATABASES,
    SERVER_CORE,
    Server,
    ServerFailed,
    Stores,
    contestant,
    own_databases,
    running,
    stores,
)
from realtime.embedded import EmbeddedStores
from tests.conftest import fresh

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or not {0, 1} <= os.sched_getaffinity(0),
    reason="the benchmark pins processes to two cores, which this machine cannot",
)


@pytest.fixture
def shared(stores: EmbeddedStores) -> Stores:
    return Stores(str(stores.redis_url), str(stores.mongodb_url))


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_ridewire_is_served_as_in_production(shared: Stores) -> None:
    async with contestant(Contestant.RIDEWIRE, shared, instances=2) as target:
        assert target.has_trips
        assert len(set(target.urls)) == 2
        assert [os.sched_getaffinity(pid) for pid in target.pids] == [{SERVER_CORE}] * 2
    assert not any(runs(pid) for pid in target.pids)


async def test_every_server_begins_in_a_database_of_its_own(shared: Stores) -> None:
    with MongoClient[dict[str, object]](shared.mongodb_url) as mongodb:
        before = set(mongodb.list_database_names())
        for count in (1, 2):
            async with contestant(Contestant.STOCK, shared):
                assert len(set(mongodb.list_database_names()) - before) == count


async def test_a_servers_redis_is_empty_and_never_that_of_who_names_none(shared: Stores) -> None:
    async with Redis.from_url(shared.redis_url) as everybodys:
        key = fresh("key")
        await everybodys.set(key, "kept", ex=60)
        for _ in range(REDIS_DATABASES):
            own = await own_databases(shared)
            async with Redis.from_url(own.redis_url) as redis:
                assert await redis.dbsize() == 0
                await redis.set("left", "behind")
        assert await everybodys.get(key) == b"kept"


async def use_one_that_dies(redis_url: str) -> None:
    command = PROGRAMS[Contestant.PICOWS].command
    async with running(command, {"REDIS_URL": redis_url}) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL


async def test_a_server_that_dies_meanwhile_spoils_the_round(shared: Stores) -> None:
    with pytest.raises(ServerFailed, match="ended while it was needed"):
        await use_one_that_dies(shared.redis_url)


async def test_a_server_that_does_not_start_says_why() -> None:
    program = "import sys; sys.exit('there is no room')"
    with pytest.raises(ServerFailed, match="there is no room"):
        await Server.start([sys.executable, "-c", program], {})


async def test_the_stores_of_a_run_are_pinned_beside_the_load() -> None:
    async with stores() as started:
        with MongoClient[dict[str, object]](started.mongodb_url) as mongodb:
            pid = mongodb.admin.command("serverStatus")["pid"]
        assert os.sched_getaffinity(pid) == {LOAD_CORE}
        assert runs(pid)
    assert not runs(pid)
