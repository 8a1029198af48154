"""Trips: created once, shown to each as it may see them, edited until they end."""

import asyncio
import re
from typing import Any

import pytest

from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh
from tests.rides import PICKUP, cast, hears_version, passed, versions

DROPOFF = {"lat": 52.4, "lng": 13.3, "address": "Bahnhofstraße 1"}


async def test_a_trip_has_the_fields_of_the_protocol(cluster: Cluster, connect: Connect) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    request = {
        "client_id": "one",
        "pickup": PICKUP,
        "dropoff": DROPOFF,
        "stops": [DROPOFF, PICKUP],
        "pin": "4711",
        "metadata": {"bags": 2, "notes": ["Grüße", None, 1.5]},
    }
    trip = (await rider.ok("trip:create", request))["trip"]
    created_at = trip["created_at"]
    first = {
        "version": 1,
        "status": "requested",
        "driver_id": None,
        "offer": None,
        "at": created_at,
        "by": rider.user_id,
    }
    assert trip == {
        "id": trip["id"],
        "rider_id": rider.user_id,
        "driver_id": None,
        "offer": None,
        "status": "requested",
        "version": 1,
        "pickup": PICKUP,
        "dropoff": DROPOFF,
        "stops": [DROPOFF, PICKUP],
        "created_at": created_at,
        "updated_at": created_at,
        "events": [first],
        "metadata": {"bags": 2, "notes": ["Grüße", None, 1.5]},
        "pin": "4711",
    }
    assert re.fullmatch(r"[A-Za-z0-9_~.-]+", trip["id"])
    assert await hears_version(rider, trip["id"], 1) == {"trip_id": trip["id"], **first}


async def test_all_devices_of_a_rider_follow_its_new_trip_unasked(
    cluster: Cluster, connect: Connect
) -> None:
    phone = await connect(cluster.first, "rider", fresh("rider"), kind="js")
    beside = await connect(cluster.first, "rider", phone.user_id)
    far = await connect(cluster.second, "rider", phone.user_id, parser="msgpack")
    trip = (await phone.ok("trip:create", {"client_id": "one", "pickup": PICKUP}))["trip"]
    trip_id = trip["id"]
    for client in (phone, beside, far):
        await hears_version(client, trip_id, 1)
    await far.ok("trip:update", {"trip_id": trip_id, "status": "cancelled"})
    for client in (phone, beside, far):
        await hears_version(client, trip_id, 2)
    await passed(await connect(cluster.first, "agent", fresh("agent")), phone, beside, far)
    assert versions(phone, trip_id) == versions(beside, trip_id) == versions(far, trip_id) == [1, 2]


