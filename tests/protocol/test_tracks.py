"""Tracks keep what was acknowledged, whatever is killed or away meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest

from models import mongo
from models.fields import new_id
from models.identity import Identity, Role
from models.points import Place
from models.stores import TripRecord
from models.trips import Relation, Status, moved, requested
from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh, mint, now
from tests.models.cabs import replay
from tests.relay import Relay
from tests.rides import Cast, cast, hears_version, where
from tests.servers import Server

WITHIN_S: Final = 30
MINUTE_MS: Final = 60_000


def fix(seq: int, ts: int) -> dict[str, Any]:
    """A point on a straight way to the north, at some 10 m/s."""
    return {"lat": 52.5 + seq / 10_000, "lng": 13.4, "ts": ts, "seq": seq}


async def track(url: str, trip_id: str, **query: str) -> Any:
    headers = {"Authorization": f"Bearer {mint('service', 'backend')}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{url}/v1/trips/{trip_id}/track", headers=headers, params=query) as response,
    ):
        assert response.status == 200, await response.text()
        return json.loads(await response.read())


async def points(url: str, trip_id: str) -> list[dict[str, Any]]:
    return [point for part in (await track(url, trip_id))["parts"] for point in part["points"]]


async def until_in_track(url: str, trip_id: str, wanted: list[dict[str, Any]]) -> None:
    """Wait until the track is just this."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while await points(url, trip_id) != wanted:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
    except TimeoutError:
        assert await points(url, trip_id) == wanted


async def reports(driver: Client, *batch: dict[str, Any]) -> list[dict[str, Any]]:
    """Have points acknowledged, all of them accepted."""
    answer = await driver.ok("driver:location", list(batch))
    assert answer == {"ok": True, "accepted": len(batch), "rejected": []}
    return list(batch)


