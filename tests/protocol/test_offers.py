"""Offers: made, replaced, declined, expired; and who hears of it."""

import pytest

from tests.conftest import Cluster, Connect, fresh
from tests.rides import PICKUP, cast, hears_version, passed, versions


def _request(rider_id: str, **fields: object) -> dict[str, object]:
    return {"client_id": fresh("request"), "rider_id": rider_id, "pickup": PICKUP, **fields}


@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_trip_can_begin_with_an_offer(
    cluster: Cluster, connect: Connect, kind: str
) -> None:
    driver = await connect(cluster.second, "driver", fresh("driver"), kind=kind)
    agent = await connect(cluster.first, "agent", fresh("agent"))
    request = _request(fresh("rider"), driver_id=driver.user_id, expires_in_ms=60_000, pin="4711")
    trip = (await agent.ok("trip:create", request))["trip"]
    offer = trip["offer"]
    assert offer == {"driver_id": driver.user_id, "expires_at": trip["created_at"] + 60_000}
    told = await hears_version(driver, trip["id"], 1)
    assert (told["status"], told["driver_id"], told["offer"]) == ("requested", None, offer)
    accepted = await driver.ok("trip:update", {"trip_id": trip["id"], "status": "accepted"})
    assert accepted["trip"]["driver_id"] == driver.user_id
    assert accepted["trip"]["offer"] is None


