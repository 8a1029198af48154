"""A store is down or frozen: what needs it says so, what does not goes on, and all comes back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from msgspec import Struct

from realtime.embedded import EmbeddedStores
from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh
from tests.relay import Relay
from tests.rides import Cast, cast, hears_version, point, say, seqs, where
from tests.servers import Server

RETURN_WITHIN_S = 30


class Behind(Struct, frozen=True):
    """A server whose stores stand behind relays of the test's."""

    server: Server
    mongodb: Relay
    redis: Relay
    stores: EmbeddedStores


async def problems(server: Server) -> dict[str, str]:
    """What `/readyz` says is wrong."""
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/readyz") as response:
        found: dict[str, str] = (await response.json()).get("problems", {})
        return found


async def is_whole(server: Server) -> None:
    """Return as soon as nothing is wrong."""
    async with asyncio.timeout(RETURN_WITHIN_S):
        while await problems(server):  # noqa: ASYNC110 - it has to be asked
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
async def behind(stores: EmbeddedStores) -> AsyncIterator[Behind]:
    async with (
        Relay.to(str(stores.mongodb_url)) as mongodb,
        Relay.to(str(stores.redis_url)) as redis,
    ):
        settings = {"MONGODB_URL": mongodb.url, "REDIS_URL": redis.url}
        server = await Server.start(settings)
        yield Behind(server, mongodb, redis, stores)
        await server.stop()


@pytest.fixture
async def people(behind: Behind, connect: Connect) -> AsyncIterator[Cast]:
    """On that server, whose stores are all there, and are there again afterwards."""
    url = behind.server.url
    yield await cast(Cluster(url, url, behind.stores), connect)
    behind.mongodb.mend()
    behind.redis.mend()
    await is_whole(behind.server)


def away(behind: Behind, store: str, how: str) -> Relay:
    relay: Relay = getattr(behind, store)
    getattr(relay, how)()
    return relay


async def until_it_is_done(client: Client, event: str, payload: dict[str, Any]) -> Any:
    """Send a command again, as it was, as long as it may have been done and may not."""
    while True:
        answer = await client.call(event, payload)
        if answer["ok"]:
            return answer
        assert (answer["error"]["code"], answer["error"]["retry"]) == ("unavailable", True)


@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_without_mongodb_locations_go_on_and_the_rest_says_so_and_is_retried(
    behind: Behind, people: Cast, how: str
) -> None:
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    relay = away(behind, "mongodb", how)

    message = {"conversation_id": trip_id, "client_id": fresh("message"), "text": "are you there?"}
    move = {"trip_id": trip_id, "status": "arriving"}
    for client, event, payload in (
        (people.rider, "chat:send", message),
        (people.driver, "trip:update", move),
        (people.dispatcher, "chat:history", {"conversation_id": trip_id}),
    ):
        refused = await client.refused(event, payload)
        assert (refused["code"], refused["retry"]) == ("unavailable", True)
    await people.driver.ok("driver:location", point(1))
    await people.rider.hears("trip:location", where(seq=1))
    assert "mongodb" in await problems(behind.server)

    relay.mend()
    sent = (await until_it_is_done(people.rider, "chat:send", message))["message"]
    await until_it_is_done(people.driver, "trip:update", move)
    await hears_version(people.rider, trip_id, 3)
    await people.driver.hears("chat:message", where(client_id=message["client_id"]))
    history = await people.rider.ok("chat:history", {"conversation_id": trip_id})
    assert history["messages"] == [sent]
    assert await problems(behind.server) == {}


async def test_who_comes_while_mongodb_is_away_is_in_when_it_is_back(
    behind: Behind, people: Cast, connect: Connect
) -> None:
    trip_id = await people.trip()
    move = {"trip_id": trip_id, "status": "unfulfilled"}
    relay = away(behind, "mongodb", "cut")
    coming = asyncio.ensure_future(
        connect(behind.server.url, "rider", people.rider.user_id, device="another")
    )
    refused = await people.dispatcher.refused("trip:update", move)
    assert (refused["code"], coming.done()) == ("unavailable", False)

    relay.mend()
    rider = await coming
    assert [trip["id"] for trip in rider.heard("session:ready")[0]["trips"]] == [trip_id]
    assert rider.heard("session:ended") == []


@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_without_redis_everything_reaches_who_is_on_the_same_instance(
    behind: Behind, people: Cast, how: str
) -> None:
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    relay = away(behind, "redis", how)
    await people.driver.ok("driver:location", point(1))
    await people.rider.hears("trip:location", where(seq=1))
    for number in range(3):
        await say(people.driver, trip_id, f"message {number}")
    await people.rider.hears("chat:message", where(seq=3))
    await people.move(trip_id, "arriving")
    await hears_version(people.rider, trip_id, 3)

    relay.mend()
    await people.driver.ok("driver:location", point(2))
    await people.rider.hears("trip:location", where(seq=2))
    await say(people.driver, trip_id, "back")
    await people.rider.hears("chat:message", where(seq=4))
    assert seqs(people.rider, trip_id) == [1, 2, 3, 4]


@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_what_an_instance_did_without_redis_others_have_when_it_is_back(
    stores: EmbeddedStores, connect: Connect, how: str
) -> None:
    async with Relay.to(str(stores.redis_url)) as near, Relay.to(str(stores.redis_url)) as far:
        first, second = servers = [
            await Server.start({"MONGODB_URL": str(stores.mongodb_url), "REDIS_URL": relay.url})
            for relay in (near, far)
        ]
        try:
            people = await cast(Cluster(first.url, second.url, stores), connect)
            trip_id = await people.trip("accepted")
            await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
            for relay in (near, far):
                getattr(relay, how)()
            for number in range(3):
                await say(people.driver, trip_id, f"message {number}")
            await people.move(trip_id, "arriving")

            for relay in (near, far):
                relay.mend()
            await people.rider.hears("chat:message", where(seq=3))
            await hears_version(people.rider, trip_id, 3)
            assert seqs(people.rider, trip_id) == [1, 2, 3]
            for server in servers:
                await is_whole(server)
            await people.driver.emit("driver:location", point(1))
            await people.rider.hears("trip:location", where(seq=1))
        finally:
            for server in servers:
                await server.stop()


async def test_a_driver_whose_instance_was_killed_fades_for_riders_elsewhere(
    cluster: Cluster, connect: Connect
) -> None:
    presence = {"DRIVER_STALE_S": "1", "DRIVER_OFFLINE_S": "3"}
    first = await Server.start(cluster.settings | presence)
    second = await Server.start(cluster.settings | presence)
    try:
        people = await cast(Cluster(first.url, second.url, cluster.stores), connect)
        trip_id = await people.trip("accepted")
        await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
        await people.driver.ok("driver:location", point(1))
        await people.rider.hears("trip:driver", where(connection="live"))
        await second.kill()
        await people.rider.hears("trip:driver", where(connection="stale"))
        await people.rider.hears("trip:driver", where(connection="offline"))
        back = await connect(first.url, "driver", people.driver.user_id)
        await back.ok("driver:location", point(2))
        await people.rider.hears("trip:location", where(seq=2))
        told = [driver["connection"] for driver in people.rider.heard("trip:driver")]
        assert told[-3:] == ["stale", "offline", "live"]
    finally:
        await first.stop()
