"""Instances that Redis never connects: what happens on one, clients of the other hear all the same.

Their Redis is not there at all, so that nothing but the sweep of what is stored can bring it.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh
from tests.rides import PICKUP, hears_version, say, seqs, versions, where
from tests.servers import Server


@pytest.fixture(scope="module")
async def apart(cluster: Cluster) -> AsyncIterator[Cluster]:
    settings = cluster.settings | {"REDIS_URL": "redis://127.0.0.1:1"}
    first, second = await asyncio.gather(Server.start(settings), Server.start(settings))
    yield Cluster(first.url, second.url, cluster.stores)
    await asyncio.gather(first.stop(), second.stop())


@pytest.fixture
async def people(apart: Cluster, connect: Connect) -> tuple[Client, Client, Client]:
    """A rider on one instance; a driver and the dispatcher on the other."""
    rider = await connect(apart.first, "rider", fresh("rider"))
    driver = await connect(apart.second, "driver", fresh("driver"), kind="js")
    dispatcher = await connect(apart.second, "agent", fresh("agent"), parser="msgpack")
    return rider, driver, dispatcher


async def new_trip(rider: Client, dispatcher: Client) -> str:
    request = {"client_id": fresh("request"), "rider_id": rider.user_id, "pickup": PICKUP}
    trip_id: str = (await dispatcher.ok("trip:create", request))["trip"]["id"]
    return trip_id


async def test_a_trip_made_elsewhere_is_followed(people: tuple[Client, Client, Client]) -> None:
    rider, driver, dispatcher = people
    trip_id = await new_trip(rider, dispatcher)
    await hears_version(rider, trip_id, 1)
    offer = {"trip_id": trip_id, "driver_id": driver.user_id}
    await dispatcher.ok("trip:offer", offer)
    await hears_version(rider, trip_id, 2)
    await driver.ok("trip:update", {"trip_id": trip_id, "status": "accepted"})
    await hears_version(rider, trip_id, 3)
    await rider.ok("trip:update", {"trip_id": trip_id, "status": "cancelled"})
    await hears_version(driver, trip_id, 4)
    assert (versions(rider, trip_id), versions(driver, trip_id)) == ([1, 2, 3, 4], [2, 3, 4])


async def test_messages_cross_in_order_and_once(people: tuple[Client, Client, Client]) -> None:
    rider, driver, dispatcher = people
    trip_id = await new_trip(rider, dispatcher)
    accepted = {"trip_id": trip_id, "status": "accepted", "driver_id": driver.user_id}
    await dispatcher.ok("trip:update", accepted)
    await hears_version(driver, trip_id, 2)
    for n in range(5):
        await say(driver, trip_id, f"from the driver {n}")
        await say(rider, trip_id, f"from the rider {n}")
    await rider.hears("chat:message", where(text="from the driver 4"))
    await driver.hears("chat:message", where(text="from the rider 4"))
    heard = sorted(seqs(rider, trip_id) + seqs(driver, trip_id))
    assert heard == list(range(1, 11))
    assert seqs(rider, trip_id) == sorted(seqs(rider, trip_id))


async def test_a_conversation_that_was_opened_elsewhere_is_followed(
    people: tuple[Client, Client, Client],
) -> None:
    rider, _, dispatcher = people
    opening = {"client_id": fresh("open"), "participants": [rider.user_id]}
    opened = (await dispatcher.ok("chat:open", opening))["conversation"]
    await say(dispatcher, opened["id"], "how may we help?")
    await rider.hears("chat:message", where(conversation_id=opened["id"], seq=1))


async def test_who_looks_at_a_trip_sees_it_end(people: tuple[Client, Client, Client]) -> None:
    rider, driver, dispatcher = people
    trip_id = await new_trip(rider, dispatcher)
    await rider.ok("trip:subscribe", {"trip_id": trip_id})
    accepted = {"trip_id": trip_id, "status": "accepted", "driver_id": driver.user_id}
    for change in (accepted, {"trip_id": trip_id, "status": "cancelled"}):
        await dispatcher.ok("trip:update", change)
    await hears_version(rider, trip_id, 3)
    await hears_version(driver, trip_id, 3)