async def test_an_offer_reaches_all_devices_of_the_driver_on_both_instances(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    tablet = await connect(cluster.first, "driver", people.driver.user_id, device="tablet")
    trip_id = await people.trip()
    told = await hears_version(tablet, trip_id, 1)
    assert told == await hears_version(people.driver, trip_id, 1)
    await people.passed(tablet, people.driver)
    assert versions(tablet, trip_id) == versions(people.driver, trip_id) == [1]


async def test_an_offer_waits_for_a_driver_who_is_not_connected(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    driver_id = fresh("driver")
    request = _request(people.rider.user_id, driver_id=driver_id, pin="4711")
    trip = (await people.dispatcher.ok("trip:create", request))["trip"]
    driver = await connect(cluster.first, "driver", driver_id)
    ready = driver.heard("session:ready")[0]
    assert ready["trips"] == [{name: v for name, v in trip.items() if name != "pin"}]
    assert ready["conversations"] == []
    await people.rider.ok("trip:update", {"trip_id": trip["id"], "status": "cancelled"})
    assert (await hears_version(driver, trip["id"], 2))["status"] == "cancelled"


async def test_an_expired_offer_becomes_null_and_everybody_concerned_hears_it(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip(expires_in_ms=1)
    for client in (people.rider, people.driver):
        told = await hears_version(client, trip_id, 2)
        assert (told["status"], told["offer"], told["by"]) == ("requested", None, None)
    accept = {"trip_id": trip_id, "status": "accepted"}
    assert (await people.driver.refused("trip:update", accept))["code"] == "not_found"
    again = {"trip_id": trip_id, "driver_id": people.driver.user_id}
    await people.dispatcher.ok("trip:offer", again)
    assert (await hears_version(people.driver, trip_id, 3))["offer"] == {
        "driver_id": people.driver.user_id
    }
    await people.driver.ok("trip:update", accept)
    await hears_version(people.driver, trip_id, 4)
    await people.passed(people.rider, people.driver)
    assert versions(people.rider, trip_id) == versions(people.driver, trip_id) == [1, 2, 3, 4]


async def test_an_offer_cannot_be_accepted_after_its_time(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    driver_id = people.driver.user_id
    request = _request(people.rider.user_id, driver_id=driver_id, expires_in_ms=1)
    trip = (await people.dispatcher.ok("trip:create", request))["trip"]
    # Whether it was found to be expired already or not:
    error = await people.driver.refused(
        "trip:update", {"trip_id": trip["id"], "status": "accepted"}
    )
    assert error["code"] in ("forbidden", "not_found")
    ready = (await connect(cluster.first, "driver", driver_id)).heard("session:ready")[0]
    assert ready["trips"] == []


async def test_an_accepted_trip_has_no_offer_that_could_expire(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    accepted = await people.trip("accepted", expires_in_ms=86_400_000)
    expiring = await people.trip(expires_in_ms=1)
    await hears_version(people.rider, expiring, 2)
    assert versions(people.rider, accepted) == [1, 2]


async def test_a_declined_offer_becomes_null_and_everybody_concerned_hears_it(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip()
    decline = {"trip_id": trip_id, "reason": "too far"}
    assert await people.driver.ok("trip:decline", decline) == {"ok": True}
    for client in (people.rider, people.driver):
        told = await hears_version(client, trip_id, 2)
        assert (told["status"], told["offer"], told["reason"]) == ("requested", None, "too far")
        assert told["by"] == people.driver.user_id
    await people.driver.ok("trip:decline", decline)
    await people.rider.ok("trip:edit", {"trip_id": trip_id, "metadata": {"bags": 2}})
    await hears_version(people.rider, trip_id, 3)
    await passed(await connect(cluster.first, "agent", fresh("agent")), people.driver)
    assert versions(people.driver, trip_id) == [1, 2]
    assert versions(people.rider, trip_id) == [1, 2, 3]


async def test_who_is_offered_a_trip_in_place_of_another_hears_it_and_the_other_no_more(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    second = await connect(cluster.first, "driver", fresh("driver"), kind="js", parser="msgpack")
    trip_id = await people.trip()
    offer = {"trip_id": trip_id, "driver_id": second.user_id}
    await people.dispatcher.ok("trip:offer", offer)
    for client in (people.rider, people.driver, second):
        told = await hears_version(client, trip_id, 2)
        assert told["offer"] == {"driver_id": second.user_id}
    accept = {"trip_id": trip_id, "status": "accepted"}
    assert (await people.driver.refused("trip:update", accept))["code"] == "not_found"
    await second.ok("trip:update", accept)
    await hears_version(people.rider, trip_id, 3)
    await passed(await connect(cluster.first, "agent", fresh("agent")), people.driver, second)
    assert versions(people.driver, trip_id) == [1, 2]
    assert versions(second, trip_id) == [2, 3]


async def test_an_offer_to_the_same_driver_again_changes_nothing(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip()
    offer = {"trip_id": trip_id, "driver_id": people.driver.user_id}
    assert (await people.dispatcher.ok("trip:offer", offer))["trip"]["version"] == 1
    await people.passed(people.driver)
    assert versions(people.driver, trip_id) == [1]


async def test_a_driver_with_an_offer_sees_the_trip_but_not_what_is_the_parties(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip(pin="4711")
    draft = {"conversation_id": trip_id, "client_id": "one", "text": "hello"}
    await people.rider.ok("chat:send", draft)
    snapshot = await people.driver.ok("trip:subscribe", {"trip_id": trip_id})
    assert "pin" not in snapshot["trip"]
    assert (snapshot["messages"], snapshot["last_seq"], snapshot["read"]) == ([], 0, {})
    assert (snapshot["location"], snapshot["driver"]) == (None, None)
    await people.dispatcher.ok("chat:send", {**draft, "client_id": "two"})
    await people.dispatcher.ok("trip:edit", {"trip_id": trip_id, "metadata": {"bags": 2}})
    await hears_version(people.driver, trip_id, 2)
    assert people.driver.heard("chat:message") == []


async def test_a_driver_passed_over_for_another_hears_who_drives_and_no_more(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip()
    accept = {"trip_id": trip_id, "status": "accepted", "driver_id": fresh("driver")}
    await people.dispatcher.ok("trip:update", accept)
    await hears_version(people.driver, trip_id, 2)
    await people.dispatcher.ok("trip:update", {"trip_id": trip_id, "status": "arriving"})
    await people.dispatcher.ok(
        "chat:send", {"conversation_id": trip_id, "client_id": "one", "text": "hello"}
    )
    await people.passed(people.driver)
    assert versions(people.driver, trip_id) == [1, 2]
    assert [m["text"] for m in people.driver.heard("chat:message")] == ["marker"]
