"""Who hears what of a trip: parties unasked, others by subscribing, nobody what is not theirs."""

import pytest

from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh
from tests.rides import (
    PICKUP,
    Cast,
    cast,
    hears_version,
    passed,
    point,
    say,
    seqs,
    texts,
    versions,
    where,
)


def _of_trip(client: Client, trip_id: str) -> list[str]:
    """The names of everything that the client heard of a trip."""
    return [
        name
        for name, payload in client.events
        if trip_id in (payload.get("trip_id"), payload.get("conversation_id"))
    ]


@pytest.mark.parametrize("kind", ["py", "js"])
async def test_parties_hear_status_messages_and_receipts_unasked_and_once(
    cluster: Cluster, connect: Connect, kind: str
) -> None:
    people = await cast(cluster, connect, kind=kind)
    tablets = [
        await connect(url, role, client.user_id, kind=kind, parser="msgpack")
        for url in (cluster.first, cluster.second)
        for role, client in (("rider", people.rider), ("driver", people.driver))
    ]
    devices = [people.rider, people.driver, *tablets]
    trip_id = await people.trip("accepted")
    for device in tablets:
        await hears_version(device, trip_id, 2)
    await people.driver.ok("trip:update", {"trip_id": trip_id, "status": "arriving"})
    await people.rider.ok("trip:edit", {"trip_id": trip_id, "metadata": {"bags": 2}})
    await say(people.dispatcher, trip_id, "hello")
    for device in devices:
        await device.hears("chat:message", where(conversation_id=trip_id))
    await people.rider.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 1})
    for device in (people.driver, *tablets):
        assert await device.hears("chat:receipt") == {
            "conversation_id": trip_id,
            "user_id": people.rider.user_id,
            "delivered_seq": 1,
            "read_seq": 1,
        }
    for url in (cluster.first, cluster.second):
        await passed(await connect(url, "agent", fresh("agent")), *devices)
    for device in devices:
        assert versions(device, trip_id) == [1, 2, 3, 4]
        assert texts(device, trip_id) == ["hello"]
        receipts = 0 if device is people.rider else 1
        assert len(device.heard("chat:receipt")) == receipts


