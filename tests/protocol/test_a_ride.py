"""A whole ride over real sockets: the driver on one instance, the rider on the other."""

import pytest

from tests.conftest import Cluster, Connect, fresh, now

PICKUP = {"lat": 52.5, "lng": 13.4}


@pytest.mark.parametrize("parsers", [("json", "msgpack"), ("msgpack", "json")])
@pytest.mark.parametrize("kinds", [("py", "js"), ("js", "py"), ("js", "js")])
async def test_a_ride_from_request_to_completion(
    cluster: Cluster, connect: Connect, parsers: tuple[str, str], kinds: tuple[str, str]
) -> None:
    rider_id, driver_id = fresh("rider"), fresh("driver")
    rider = await connect(cluster.first, "rider", rider_id, kind=kinds[0], parser=parsers[0])
    driver = await connect(cluster.second, "driver", driver_id, kind=kinds[1], parser=parsers[1])
    dispatcher = await connect(cluster.first, "service", fresh("dispatch"))

    request = {"client_id": "first", "pickup": PICKUP, "pin": "4711"}
    trip_id = (await rider.ok("trip:create", request))["trip"]["id"]
    await dispatcher.ok("trip:offer", {"trip_id": trip_id, "driver_id": driver_id})
    offer = await driver.hears("trip:status", lambda s: s["offer"] is not None)
    assert offer["trip_id"] == trip_id
    accepted = await driver.ok("trip:update", {"trip_id": trip_id, "status": "accepted"})
    assert "pin" not in accepted["trip"]
    snapshot = await rider.ok("trip:subscribe", {"trip_id": trip_id})
    assert snapshot["trip"]["driver_id"] == driver_id

    point = {"lat": 52.501, "lng": 13.401, "ts": now(), "seq": 1, "heading": 90}
    assert await driver.ok("driver:location", point) == {"ok": True, "accepted": 1, "rejected": []}
    assert await rider.hears("trip:location") == {"trip_id": trip_id, **point}
    assert (await rider.hears("trip:driver"))["connection"] == "live"

    sent = await rider.ok(
        "chat:send", {"conversation_id": trip_id, "client_id": "hello", "text": "at the door"}
    )
    assert await driver.hears("chat:message") == sent["message"]
    await driver.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 1})
    assert (await rider.hears("chat:receipt"))["read_seq"] == 1

    for status in ("arriving", "arrived"):
        await driver.ok("trip:update", {"trip_id": trip_id, "status": status})
    await driver.ok("trip:update", {"trip_id": trip_id, "status": "in_progress", "pin": "4711"})
    await driver.ok("trip:update", {"trip_id": trip_id, "status": "completed"})
    await rider.hears("trip:status", lambda s: s["status"] == "completed")
    heard = [status["version"] for status in rider.heard("trip:status")]
    contained = snapshot["trip"]["version"]
    assert heard == [v for v in range(1, 8) if v in heard or v > contained]
    assert set(range(1, 8)) == {*heard, *range(1, contained + 1)}
