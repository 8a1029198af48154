"""Locations: from accepted to the end, to subscribers, newest wins; what is rejected and why."""

from typing import Any

import pytest

from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh, now
from tests.rides import cast, hears_version, passed, point, where
from tests.servers import Server


def _seqs(client: Client, trip_id: str) -> list[int]:
    return [p["seq"] for p in client.heard("trip:location") if p["trip_id"] == trip_id]


@pytest.mark.parametrize("parser", ["json", "msgpack"])
@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_point_reaches_subscribers_as_it_was_measured(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    people = await cast(cluster, connect, kind=kind, parser=parser)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    full = point(7, heading=359.5, speed=13.89, accuracy=4.5)
    answer = await people.driver.ok("driver:location", full)
    assert answer == {"ok": True, "accepted": 1, "rejected": []}
    assert await people.rider.hears("trip:location") == {"trip_id": trip_id, **full}
    bare = point(8)
    renamed = {"latitude": bare["lat"], "longitude": bare["lng"], "ts": bare["ts"], "seq": 8}
    await people.driver.ok("driver:location", renamed)
    told = await people.rider.hears("trip:location", where(seq=8))
    assert told == {"trip_id": trip_id, **bare}


async def test_a_point_reaches_clients_of_both_parsers_on_both_instances(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    watchers = [
        await connect(url, "rider", people.rider.user_id, parser=parser)
        for url in (cluster.first, cluster.second)
        for parser in ("json", "msgpack")
    ]
    for watcher in watchers:
        await watcher.ok("trip:subscribe", {"trip_id": trip_id})
    for full in (point(1), point(2, heading=359.5, speed=13.89, accuracy=4.5)):
        await people.driver.emit("driver:location", full)
        for watcher in watchers:
            told = await watcher.hears("trip:location", where(seq=full["seq"]))
            assert told == {"trip_id": trip_id, **full}
    assert [_seqs(watcher, trip_id) for watcher in watchers] == [[1, 2]] * 4


async def test_a_point_may_be_up_to_five_seconds_ahead(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    ahead = {**point(1), "ts": now() + 4_000}
    assert (await people.driver.ok("driver:location", ahead))["accepted"] == 1
    assert (await people.rider.hears("trip:location"))["ts"] == ahead["ts"]
    future = {**point(2), "ts": now() + 30_000}
    answer = await people.driver.ok("driver:location", future)
    assert answer == {"ok": True, "accepted": 0, "rejected": [{"seq": 2, "code": "future"}]}


async def test_a_batch_is_judged_point_by_point_and_its_newest_is_shown(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    start = now()
    batch: list[Any] = [
        {**point(1), "ts": start - 3_000},
        {**point(2), "ts": start - 2_000},
        {**point(2), "ts": start - 2_000},
        {**point(3), "ts": start - 2_500},
        {**point(4), "lat": 91},
        {"seq": 5},
        "no point",
        {**point(6), "ts": start - 1_000},
    ]
    answer = await people.driver.ok("driver:location", batch)
    assert answer["accepted"] == 3
    assert answer["rejected"] == [
        {"seq": 2, "code": "duplicate"},
        {"seq": 3, "code": "stale"},
        {"seq": 4, "code": "invalid"},
        {"seq": 5, "code": "invalid"},
        {"seq": None, "code": "invalid"},
    ]
    assert (await people.rider.hears("trip:location"))["seq"] == 6
    again = await people.driver.ok("driver:location", batch[-1])
    assert again["rejected"] == [{"seq": 6, "code": "duplicate"}]
    older = {**point(7), "ts": start - 5_000}
    stale = await people.driver.ok("driver:location", older)
    assert stale["rejected"] == [{"seq": 7, "code": "stale"}]
    await people.driver.ok("driver:location", point(8))
    await people.rider.hears("trip:location", where(seq=8))
    assert _seqs(people.rider, trip_id) == [6, 8]


async def test_a_batch_holds_one_to_five_hundred_points(cluster: Cluster, connect: Connect) -> None:
    driver = await connect(cluster.first, "driver", fresh("driver"), parser="msgpack")
    for size, accepted in ((500, 500), (1, 1)):
        start = now() - 600
        batch = [{**point(n), "ts": start + 600 * (size == 1) + n} for n in range(1, size + 1)]
        assert (await driver.ok("driver:location", batch))["accepted"] == accepted
    for batch in ([], [point(n) for n in range(501)]):
        assert (await driver.refused("driver:location", batch))["code"] == "invalid"
    for nothing in ("here", 7, None):
        assert (await driver.refused("driver:location", nothing))["code"] == "invalid"


async def test_locations_are_shown_from_accepted_to_the_end_only(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id, other = await people.trip(), await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    await people.rider.ok("trip:subscribe", {"trip_id": other})
    shown = []
    way = ("accepted", "arriving", "arrived", "in_progress", "completed")
    for number, status in enumerate(("requested", *way), start=1):
        if status != "requested":
            await people.driver.ok("trip:update", {"trip_id": trip_id, "status": status})
            await hears_version(people.rider, trip_id, number)
        is_shown = status not in ("requested", "completed")
        shown += [number] * is_shown
        await people.driver.ok("driver:location", point(number))
        for watched in (other, trip_id)[: 1 + is_shown]:
            await people.rider.hears("trip:location", where(trip_id=watched, seq=number))
    await people.passed(people.rider)
    assert _seqs(people.rider, trip_id) == shown
    snapshot = await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    assert (snapshot["location"], snapshot["driver"]) == (None, None)


@pytest.mark.parametrize("ending", ["cancelled", "requested"])
async def test_no_location_follows_the_status_that_ends_them(
    cluster: Cluster, connect: Connect, ending: str
) -> None:
    people = await cast(cluster, connect, kind="js")
    viewer_trips = [await people.trip("arrived")]
    trip_id = viewer_trips[0]
    viewer = await connect(cluster.second, "viewer", fresh("viewer"), trips=viewer_trips)
    agent = await connect(cluster.first, "agent", fresh("agent"), parser="msgpack")
    watchers = (people.rider, viewer, agent)
    for client in watchers:
        await client.ok("trip:subscribe", {"trip_id": trip_id})
    for number in range(1, 21):
        await people.driver.emit("driver:location", point(number))
        if number == 10:
            end = {"trip_id": trip_id, "status": ending}
            await people.dispatcher.emit("trip:update", end)
    await people.driver.ok("driver:location", point(21))
    for client in watchers:
        await hears_version(client, trip_id, 5)
    await people.passed(people.rider, agent)
    for client in watchers:
        names = [n for n, p in client.events if p.get("trip_id") == trip_id]
        assert names[-1] == "trip:status"


async def test_points_of_a_driver_without_a_trip_are_accepted_and_shown_to_nobody(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    stranger = await connect(cluster.second, "driver", fresh("driver"))
    assert (await stranger.ok("driver:location", {**point(1), "trip_id": trip_id}))["accepted"] == 1
    await people.driver.ok("driver:location", point(2))
    await people.rider.hears("trip:location")
    assert _seqs(people.rider, trip_id) == [2]


async def test_one_point_goes_to_all_trips_of_its_driver(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trips = [await people.trip("accepted"), await people.trip("in_progress")]
    for trip_id in trips:
        await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.ok("driver:location", point(1))
    for trip_id in trips:
        await people.rider.hears("trip:location", where(trip_id=trip_id))


async def test_a_snapshot_has_the_newest_accepted_point(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    watcher = await connect(cluster.second, "agent", fresh("agent"))
    snapshot = await watcher.ok("trip:subscribe", {"trip_id": trip_id})
    assert snapshot["location"] is None
    assert snapshot["driver"] == {"trip_id": trip_id, "connection": "live", "last_seen": None}
    await watcher.ok("trip:unsubscribe", {"trip_id": trip_id})
    for number in range(1, 6):
        before = now()
        newest = point(number, heading=10)
        await people.driver.ok("driver:location", newest)
        snapshot = await watcher.ok("trip:subscribe", {"trip_id": trip_id})
        assert snapshot["location"] == newest
        assert snapshot["driver"]["connection"] == "live"
        assert before <= snapshot["driver"]["last_seen"] <= now()
        await watcher.ok("trip:unsubscribe", {"trip_id": trip_id})


async def test_a_point_is_in_the_snapshot_or_follows_it(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    watcher = await connect(cluster.first, "agent", fresh("agent"), kind="js", parser="msgpack")
    for number in range(1, 21):
        await people.driver.emit("driver:location", point(number))
        snapshot = await watcher.ok("trip:subscribe", {"trip_id": trip_id})
        if snapshot["location"] is None or snapshot["location"]["seq"] < number:
            await watcher.hears("trip:location", where(seq=number))
        await watcher.ok("trip:unsubscribe", {"trip_id": trip_id})
    assert _seqs(watcher, trip_id) == sorted(_seqs(watcher, trip_id))


async def test_no_snapshot_shows_an_older_point_than_was_heard(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    for number in range(1, 6):
        newest = point(number)
        await people.driver.ok("driver:location", newest)
        await people.rider.hears("trip:location", where(seq=number))
        snapshot = await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
        assert snapshot["location"] == newest
    await people.passed(people.rider)
    assert _seqs(people.rider, trip_id) == [1, 2, 3, 4, 5]


async def test_who_subscribes_hears_that_the_driver_is_heard(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    before = now()
    await people.driver.ok("driver:location", point(1))
    told = await people.rider.hears("trip:driver")
    assert (told["trip_id"], told["connection"]) == (trip_id, "live")
    assert before <= told["last_seen"] <= now()


async def test_a_driver_that_falls_silent_becomes_stale_and_then_offline(
    cluster: Cluster, connect: Connect
) -> None:
    settings = cluster.settings | {"DRIVER_STALE_S": "1", "DRIVER_OFFLINE_S": "3"}
    server = await Server.start(settings)
    try:
        people = await cast(Cluster(server.url, cluster.second, cluster.stores), connect)
        trip_id = await people.trip("accepted")
        await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
        await people.driver.ok("driver:location", point(1))
        for connection in ("live", "stale", "offline"):
            told = await people.rider.hears("trip:driver", where(connection=connection))
            assert told["trip_id"] == trip_id
        await people.driver.ok("driver:location", point(2))
        await people.rider.hears("trip:location", where(seq=2))
        told = [driver["connection"] for driver in people.rider.heard("trip:driver")]
        assert told[-4:] == ["live", "stale", "offline", "live"]
    finally:
        await server.stop()


async def test_a_status_of_the_driver_is_kept_for_its_next_session(
    cluster: Cluster, connect: Connect
) -> None:
    driver = await connect(cluster.first, "driver", fresh("driver"))
    for status in ("available", "offline", "busy"):
        assert await driver.ok("driver:status", {"status": status}) == {
            "ok": True,
            "status": status,
        }
    again = await connect(cluster.second, "driver", driver.user_id)
    assert again.heard("session:ready")[0]["status"] == "busy"
    assert (await driver.refused("driver:status", {"status": "asleep"}))["code"] == "invalid"


async def test_points_do_not_wait_for_other_commands(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    for number in range(1, 31):
        draft = {"conversation_id": trip_id, "client_id": f"{number}", "text": "hello"}
        await people.driver.emit("chat:send", draft)
        await people.driver.emit("driver:location", point(number))
    await people.rider.hears("chat:message", where(seq=30))
    await people.rider.hears("trip:location", where(seq=30))
    heard = _seqs(people.rider, trip_id)
    assert heard == sorted(set(heard))
    await passed(await connect(cluster.second, "agent", fresh("agent")), people.rider)


async def test_riders_get_the_newest_of_what_comes_too_fast(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    start = now()
    for number in range(1, 101):
        fast = {**point(number), "ts": start + number}
        assert (await people.driver.ok("driver:location", fast))["accepted"] == 1
    await people.rider.hears("trip:location", where(trip_id=trip_id, seq=100))
    await people.passed(people.rider)
    shown = _seqs(people.rider, trip_id)
    assert (shown[0], shown[-1]) == (1, 100)
    assert shown == sorted(set(shown))
    assert len(shown) < 100


async def test_a_point_that_cannot_be_true_is_shown_to_nobody(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    start = now() - 10_000
    batch = [{**point(n), "ts": start + n * 1_000} for n in range(1, 6)]
    batch[2] |= {"lat": 0.0}
    batch[3] |= {"accuracy": 5_000}
    answer = await people.driver.ok("driver:location", batch)
    assert answer["accepted"] == 3
    assert answer["rejected"] == [
        {"seq": 3, "code": "implausible"},
        {"seq": 4, "code": "inaccurate"},
    ]
    assert (await people.rider.hears("trip:location"))["seq"] == 5


async def test_the_filter_goes_on_where_it_was_on_another_instance(
    cluster: Cluster, connect: Connect
) -> None:
    """Two points of a jump are in doubt when the driver moves; the third makes it believed."""
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    watcher = await connect(cluster.second, "agent", fresh("agent"))
    start = now() - 20_000
    way = [{**point(n), "ts": start + n * 1_000} for n in range(1, 6)]
    for jumped in way[2:]:
        jumped["lat"] = 0.0
    first = await people.driver.ok("driver:location", way[:4])
    assert [refused["code"] for refused in first["rejected"]] == ["implausible"] * 2
    await people.driver.close()
    deadline = now() + 10_000
    while (await watcher.ok("trip:subscribe", {"trip_id": trip_id}))["location"] is None:
        assert now() < deadline
    moved = await connect(cluster.second, "driver", people.driver.user_id)
    assert (await moved.ok("driver:location", way[4]))["accepted"] == 1
