"""What operators ask over HTTP: whether the process runs, may get traffic, what it counts."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp
import pytest
from msgspec import Struct
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.clients import Refused
from tests.conftest import Cluster, Connect, fresh, mint
from tests.docs.markdown import Document
from tests.hostile.process import logged
from tests.rides import PICKUP, cast, point, where
from tests.servers import Server

OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"
LOGS: Final = Document("docs/operations.md").table("Logs")
START_WITHIN_S: Final = 60
FIXED: Final = {"time", "level", "logger", "message", "traceback"}


async def _get(
    url: str, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Status, content type and body."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}{path}", headers=headers) as response,
    ):
        return response.status, response.content_type, await response.text()


class Scrape(Struct, frozen=True):
    """What /metrics answered, as Prometheus' own library reads it."""

    families: list[Metric]

    @classmethod
    async def of(cls, url: str, accept: str = "") -> "Scrape":
        status, content_type, body = await _get(url, "/metrics", {"Accept": accept})
        assert status == 200
        assert content_type == ("application/openmetrics-text" if accept else "text/plain")
        read: Callable[[str], Iterable[Metric]] = read_openmetrics if accept else read_text
        return cls(list(read(body)))

    def values(self, name: str, **labels: str) -> list[float]:
        """The values of all samples of this name that have these labels, and maybe others."""
        return [
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        return sum(self.values(name, **labels))

    def label_values(self) -> set[str]:
        return {
            value
            for family in self.families
            for sample in family.samples
            for value in sample.labels.values()
        }


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
        poller = await connect(server.url, "rider", fresh("rider"), transports=["polling"])
        await people.rider.ok("trip:create", {"client_id": "one", "pickup": PICKUP})
        await people.rider.refused("trip:create", {"client_id": "two"})
        await people.rider.refused("trip:teleport", {})
        await people.driver.ok("driver:location", [point(1), point(1), {}])
        with pytest.raises(Refused):
            await connect(server.url, "rider", fresh("rider"), token="not one")
        scrape = await Scrape.of(server.url)
        for name, value, labels in (
            ("connections", 1, {"parser": "json", "role": "driver", "transport": "websocket"}),
            ("connections", 1, {"parser": "msgpack", "role": "viewer", "transport": "websocket"}),
            ("connections", 1, {"parser": "json", "role": "rider", "transport": "polling"}),
            ("opened_connections_total", 5, {}),
            ("refused_connections_total", 1, {"code": "unauthorized"}),
            ("authentication_failures_total", 1, {"reason": "malformed"}),
            ("commands_total", 1, {"event": "trip:create", "outcome": "ok"}),
            ("commands_total", 1, {"event": "trip:create", "outcome": "invalid"}),
            ("commands_total", 1, {"event": "unknown", "outcome": "unknown_event"}),
            ("commands_total", 1, {"event": "driver:location", "outcome": "ok"}),
            ("command_duration_seconds_count", 2, {"event": "trip:create"}),
            ("points_total", 1, {"outcome": "accepted"}),
            ("points_total", 1, {"outcome": "duplicate"}),
            ("points_total", 1, {"outcome": "invalid"}),
            ("sent_events_total", 5, {"event": "session:ready"}),
            ("bus_alive", 1, {}),
            ("http_requests_total", 0, {"route": "metrics"}),
        ):
            assert scrape.total(f"ridewire_{name}", **labels) == value, (name, labels)
        for histogram in ("bus_round_trip_seconds", "mongodb_operation_duration_seconds"):
            assert scrape.total(f"ridewire_{histogram}_count") > 0
        people_and_machines = (people.rider, people.driver, people.dispatcher, viewer, poller)
        known = scrape.label_values()
        assert known.isdisjoint({client.user_id for client in people_and_machines})
        assert "trip:teleport" not in known
    finally:
        await server.stop()


async def test_a_way_over_several_processes_is_measured_to_its_end(
    cluster: Cluster, connect: Connect
) -> None:
    """A location from one client to two: one on the same instance, one on another."""
    before = [await Scrape.of(url) for url in (cluster.first, cluster.second)]
    people = await cast(cluster, connect)
    near = await connect(cluster.second, "agent", fresh("agent"))
    trip_id = await people.trip("accepted")
    for client in (people.rider, near):
        await client.ok("trip:subscribe", {"trip_id": trip_id})
    await people.driver.emit("driver:location", point(7))
    for client in (people.rider, near):
        await client.hears("trip:location", where(trip_id=trip_id, seq=7))
    after = [await Scrape.of(url) for url in (cluster.first, cluster.second)]

    def grew(instance: int, name: str, **labels: str) -> float:
        then, now = before[instance], after[instance]
        return now.total(f"ridewire_{name}", **labels) - then.total(f"ridewire_{name}", **labels)

    assert grew(0, "relay_duration_seconds_count", origin="bus") == 1
    assert grew(1, "relay_duration_seconds_count", origin="local") == 1
    assert grew(1, "published_events_total", event="trip:location") == 1
    for instance in (0, 1):
        assert grew(instance, "sent_events_total", event="trip:location") == 1


async def test_requests_are_counted_by_the_names_of_their_routes(cluster: Cluster) -> None:
    server = await Server.start(cluster.settings)
    try:
        service = {"Authorization": f"Bearer {mint('service', fresh('backend'))}"}
        assert (await _get(server.url, "/v1/trips", service))[0] == 200
        assert (await _get(server.url, f"/v1/trips/{fresh('trip')}", service))[0] == 404
        assert (await _get(server.url, "/v1/trips"))[0] == 401
        assert (await _get(server.url, f"/{fresh('path')}"))[0] == 404
        scrape = await Scrape.of(server.url)
        for route, status, count in (
            ("list_trips", "200", 1),
            ("list_trips", "401", 1),
            ("get_trip", "404", 1),
            ("unknown", "404", 1),
        ):
            labels = {"route": route, "status": status, "method": "GET"}
            assert scrape.total("ridewire_http_requests_total", **labels) == count, labels
        seconds = "ridewire_http_request_duration_seconds_count"
        assert scrape.total(seconds, route="list_trips") == 2
        assert scrape.total("ridewire_authentication_failures_total", reason="missing") == 1
    finally:
        await server.stop()


async def test_lines_of_connections_requests_and_failures_have_the_fields_that_are_described(
    cluster: Cluster, connect: Connect
) -> None:
    server = await Server.start({**cluster.settings, "LOG_FORMAT": "json"})
    try:
        rider = await connect(server.url, "rider", fresh("rider"), client="test/1")
        await rider.close()
        with pytest.raises(Refused):
            await connect(server.url, "rider", fresh("rider"), token="not one")
        await _get(server.url, f"/v1/trips/{fresh('trip')}", {"X-Request-Id": "mine"})
        await logged(server, "connection closed")
    finally:
        await server.stop()
    lines = {line["message"]: line for line in _json_lines(server)}
    described = {row["Line"]: row["Fields"] for row in LOGS}
    opened = set(described["connection opened"].split(", "))
    for message, fields in (
        ("connection opened", opened),
        ("connection closed", opened | {"reason"}),
        ("connection refused", set(described["connection refused"].split(", "))),
        ("a request was refused", set(described["a request was refused"].split(", "))),
    ):
        assert set(lines[message]) - FIXED == fields, message
    assert lines["connection opened"]["user"] == rider.user_id
    assert lines["connection opened"]["client"] == "test/1"
    assert lines["connection closed"]["connection"] == lines["connection opened"]["connection"]
    assert lines["a request was refused"]["request"] == "mine"
    assert "eyJ" not in "".join(server.output)


def _json_lines(server: Server) -> list[dict[str, Any]]:
    """What it logged, without what it says to people."""
    return [json.loads(line) for line in server.output if line.startswith("{")]


class TestWorkers:
    async def test_any_worker_answers_for_all_and_for_one_that_was_started_again(
        self, cluster: Cluster, connect: Connect
    ) -> None:
        server = await Server.start({**cluster.settings, "WORKERS": "2"})
        try:
            for _ in range(8):
                await connect(server.url, "rider", fresh("rider"))
            for accept in ("", OPENMETRICS):
                scrape = await Scrape.of(server.url, accept)
                assert scrape.total("ridewire_opened_connections_total") == 8
                assert scrape.total("ridewire_connections", role="rider") == 8
                assert scrape.values("ridewire_worker_up") == [1, 1]
                assert len(scrape.values("ridewire_bus_alive", worker="2")) == 1
            before = _by_worker(scrape)
            os.kill((await _workers(server))[0], signal.SIGKILL)
            after = _by_worker(await _whole_again(server))
            assert after in ({"1": 0, "2": before["2"]}, {"1": before["1"], "2": 0})
        finally:
            await server.stop()


def _by_worker(scrape: Scrape) -> dict[str, float]:
    name = "ridewire_opened_connections_total"
    return {number: scrape.total(name, worker=number) for number in ("1", "2")}


async def _workers(server: Server) -> list[int]:
    """Their process ids."""
    asked = await asyncio.create_subprocess_exec(
        *("pgrep", "-P", str(server.process.pid), "-f", "spawn_main"),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asked.communicate()
    return [int(line) for line in told.split()]


async def _whole_again(server: Server) -> Scrape:
    """What /metrics answers once all workers are there."""
    async with asyncio.timeout(START_WITHIN_S):
        while True:
            # A connection may still reach the socket of the process that was killed.
            with suppress(aiohttp.ClientError):
                scrape = await Scrape.of(server.url)
                if scrape.values("ridewire_worker_up") == [1, 1]:
                    return scrape
            await asyncio.sleep(0.1)