async def test_the_pin_is_shown_to_rider_agents_and_service_but_never_to_a_driver(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted", pin="se-cret")
    agent = await connect(cluster.first, "agent", fresh("agent"))
    for client in (people.rider, people.dispatcher, agent):
        snapshot = await client.ok("trip:subscribe", {"trip_id": trip_id})
        assert snapshot["trip"]["pin"] == "se-cret"
    snapshot = await people.driver.ok("trip:subscribe", {"trip_id": trip_id})
    assert "pin" not in snapshot["trip"]
    arriving = {"trip_id": trip_id, "status": "arriving"}
    assert "pin" not in (await people.driver.ok("trip:update", arriving))["trip"]
    devices = {
        role: await connect(cluster.first, role, client.user_id)
        for role, client in (("driver", people.driver), ("rider", people.rider))
    }
    assert "pin" not in devices["driver"].heard("session:ready")[0]["trips"][0]
    assert devices["rider"].heard("session:ready")[0]["trips"][0]["pin"] == "se-cret"
    assert "se-cret" not in repr(people.driver.events + devices["driver"].events)


async def test_staff_names_the_rider_and_a_rider_nobody_but_itself(
    cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    agent = await connect(cluster.second, "agent", fresh("agent"))
    request = {"client_id": "one", "pickup": PICKUP}
    error = await agent.refused("trip:create", request)
    assert (error["code"], error["path"]) == ("invalid", "rider_id")
    for field in ("rider_id", "driver_id"):
        error = await rider.refused("trip:create", {**request, field: fresh("somebody")})
        assert (error["code"], error["path"]) == ("forbidden", field)
    trip = (await agent.ok("trip:create", {**request, "rider_id": rider.user_id}))["trip"]
    assert trip["rider_id"] == rider.user_id
    await hears_version(rider, trip["id"], 1)


async def test_a_retried_creation_gets_the_trip_as_it_is_now(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    request = {"client_id": "one", "pickup": PICKUP}
    trip_id = (await people.rider.ok("trip:create", request))["trip"]["id"]
    accept = {"trip_id": trip_id, "status": "accepted", "driver_id": people.driver.user_id}
    accepted = (await people.dispatcher.ok("trip:update", accept))["trip"]
    far = await connect(cluster.second, "rider", people.rider.user_id)
    for client in (people.rider, far):
        retried = {"client_id": "one", "pickup": DROPOFF}
        assert (await client.ok("trip:create", retried))["trip"] == accepted
    await hears_version(people.rider, trip_id, 2)
    await people.passed(people.rider, far)
    assert versions(people.rider, trip_id) == [1, 2]
    assert versions(far, trip_id) == []


@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_trip_created_many_times_at_once_is_one(
    cluster: Cluster, connect: Connect, kind: str
) -> None:
    rider_id = fresh("rider")
    devices = [
        await connect(url, "rider", rider_id, kind=kind)
        for url in (cluster.first, cluster.second) * 4
    ]
    request = {"client_id": "one", "pickup": PICKUP}
    answers = await asyncio.gather(*(device.ok("trip:create", request) for device in devices))
    trips = {answer["trip"]["id"] for answer in answers}
    assert len(trips) == 1
    trip_id = trips.pop()
    for device in devices:
        await hears_version(device, trip_id, 1)
    agents = [
        await connect(url, "agent", fresh("agent")) for url in (cluster.first, cluster.second)
    ]
    for agent in agents:
        await passed(agent, *devices)
    assert [versions(device, trip_id) for device in devices] == [[1]] * len(devices)


async def test_the_same_client_id_of_another_creator_is_another_trip(
    cluster: Cluster, connect: Connect
) -> None:
    request = {"client_id": "one", "pickup": PICKUP}
    rider = await connect(cluster.first, "rider", fresh("rider"))
    other = await connect(cluster.first, "rider", fresh("rider"))
    namesake = await connect(cluster.first, "service", rider.user_id)
    ids = {
        (await rider.ok("trip:create", request))["trip"]["id"],
        (await other.ok("trip:create", request))["trip"]["id"],
        (await namesake.ok("trip:create", {**request, "rider_id": rider.user_id}))["trip"]["id"],
    }
    assert len(ids) == 3


async def test_an_edit_is_a_version_that_says_what_changed(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted", dropoff=DROPOFF, metadata={"bags": 1})
    edits: tuple[tuple[Client, dict[str, Any]], ...] = (
        (people.rider, {"dropoff": PICKUP}),
        (people.dispatcher, {"stops": [DROPOFF]}),
        (people.rider, {"metadata": {"bags": 2}, "stops": []}),
        (people.rider, {"dropoff": None}),
    )
    for version, (editor, changed) in enumerate(edits, start=3):
        edit = {"trip_id": trip_id, "version": version - 1, **changed}
        trip = (await editor.ok("trip:edit", edit))["trip"]
        assert trip["version"] == version
        assert {name: trip[name] for name in changed} == changed
        for client in (people.rider, people.driver):
            told = await hears_version(client, trip_id, version)
            assert (told["status"], told["changed"]) == ("accepted", changed)
        assert (await editor.ok("trip:edit", edit))["trip"] == trip
    await people.passed(people.rider, people.driver)
    assert versions(people.driver, trip_id) == [1, 2, 3, 4, 5, 6]


async def test_an_edit_of_a_trip_that_moved_on_is_a_conflict(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("arriving")
    edit = {"trip_id": trip_id, "version": 2, "dropoff": DROPOFF}
    error = await people.rider.refused("trip:edit", edit)
    assert (error["code"], error["trip"]["version"]) == ("conflict", 3)


@pytest.mark.parametrize("status", ["completed", "cancelled", "unfulfilled"])
async def test_a_trip_that_ended_is_not_edited(
    cluster: Cluster, connect: Connect, status: str
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip(status)
    for client in (people.rider, people.dispatcher):
        error = await client.refused("trip:edit", {"trip_id": trip_id, "dropoff": DROPOFF})
        assert error["code"] == "closed"


async def test_edits_at_the_same_time_all_take_effect_one_after_the_other(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    far = await connect(cluster.second, "rider", people.rider.user_id, parser="msgpack")
    edits = (
        client.ok("trip:edit", {"trip_id": trip_id, "metadata": {"number": number}})
        for number, client in enumerate((people.rider, far, people.dispatcher) * 4)
    )
    answers = await asyncio.gather(*edits)
    assert sorted(answer["trip"]["version"] for answer in answers) == list(range(3, 15))
    for client in (people.rider, people.driver):
        await hears_version(client, trip_id, 14)
        assert versions(client, trip_id) == list(range(1, 15))
    newest = await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    told = [s for s in people.rider.heard("trip:status") if s["trip_id"] == trip_id]
    assert [{"trip_id": trip_id, **event} for event in newest["trip"]["events"]] == told