async def test_a_ride_is_in_its_track_as_it_was_reported(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    await people.driver.ok("driver:location", fix(0, now() - 1_000))
    trip_id = await people.trip("arrived")
    approach = await reports(people.driver, {**fix(1, now()), "heading": 1.5, "accuracy": 3.25})
    await people.move(trip_id, "in_progress")
    start = await hears_version(people.driver, trip_id, 5)
    ride = await reports(people.driver, *(fix(seq, start["at"] + seq) for seq in range(2, 9)))
    await people.driver.emit("driver:location", fix(9, start["at"] + 9))
    ride.append(fix(9, start["at"] + 9))
    await people.driver.ok("driver:status", {"status": "busy"})
    await people.move(trip_id, "completed")
    await hears_version(people.driver, trip_id, 6)
    await reports(people.driver, fix(10, now() + 1))

    await until_in_track(cluster.first, trip_id, approach + ride)
    whole = await track(cluster.second, trip_id)
    driver_id = people.driver.user_id
    assert [(p["driver_id"], p["phase"]) for p in whole["parts"]] == [
        (driver_id, "approach"),
        (driver_id, "ride"),
    ]
    assert whole["distance_m"] > 0
    collection = await track(cluster.first, trip_id, format="geojson")
    assert [f["geometry"]["type"] for f in collection["features"]] == ["Point", "LineString"]
    assert collection["features"][1]["geometry"]["coordinates"] == [
        [p["lng"], p["lat"]] for p in ride
    ]
    assert collection["features"][1]["properties"]["times"] == [p["ts"] for p in ride]


async def test_acknowledged_points_outlive_a_server_that_is_killed_and_a_repetition_adds_nothing(
    cluster: Cluster, connect: Connect
) -> None:
    server = await Server.start(cluster.settings)
    people = await cast(Cluster(server.url, cluster.second, cluster.stores), connect)
    driver = await connect(server.url, "driver", people.driver.user_id, device="phone")
    trip_id = await people.trip("in_progress")
    start = (await hears_version(driver, trip_id, 5))["at"]
    kept = await reports(driver, *(fix(seq, start + seq) for seq in range(1, 40)))
    await server.kill()

    back = await connect(cluster.first, "driver", people.driver.user_id, device="phone")
    again = await back.ok("driver:location", kept)
    assert again["accepted"] == 0
    kept += await reports(back, fix(40, start + 40))
    await until_in_track(cluster.first, trip_id, kept)


async def test_a_list_that_comes_fifteen_minutes_late_finds_the_trip_that_was_served_then(
    cluster: Cluster, connect: Connect
) -> None:
    driver_id, since = fresh("driver"), now() - 16 * MINUTE_MS
    handed_on = [(0, "accepted"), (20_000, "requested"), (20_001, "cancelled")]
    ridden = [(30_000, "accepted"), (31_000, "arrived"), (40_000, "in_progress")]
    first = await stored_trip(cluster, driver_id, since, handed_on)
    second = await stored_trip(cluster, driver_id, since, [*ridden, (60_000, "completed")])
    driver = await connect(cluster.first, "driver", driver_id, device="phone")
    late = await reports(driver, *(fix(n, since + 1_000 * n) for n in range(70)))
    again = await driver.ok("driver:location", late)
    assert again["accepted"] == 0
    await until_in_track(cluster.second, first, late[:21])
    await until_in_track(cluster.second, second, late[30:61])
    assert (await track(cluster.second, second))["duration_ms"] == 20_000


async def test_a_recorded_ride_comes_back_as_what_of_it_was_accepted(
    cluster: Cluster, connect: Connect
) -> None:
    """A taxi's drive, as it was recorded, in which the receiver was lost for a while."""
    driver_id, sent = fresh("driver"), drive_with_a_jump(until=now() - 1_000)
    since, pickup, end = (sent[n]["ts"] for n in (0, 20, -1))
    ride = [(0, "accepted"), (1, "arrived"), (pickup - since, "in_progress")]
    trip_id = await stored_trip(cluster, driver_id, since, [*ride, (end - since, "completed")])
    driver = await connect(cluster.first, "driver", driver_id, device="phone")
    answer = await driver.ok("driver:location", sent)
    refused = {rejected["seq"] for rejected in answer["rejected"]}
    assert {rejected["code"] for rejected in answer["rejected"]} == {"implausible"}
    accepted = [point for point in sent if point["seq"] not in refused]
    assert answer["accepted"] == len(accepted)

    await until_in_track(cluster.second, trip_id, accepted)
    features = (await track(cluster.second, trip_id, format="geojson"))["features"]
    assert [feature["properties"]["phase"] for feature in features] == ["approach", "ride"]
    assert [f["geometry"]["coordinates"] for f in features] == [
        [[p["lng"], p["lat"]] for p in accepted if (p["ts"] < pickup) is is_approach]
        for is_approach in (True, False)
    ]
    assert [ts for f in features for ts in f["properties"]["times"]] == [p["ts"] for p in accepted]


def drive_with_a_jump(until: int) -> list[dict[str, Any]]:
    """Fixes of a taxi around the longest jump of its receiver, as if the last were of `until`."""
    replayed = replay("new_abboip")
    jump = max(replayed.jumps, key=lambda each: len(each.refused))
    fixes = replayed.sent[jump.start.seq - 40 : jump.end.seq + 20]
    shift = until - fixes[-1].ts
    return [{"lat": p.lat, "lng": p.lng, "ts": p.ts + shift, "seq": p.seq} for p in fixes]


async def stored_trip(
    cluster: Cluster, driver_id: str, since: int, moves: list[tuple[int, str]]
) -> str:
    """A trip of some time ago, as its changes left it, so many ms after its beginning."""
    staff = Identity("backend", Role.SERVICE, expires_at=now() + MINUTE_MS)
    trip = requested(
        new_id(since),
        fresh("rider"),
        staff,
        now=since,
        pickup=Place(52.5, 13.4),
        dropoff=None,
        stops=(),
        offer=None,
        pin=None,
        metadata={},
    )
    for after, to in moves:
        trip = moved(
            trip, Status(to), staff, Relation.STAFF, now=since + after, driver_id=driver_id
        )
    connection = mongo.connect(str(cluster.stores.mongodb_url))
    record = TripRecord(trip=trip, creator="a test", client_id=trip.id, chat_until=since + 60_000)
    await connection.stores.trips.create(record)
    await connection.close()
    return trip.id


@pytest.fixture
async def relayed(cluster: Cluster, connect: Connect) -> AsyncIterator[tuple[Relay, Relay, Cast]]:
    """A server that has its stores behind relays: MongoDB's, Redis', and people on it."""
    stores = cluster.stores
    async with (
        Relay.to(str(stores.mongodb_url)) as mongodb,
        Relay.to(str(stores.redis_url)) as redis,
    ):
        server = await Server.start({"MONGODB_URL": mongodb.url, "REDIS_URL": redis.url})
        yield mongodb, redis, await cast(Cluster(server.url, server.url, stores), connect)
        mongodb.mend()
        redis.mend()
        await server.stop()


async def test_points_of_a_time_without_redis_or_mongodb_are_kept(
    cluster: Cluster, connect: Connect, relayed: tuple[Relay, Relay, Cast]
) -> None:
    mongodb, redis, people = relayed
    trip_id = await people.trip("in_progress")
    start = (await hears_version(people.driver, trip_id, 5))["at"]
    mongodb.cut()
    kept = await reports(people.driver, fix(1, start + 1))
    mongodb.mend()
    redis.cut()
    kept += await reports(people.driver, fix(2, start + 2))

    mongodb.cut()
    refused = await people.driver.refused("driver:location", fix(3, start + 3))
    assert (refused["code"], refused["retry"]) == ("unavailable", True)
    mongodb.mend()
    redis.mend()
    while not (await people.driver.call("driver:location", fix(3, start + 3)))["ok"]:
        pass
    await until_in_track(cluster.first, trip_id, [*kept, fix(3, start + 3)])


async def test_what_was_before_a_trip_is_not_in_its_track(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    await reports(people.driver, fix(1, now()))
    trip_id = await people.trip("accepted")
    second = (await hears_version(people.driver, trip_id, 2))["at"]
    await reports(people.driver, fix(2, second))
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.emit("driver:location", fix(3, now()))
    shown = (await people.rider.hears("trip:location", where(seq=3)))["ts"]
    await until_in_track(cluster.first, trip_id, [fix(2, second), fix(3, shown)])
