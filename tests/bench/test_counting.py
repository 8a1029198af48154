"""What counting costs is measured on a server's instruments, as a location touches them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bench import counting
from bench.servers import UNBOUNDED
from realtime.embedded import EmbeddedStores
from tests.clients import Client
from tests.conftest import Connect, fresh, now
from tests.servers import Server

LOCATIONS = 300


@pytest.fixture
async def server(stores: EmbeddedStores) -> AsyncIterator[Server]:
    settings = {"REDIS_URL": str(stores.redis_url), "MONGODB_URL": str(stores.mongodb_url)}
    started = await Server.start(settings | UNBOUNDED)
    yield started
    await started.stop()


async def driver_and_rider(connect: Connect, url: str) -> tuple[Client, Client]:
    """Of one trip, at which the rider looks."""
    rider_id, driver_id = fresh("rider"), fresh("driver")
    rider, driver = (
        await connect(url, "rider", rider_id),
        await connect(url, "driver", driver_id),
    )
    agent = await connect(url, "agent", fresh("agent"))
    draft = {"client_id": fresh("trip"), "pickup": {"lat": 52.5, "lng": 13.4}}
    created = await agent.ok("trip:create", {**draft, "rider_id": rider_id, "driver_id": driver_id})
    trip_id = created["trip"]["id"]
    await driver.ok("trip:update", {"trip_id": trip_id, "status": "accepted"})
    await rider.ok("trip:subscribe", {"trip_id": trip_id})
    return driver, rider


def is_number(seq: int) -> Callable[[Any], bool]:
    return lambda heard: heard["seq"] == seq


def counts(exposition: str) -> defaultdict[str, float]:
    """How often everything has happened, by its name and labels."""
    return defaultdict(
        float,
        {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in text_string_to_metric_families(exposition)
            for sample in family.samples
            if sample.name.endswith(("_total", "_count"))
        },
    )


def grown(before: defaultdict[str, float], after: defaultdict[str, float]) -> dict[str, float]:
    """What has happened at least once for each location."""
    growth = {name: after[name] - before[name] for name in after}
    return {name: by for name, by in growth.items() if by >= LOCATIONS}


async def test_what_is_counted_is_what_a_server_counts_of_a_location(
    server: Server, connect: Connect
) -> None:
    driver, rider = await driver_and_rider(connect, server.url)
    async with httpx.AsyncClient(base_url=server.url) as http:
        before = counts((await http.get("/metrics")).text)
        for seq in range(LOCATIONS):
            point = {"lat": 52.5, "lng": 13.4, "ts": now(), "seq": seq}
            await driver.emit("driver:location", {**point, "ts": point["ts"] + seq})
            await rider.hears("trip:location", is_number(seq))
        after = counts((await http.get("/metrics")).text)
    of_server = grown(before, after)
    published = [name for name in of_server if "bus_messages" in name and "published" in name]
    later = [name for name in of_server if "track_points" in name]
    """Counted by the hundred, when they are put where tracks are made of them."""

    instruments = counting.Instruments()
    before = counts(generate_latest(instruments.metrics.registry).decode())
    instruments.count(turns=LOCATIONS, locations=1)
    after = counts(generate_latest(instruments.metrics.registry).decode())
    assert instruments.bus.published == LOCATIONS
    assert of_server.keys() == {*grown(before, after), *published, *later}


async def test_it_is_measured_on_the_servers_core() -> None:
    found = await counting.counting(20_000)
    assert len(found.alone) == len(found.together) == counting.ROUNDS
    assert min(found.together) > 0
