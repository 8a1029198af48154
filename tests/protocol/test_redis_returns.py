"""Redis loses what it carries between instances: everybody has everything soon after its return."""

import redis.asyncio

from tests.conftest import Cluster, Connect, fresh


async def test_what_was_lost_between_instances_is_read_again(
    cluster: Cluster, connect: Connect
) -> None:
    rider_id, driver_id = fresh("rider"), fresh("driver")
    rider = await connect(cluster.first, "rider", rider_id)
    driver = await connect(cluster.second, "driver", driver_id)
    staff = await connect(cluster.second, "service", fresh("staff"))
    request = {"client_id": "one", "rider_id": rider_id, "pickup": {"lat": 1, "lng": 2}}
    trip_id = (await staff.ok("trip:create", request))["trip"]["id"]
    accepted = {"trip_id": trip_id, "status": "accepted", "driver_id": driver_id}
    await staff.ok("trip:update", accepted)
    await rider.hears("trip:status", lambda s: s["status"] == "accepted")
    await driver.hears("trip:status", lambda s: s["status"] == "accepted")
    client = redis.asyncio.Redis.from_url(str(cluster.stores.redis_url))
    async with client:
        for number in range(5):
            await client.client_kill_filter(_type="pubsub")
            message = {"conversation_id": trip_id, "client_id": str(number), "text": "there?"}
            await driver.ok("chat:send", message)
        await client.client_kill_filter(_type="pubsub")
        await driver.ok("trip:update", {"trip_id": trip_id, "status": "arriving"})
    await rider.hears("chat:message", lambda m: m["seq"] == 5)
    await rider.hears("trip:status", lambda s: s["status"] == "arriving")
    assert [message["seq"] for message in rider.heard("chat:message")] == [1, 2, 3, 4, 5]