async def test_a_subscribed_party_still_hears_everything_once(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    for _ in range(3):
        await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.ok("driver:location", point(1))
    await people.rider.hears("trip:location")
    await say(people.driver, trip_id, "hello")
    await people.move(trip_id, "arriving")
    await hears_version(people.rider, trip_id, 3)
    await people.passed(people.rider, people.driver)
    assert versions(people.rider, trip_id) == [1, 2, 3]
    assert texts(people.rider, trip_id) == ["hello"]
    assert len(people.rider.heard("trip:location")) == 1


async def test_what_is_live_is_for_subscribers_only(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    tablet = await connect(cluster.first, "rider", people.rider.user_id)
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.ok("driver:location", point(1))
    await people.driver.ok("chat:typing", {"conversation_id": trip_id, "typing": True})
    await people.rider.hears("trip:location")
    await people.rider.hears("trip:driver")
    await people.rider.hears("chat:typing")
    await people.passed(people.rider, tablet)
    assert _of_trip(tablet, trip_id) == []


async def test_unsubscribing_ends_what_is_live_and_a_party_still_follows(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.ok("driver:location", point(1))
    await people.rider.hears("trip:location")
    unsubscribe = {"trip_id": trip_id}
    assert await people.rider.ok("trip:unsubscribe", unsubscribe) == {"ok": True}
    heard = len(people.rider.events)
    await people.driver.ok("driver:location", point(2))
    await people.driver.ok("chat:typing", {"conversation_id": trip_id, "typing": True})
    await people.move(trip_id, "arriving")
    await say(people.driver, trip_id, "hello")
    await people.rider.hears("chat:message")
    assert [name for name, _ in people.rider.events[heard:]] == ["trip:status", "chat:message"]
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.ok("driver:location", point(3))
    await people.rider.hears("trip:location", where(seq=3))


@pytest.mark.parametrize("role", ["agent", "service"])
async def test_staff_hears_only_what_it_subscribed_to(
    cluster: Cluster, connect: Connect, role: str
) -> None:
    people = await cast(cluster, connect)
    first, second = await people.trip("accepted"), await people.trip("accepted")
    staff = await connect(cluster.first, role, fresh(role), kind="js", parser="msgpack")
    await staff.ok("trip:subscribe", {"trip_id": first})

    async def happens(trip_id: str, status: str, sequence: int) -> None:
        await people.driver.ok("driver:location", point(sequence))
        await people.move(trip_id, status)
        await say(people.rider, trip_id, status)
        read = {"conversation_id": trip_id, "delivered_seq": 1}
        await people.driver.ok("chat:receipt", read)

    await happens(second, "arriving", 1)
    await happens(first, "arriving", 2)
    await staff.hears("chat:receipt")
    await staff.hears("trip:eta")
    assert _of_trip(staff, second) == []
    assert set(_of_trip(staff, first)) == {
        "trip:location",
        "trip:driver",
        "trip:eta",
        "trip:status",
        "chat:message",
        "chat:receipt",
    }
    await staff.ok("trip:unsubscribe", {"trip_id": first})
    await staff.ok("trip:subscribe", {"trip_id": second})
    heard = len(_of_trip(staff, first))
    await happens(first, "arrived", 3)
    await happens(second, "arrived", 4)
    await staff.hears("chat:receipt", where(conversation_id=second))
    assert len(_of_trip(staff, first)) == heard


async def test_staff_that_subscribed_to_nothing_hears_nothing(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    agent = await connect(cluster.second, "agent", fresh("agent"))
    trip_id = await people.trip("accepted")
    await people.driver.ok("driver:location", point(1))
    await say(people.driver, trip_id, "hello")
    await people.passed(agent)
    assert _of_trip(agent, trip_id) == []


@pytest.mark.parametrize("parser", ["json", "msgpack"])
@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_viewer_sees_the_trip_without_people_and_chat(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted", pin="se-cret", metadata={"bags": 1})
    marker = await people.trip("accepted")
    await say(people.rider, trip_id, "hello")
    await people.rider.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 1})
    trips = [trip_id, marker]
    viewer = await connect(
        cluster.first, "viewer", fresh("viewer"), kind=kind, parser=parser, trips=trips
    )
    snapshot = await viewer.ok("trip:subscribe", {"trip_id": trip_id})
    assert snapshot == {
        "ok": True,
        "trip": {
            "id": trip_id,
            "status": "accepted",
            "version": 2,
            "pickup": PICKUP,
            "dropoff": None,
            "stops": [],
        },
        "location": None,
        "driver": {"trip_id": trip_id, "connection": "live", "last_seen": None},
        "messages": [],
        "last_seq": 0,
        "read": {},
        "has_more": False,
    }
    await viewer.ok("trip:subscribe", {"trip_id": marker, "after_seq": 0})
    position = point(1)
    await people.driver.ok("driver:location", position)
    await people.rider.ok("chat:typing", {"conversation_id": trip_id, "typing": True})
    await say(people.driver, trip_id, "hello")
    await people.driver.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 2})
    await viewer.hears("trip:eta")
    edit = {"trip_id": trip_id, "metadata": {"bags": 2}, "dropoff": PICKUP}
    edited = (await people.dispatcher.ok("trip:edit", edit))["trip"]["events"][-1]
    cancel = {"trip_id": trip_id, "status": "cancelled", "reason": "ill"}
    cancelled = (await people.dispatcher.ok("trip:update", cancel))["trip"]["events"][-1]
    await people.move(marker, "arriving")
    await hears_version(viewer, marker, 3)

    of_trip = [(n, p) for n, p in viewer.events if p.get("trip_id") == trip_id]
    assert [p for n, p in of_trip if n == "trip:status"] == [
        {
            "trip_id": trip_id,
            "version": 3,
            "status": "accepted",
            "at": edited["at"],
            "changed": {"dropoff": PICKUP},
        },
        {"trip_id": trip_id, "version": 4, "status": "cancelled", "at": cancelled["at"]},
    ]
    assert [p for n, p in of_trip if n == "trip:location"] == [{"trip_id": trip_id, **position}]
    assert {name for name, _ in viewer.events} == {
        "session:ready",
        "trip:status",
        "trip:location",
        "trip:driver",
        "trip:eta",
    }
    for secret in ("hello", "se-cret", people.rider.user_id, people.driver.user_id, "ill", "bags"):
        assert secret not in repr(viewer.events)


async def test_a_viewer_with_the_riders_sub_hears_no_chat(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    marker = await people.trip("accepted")
    viewer = await connect(cluster.second, "viewer", people.rider.user_id, trips=[marker])
    await viewer.ok("trip:subscribe", {"trip_id": marker})
    opening = {"client_id": "one", "participants": [viewer.user_id]}
    chat_id = (await people.dispatcher.ok("chat:open", opening))["conversation"]["id"]
    await say(people.dispatcher, chat_id, "first")
    await people.rider.hears("chat:message", where(conversation_id=chat_id))
    await say(people.dispatcher, chat_id, "second")
    await people.move(marker, "arriving")
    await hears_version(viewer, marker, 3)
    assert viewer.heard("chat:message") == []


async def test_a_driver_taken_off_hears_the_last_status_and_nothing_after(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    phones = [
        people.driver,
        await connect(cluster.first, "driver", people.driver.user_id, kind="js", parser="msgpack"),
    ]
    next_driver = await connect(cluster.second, "driver", fresh("driver"))
    trip_id = await people.trip("arriving")
    for phone in phones:
        await phone.ok("trip:subscribe", {"trip_id": trip_id})
    await people.dispatcher.ok("trip:update", {"trip_id": trip_id, "status": "requested"})
    for phone in phones:
        told = await hears_version(phone, trip_id, 4)
        assert (told["status"], told["driver_id"]) == ("requested", None)
    heard = [len(phone.events) for phone in phones]

    accept = {"trip_id": trip_id, "status": "accepted", "driver_id": next_driver.user_id}
    await people.dispatcher.ok("trip:update", accept)
    await hears_version(next_driver, trip_id, 5)
    await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    await next_driver.ok("driver:location", point(1))
    await people.rider.hears("trip:location")
    await say(people.rider, trip_id, "hello")
    await people.rider.ok("chat:typing", {"conversation_id": trip_id, "typing": True})
    await people.rider.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 1})
    await people.driver.ok("driver:location", point(2))
    for url in (cluster.first, cluster.second):
        await passed(await connect(url, "agent", fresh("agent")), *phones, people.rider)
    for phone, before in zip(phones, heard, strict=True):
        assert [n for n, p in phone.events[before:] if p.get("conversation_id") != trip_id] == [
            "chat:message",
            "chat:message",
        ]
        assert _of_trip(phone, trip_id)[-1] == "trip:status"
        assert versions(phone, trip_id)[-1] == 4
        error = await phone.refused("trip:subscribe", {"trip_id": trip_id})
        assert error["code"] == "not_found"
        error = await phone.refused("chat:history", {"conversation_id": trip_id})
        assert error["code"] == "not_found"
    assert [p["seq"] for p in people.rider.heard("trip:location")] == [1]


async def test_a_driver_who_gets_the_trip_again_hears_it_again(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    await say(people.rider, trip_id, "before")
    await people.driver.hears("chat:message", where(text="before"))
    await people.driver.ok("trip:update", {"trip_id": trip_id, "status": "requested"})
    await hears_version(people.driver, trip_id, 3)
    await say(people.rider, trip_id, "between")
    offer = {"trip_id": trip_id, "driver_id": people.driver.user_id}
    await people.dispatcher.ok("trip:offer", offer)
    await hears_version(people.driver, trip_id, 4)
    await people.driver.ok("trip:update", {"trip_id": trip_id, "status": "accepted"})
    await say(people.rider, trip_id, "after")
    await people.driver.hears("chat:message", where(text="after"))
    await people.passed(people.driver)
    assert versions(people.driver, trip_id) == [1, 2, 3, 4, 5]
    assert texts(people.driver, trip_id) == ["before", "after"]


@pytest.mark.parametrize("url", ["first", "second"])
async def test_a_driver_reads_what_was_written_since_it_accepted(
    cluster: Cluster, connect: Connect, url: str
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip()
    tablet = await connect(getattr(cluster, url), "driver", people.driver.user_id)
    for text in ("one", "two"):
        await say(people.rider, trip_id, text)
    await people.driver.ok("trip:update", {"trip_id": trip_id, "status": "accepted"})
    for text in ("three", "four"):
        await say(people.rider, trip_id, text)
    for device in (people.driver, tablet):
        await device.hears("chat:message", where(text="four"))
    await people.passed(people.driver, tablet)
    for device in (people.driver, tablet):
        assert seqs(device, trip_id) == [3, 4]
        snapshot = await device.ok("trip:subscribe", {"trip_id": trip_id})
        assert [m["seq"] for m in snapshot["messages"]] == [3, 4]
        assert (snapshot["last_seq"], snapshot["has_more"]) == (4, False)
        whole = {"conversation_id": trip_id, "after_seq": 0}
        history = await device.ok("chat:history", whole)
        assert [m["seq"] for m in history["messages"]] == [3, 4]
        earlier = {"conversation_id": trip_id, "before_seq": 3}
        history = await device.ok("chat:history", earlier)
        assert (history["messages"], history["has_more"]) == ([], False)


async def test_a_trip_that_ended_leaves_its_parties_the_chat(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("completed")
    sent = await say(people.rider, trip_id, "my umbrella is in your car")
    assert await people.driver.hears("chat:message") == sent
    phone = await connect(cluster.first, "driver", people.driver.user_id)
    assert phone.heard("session:ready")[0]["trips"] == []
    sent = await say(people.rider, trip_id, "a red one")
    assert await phone.hears("chat:message") == sent


async def test_a_trip_is_followed_from_connecting_on_by_who_was_away(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    await people.driver.close()
    rider = people.rider
    request = {"client_id": "one", "rider_id": rider.user_id, "pickup": PICKUP}
    away = {**request, "driver_id": people.driver.user_id}
    trip_id = (await people.dispatcher.ok("trip:create", away))["trip"]["id"]
    driver = await connect(cluster.first, "driver", people.driver.user_id, kind="js")
    again = Cast(rider, driver, people.dispatcher)
    await again.move(trip_id, "accepted")
    await say(rider, trip_id, "hello")
    await driver.hears("chat:message")
    await again.move(trip_id, "arriving")
    await hears_version(driver, trip_id, 3)
    assert versions(driver, trip_id) == [2, 3]
