"""When drivers arrive: told across instances, along OSRM's routes where there are some; and who
says so from elsewhere is refused through both doors.
"""

import aiohttp
import pytest

from tests.conftest import Cluster, Connect, fresh, mint
from tests.http.conftest import Caller
from tests.rides import PICKUP, cast, point, where
from tests.routes import RouteServer
from tests.servers import Server

NORTH = {"lat": PICKUP["lat"] + 0.01, "lng": PICKUP["lng"]}
AWAY_M = 1112


async def test_subscribers_hear_when_the_driver_arrives(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted", dropoff=NORTH)
    viewer = await connect(cluster.first, "viewer", fresh("viewer"), trips=[trip_id])
    for watcher in (people.rider, viewer):
        await watcher.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.ok("driver:location", point(1, **NORTH))
    for watcher in (people.rider, viewer):
        eta = await watcher.hears("trip:eta", where(trip_id=trip_id))
        assert (eta["to"], eta["distance_m"]) == ("pickup", AWAY_M)
        assert set(eta) == {"trip_id", "to", "distance_m", "duration_s", "at"}
    late = await connect(cluster.first, "agent", fresh("agent"), parser="msgpack")
    await late.ok("trip:subscribe", {"trip_id": trip_id})
    assert await late.hears("trip:eta") == people.rider.heard("trip:eta")[0]


async def test_routes_are_asked_for_once_whoever_looks(cluster: Cluster, connect: Connect) -> None:
    async with RouteServer.start() as routes:
        settings = {**cluster.settings, "OSRM_URL": routes.url}
        server = await Server.start(settings)
        driver = await connect(server.url, "driver", fresh("driver"))
        rider = await connect(cluster.first, "rider", fresh("rider"))
        agent = await connect(server.url, "agent", fresh("agent"))
        request = {"client_id": fresh("request"), "rider_id": rider.user_id, "pickup": PICKUP}
        trip_id = (await agent.ok("trip:create", request))["trip"]["id"]
        accept = {"trip_id": trip_id, "status": "accepted", "driver_id": driver.user_id}
        await agent.ok("trip:update", accept)
        await driver.hears("trip:status", where(trip_id=trip_id, status="accepted"))
        await rider.ok("trip:subscribe", {"trip_id": trip_id})
        await agent.ok("trip:subscribe", {"trip_id": trip_id})
        await driver.ok("driver:location", point(1, **NORTH))
        for watcher in (rider, agent):
            eta = await watcher.hears("trip:eta", where(trip_id=trip_id))
            assert (eta["distance_m"], eta["duration_s"]) == (1_887, 260)
        assert len(routes.asked) == 1
        for client in (driver, agent):
            await client.close()
        await server.stop()


@pytest.mark.parametrize("over_http", [False, True])
async def test_who_is_elsewhere_has_not_arrived(
    cluster: Cluster, connect: Connect, over_http: bool
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("arriving")
    await people.driver.ok("driver:location", point(1, **NORTH))
    if over_http:
        async with aiohttp.ClientSession() as session:
            caller = Caller(session, cluster.second, mint("driver", people.driver.user_id))
            path, body = f"/v1/trips/{trip_id}/status", {"status": "arrived"}
            error = (await caller.ask("POST", path, body)).error
    else:
        arrived = {"trip_id": trip_id, "status": "arrived"}
        error = await people.driver.refused("trip:update", arrived)
    assert (error["code"], error["path"], error["distance_m"]) == ("forbidden", "status", AWAY_M)
    await people.move(trip_id, "arrived")
