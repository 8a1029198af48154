"""One ride through both doors, on two instances: each hears and sees what the other did."""

import asyncio
from typing import Any

from tests.conftest import Cluster, Connect, fresh
from tests.http.conftest import Company
from tests.rides import hears_version, point, versions, where


async def test_a_ride_is_driven_half_over_http_and_half_over_sockets(
    company: Company, cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", company.rider_id)
    driver = await connect(cluster.second, "driver", company.driver_id, kind="js")
    agent = await connect(cluster.second, "agent", fresh("agent"), parser="msgpack")

    # HTTP on the first instance: created and offered; the sockets of both hear it.
    trip = await company.service.ok("POST", "/v1/trips", company.request(pin="1234"))
    trip_id, path = trip["id"], f"/v1/trips/{trip['id']}"
    offer = {"driver_id": company.driver_id, "expires_in_ms": 60_000}
    await company.service.ok("POST", f"{path}/offer", offer)
    await agent.ok("trip:subscribe", {"trip_id": trip_id})
    await rider.ok("trip:subscribe", {"trip_id": trip_id})
    offered = await driver.hears("trip:status", where(trip_id=trip_id, version=2))
    assert offered["offer"]["driver_id"] == company.driver_id

    # Sockets: accepted and on the way; HTTP on the other instance sees it.
    await driver.ok("trip:update", {"trip_id": trip_id, "status": "accepted", "version": 2})
    assert (await company.rider.ok("GET", path))["status"] == "accepted"
    await driver.ok("driver:location", point(seq=1))
    assert (await rider.hears("trip:location", where(trip_id=trip_id)))["seq"] == 1

    # Chat: written through one door, heard and read through the other.
    messages = f"/v1/conversations/{trip_id}/messages"
    by_http = await company.service.ok("POST", messages, _text("5 minutes late", kind="system"))
    for client in (rider, driver, agent):
        assert await client.hears("chat:message", where(seq=1)) == by_http
    by_socket = (await rider.ok("chat:send", {"conversation_id": trip_id, **_text("ok")}))[
        "message"
    ]
    assert (await company.driver.ok("GET", messages))["items"] == [by_http, by_socket]

    # HTTP with the version that the sockets made; a stale one is refused.
    stale = {"If-Match": '"2"'}
    arrived = {"status": "arrived"}
    assert await company.driver.refused("POST", f"{path}/status", arrived, headers=stale) == (
        "412 conflict"
    )
    await company.driver.ok("POST", f"{path}/status", arrived, headers={"If-Match": '"3"'})
    await rider.hears("trip:status", where(trip_id=trip_id, status="arrived"))
    wrong = {"trip_id": trip_id, "status": "in_progress", "pin": "0000"}
    assert (await driver.refused("trip:update", wrong))["path"] == "pin"
    start = {"status": "in_progress", "pin": "1234"}
    await company.driver.ok("POST", f"{path}/status", start)
    await driver.ok("trip:update", {"trip_id": trip_id, "status": "completed"})

    # Everybody has every version, in order, whichever door it came through.
    for client in (rider, driver, agent):
        await hears_version(client, trip_id, 6)
    assert versions(rider, trip_id) == [1, 2, 3, 4, 5, 6]
    assert versions(agent, trip_id) == [3, 4, 5, 6]
    seen = await company.agent.ok("GET", path)
    assert [event["version"] for event in seen["events"]] == [1, 2, 3, 4, 5, 6]
    assert seen == (await agent.ok("trip:subscribe", {"trip_id": trip_id}))["trip"]


async def test_the_two_doors_race_and_one_wins_each_version(
    company: Company, cluster: Cluster, connect: Connect
) -> None:
    agent = await connect(cluster.second, "agent", fresh("agent"))
    path = f"/v1/trips/{await company.trip()}"
    trip_id = path.rpartition("/")[2]
    edits: list[Any] = []
    for n in range(10):
        by_http, by_socket = ({"metadata": {door: n}, "version": 1} for door in ("http", "socket"))
        edits.append(company.rider.ask("PATCH", path, by_http))
        edits.append(agent.call("trip:edit", {"trip_id": trip_id, **by_socket}))
    answers = await asyncio.gather(*edits)
    won = [a for a in answers if (a["ok"] if isinstance(a, dict) else a.status == 200)]
    assert len(won) == 1
    assert (await company.rider.ok("GET", path))["version"] == 2


async def test_the_same_client_id_is_one_trip_through_both_doors(
    company: Company, cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.second, "rider", company.rider_id)
    request = company.request()
    del request["rider_id"]
    by_http = await company.rider.ok("POST", "/v1/trips", request)
    by_socket = await rider.ok("trip:create", request)
    assert by_socket["trip"] == by_http


def _text(words: str, **more: Any) -> dict[str, Any]:
    return {"client_id": fresh("message"), "text": words, **more}
