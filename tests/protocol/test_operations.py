"""What operators ask over HTTP: whether the process runs, may get traffic, what it counts."""

import re

import aiohttp

from tests.conftest import Cluster, Connect, fresh
from tests.rides import PICKUP, cast, point
from tests.servers import Server


async def _get(url: str, path: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}{path}") as response:
        return response.status, response.content_type, await response.text()


async def test_a_server_that_runs_is_healthy_and_ready(cluster: Cluster) -> None:
    for url in (cluster.first, cluster.second):
        for path in ("/healthz", "/readyz"):
            status, content_type, _ = await _get(url, path)
            assert (status, content_type) == (200, "application/json")


async def test_a_server_without_redis_is_healthy_but_not_ready_and_says_why(
    cluster: Cluster,
) -> None:
    nowhere = {"REDIS_URL": "redis://127.0.0.1:1"}
    server = await Server.start(cluster.settings | nowhere)
    try:
        assert (await _get(server.url, "/healthz"))[0] == 200
        status, content_type, body = await _get(server.url, "/readyz")
        assert (status, content_type) == (503, "application/json")
        assert "redis" in body
        assert "mongodb" not in body
    finally:
        await server.stop()


async def test_the_metrics_count_connections_commands_and_points(
    cluster: Cluster, connect: Connect
) -> None:
    server = await Server.start(cluster.settings)
    try:
        people = await cast(Cluster(server.url, server.url, cluster.stores), connect, kind="js")
        viewer = await connect(
            server.url, "viewer", fresh("viewer"), parser="msgpack", trips=[fresh("trip")]
        )
        await people.rider.ok("trip:create", {"client_id": "one", "pickup": PICKUP})
        await people.rider.refused("trip:create", {"client_id": "two"})
        await people.rider.refused("trip:teleport", {})
        await people.driver.ok("driver:location", [point(1), point(1), {}])
        status, content_type, body = await _get(server.url, "/metrics")
        assert (status, content_type) == (200, "text/plain")
        for line in (
            'ridewire_connections{parser="json",role="rider"} 1.0',
            'ridewire_connections{parser="msgpack",role="viewer"} 1.0',
            'ridewire_commands_total{event="trip:create",outcome="ok"} 1.0',
            'ridewire_commands_total{event="trip:create",outcome="invalid"} 1.0',
            'ridewire_commands_total{event="unknown",outcome="unknown_event"} 1.0',
            'ridewire_points_total{outcome="accepted"} 1.0',
            'ridewire_points_total{outcome="duplicate"} 1.0',
            'ridewire_points_total{outcome="invalid"} 1.0',
            "ridewire_bus_alive 1.0",
        ):
            assert line in body.replace('role="rider",parser="json"', 'parser="json",role="rider"')
        for client in (people.rider, people.driver, people.dispatcher, viewer):
            assert client.user_id not in body
        assert re.search(r"^# HELP ridewire_\w+ \S", body, re.MULTILINE)
    finally:
        await server.stop()
