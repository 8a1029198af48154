"""What Ridewire is measured beside does its work: a location and a message arrive, as they should.

Each peer is started as the benchmark starts it, and asked by the clients of all the other tests.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest
from msgspec import structs

from bench.plan import Contestant
from bench.servers import NODE_PEER, Stores, contestant
from bench.shapes import Target
from realtime.embedded import EmbeddedStores
from tests.clients import Client, PythonClient, Refused
from tests.conftest import now

TRIP = "trip-1"

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or not {0, 1} <= os.sched_getaffinity(0),
    reason="the benchmark pins processes to two cores, which this machine cannot",
)

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_PEER / "node_modules").exists(),
    reason="npm ci in bench/peers/node was not run; `make bench` does it",
)
node = pytest.param(Contestant.NODE, marks=needs_node)
rivals = pytest.mark.parametrize("name", [Contestant.STOCK, node])
all_of_them = pytest.mark.parametrize("name", [Contestant.STOCK, Contestant.PICOWS, node])


Running = Callable[[Contestant], Awaitable[Target]]


@pytest.fixture(scope="module")
async def running(stores: EmbeddedStores) -> AsyncIterator[Running]:
    """Starts two instances of a contestant when the first test asks for it."""
    shared = Stores(str(stores.redis_url), str(stores.mongodb_url))
    started: dict[Contestant, Target] = {}
    async with AsyncExitStack() as stack:

        async def target(name: Contestant) -> Target:
            if name not in started:
                started[name] = await stack.enter_async_context(contestant(name, shared, 2))
            return started[name]

        yield target


def token(secret: str, role: str, user_id: str, **claims: Any) -> str:
    claims = {"exp": now() // 1000 + 600, "trips": [TRIP], **claims}
    return jwt.encode({"sub": user_id, "role": role, **claims}, secret, "HS256")


async def connected(url: str, token: str) -> Client:
    client = await PythonClient.connect(
        url, {"token": token}, parser="json", transports=["websocket"], headers={}
    )
    await client.hears("session:ready")
    return client


@asynccontextmanager
async def driver_and_rider(target: Target) -> AsyncIterator[tuple[Client, Client]]:
    """Of one trip: the driver on the first instance, the rider on the last."""
    driver = await connected(target.urls[0], token(target.secret, "driver", "dan"))
    rider = await connected(target.urls[-1], token(target.secret, "rider", "rita"))
    yield driver, rider
    await driver.close()
    await rider.close()


def point(seq: int, **fields: Any) -> dict[str, Any]:
    return {"lat": 52.5, "lng": 13.4, "ts": now() + seq, "seq": seq, "speed": 9.5, **fields}


@all_of_them
async def test_a_location_reaches_who_subscribed_the_trip(
    name: Contestant, running: Running
) -> None:
    target = await running(name)
    first = structs.replace(target, urls=target.urls[:1])
    async with driver_and_rider(first) as (driver, rider):
        await rider.ok("trip:subscribe", {"trip_id": TRIP})
        sent = point(1)
        await driver.emit("driver:location", sent)
        assert await rider.hears("trip:location") == {"trip_id": TRIP, **sent}


@all_of_them
async def test_a_location_crosses_from_instance_to_instance(
    name: Contestant, running: Running
) -> None:
    async with driver_and_rider(await running(name)) as (driver, rider):
        await rider.ok("trip:subscribe", {"trip_id": TRIP})
        for seq in (1, 2):
            await driver.emit("driver:location", point(seq))
        await rider.hears("trip:location", lambda heard: heard["seq"] == 2)
        assert [heard["seq"] for heard in rider.heard("trip:location")] == [1, 2]


@all_of_them
async def test_many_subscribe_a_trip_at_once(name: Contestant, running: Running) -> None:
    target = await running(name)
    riders = [
        await connected(target.urls[-1], token(target.secret, "rider", f"rider-{number}"))
        for number in range(3)
    ]
    await asyncio.gather(*(rider.ok("trip:subscribe", {"trip_id": TRIP}) for rider in riders))
    async with driver_and_rider(target) as (driver, _):
        await driver.emit("driver:location", point(1))
        for rider in riders:
            assert (await rider.hears("trip:location"))["seq"] == 1
    for rider in riders:
        await rider.close()


@rivals
async def test_bad_points_are_dropped(name: Contestant, running: Running) -> None:
    async with driver_and_rider(await running(name)) as (driver, rider):
        await rider.ok("trip:subscribe", {"trip_id": TRIP})
        bad = [point(1, lat=90.1), point(2, ts=now() + 60_000), point(3, heading=360), "nowhere"]
        for sent in [*bad, point(8), point(9, ts=now() - 60_000), point(10)]:
            await driver.emit("driver:location", sent)
        await rider.hears("trip:location", lambda heard: heard["seq"] == 10)
        assert [heard["seq"] for heard in rider.heard("trip:location")] == [8, 10]


@rivals
async def test_a_message_is_stored_once_and_told_to_the_other_party(
    name: Contestant, running: Running
) -> None:
    draft = {"conversation_id": TRIP, "client_id": "c1", "text": "I am at the corner"}
    async with driver_and_rider(await running(name)) as (driver, rider):
        answer = await rider.ok("chat:send", draft)
        assert await rider.ok("chat:send", draft) == answer
        assert await driver.hears("chat:message") == answer["message"]
        await driver.ok("chat:send", {**draft, "client_id": "c2"})
        await rider.hears("chat:message")
        assert [heard["client_id"] for heard in rider.heard("chat:message")] == ["c2"]
        assert [heard["client_id"] for heard in driver.heard("chat:message")] == ["c1"]


@rivals
async def test_nobody_gets_into_a_trip_that_their_token_does_not_name(
    name: Contestant, running: Running
) -> None:
    elsewhere = {"conversation_id": "trip-2", "client_id": "c1", "text": "let me in"}
    async with driver_and_rider(await running(name)) as (_driver, rider):
        refused = await rider.refused("trip:subscribe", {"trip_id": "trip-2"})
        assert refused["code"] == "not_found"
        assert (await rider.refused("chat:send", elsewhere))["code"] == "not_found"


@rivals
async def test_tokens_that_are_not_to_be_believed_are_refused(
    name: Contestant, running: Running
) -> None:
    target = await running(name)
    for bad, code in [
        ("no token", "unauthorized"),
        (token("x" * 48, "rider", "rita"), "unauthorized"),
        (token(target.secret, "king", "rita"), "unauthorized"),
        (token(target.secret, "rider", "rita", exp=1), "token_expired"),
    ]:
        with pytest.raises(Refused) as refusal:
            await connected(target.urls[0], bad)
        assert refusal.value.code == code


Call = Callable[..., Awaitable[httpx.Response]]


@asynccontextmanager
async def backend(running: Running, **claims: Any) -> AsyncIterator[Call]:
    """Requests to the Node peer, with the token of a service."""
    target = await running(Contestant.NODE)
    bearer = token(target.secret, claims.pop("role", "service"), "backend", **claims)
    headers = {"Authorization": f"Bearer {bearer}"}
    async with httpx.AsyncClient(base_url=target.urls[0], headers=headers) as http:
        yield http.request


DRAFT = {"client_id": "c1", "rider_id": "rita", "pickup": {"lat": 52.5, "lng": 13.4}}


@needs_node
async def test_a_trip_is_created_once_and_read_over_http(running: Running) -> None:
    async with backend(running) as call:
        created = await call("POST", "/v1/trips", json=DRAFT)
        again = await call("POST", "/v1/trips", json=DRAFT)
        trip = created.json()
        read = await call("GET", f"/v1/trips/{trip['id']}")
    assert (created.status_code, again.status_code, read.status_code) == (201, 201, 200)
    assert trip == again.json() == read.json()
    assert (trip["rider_id"], trip["status"], trip["version"]) == ("rita", "requested", 1)
    assert trip["events"][0]["by"] == "backend"
    assert "creator" not in trip
    assert read.headers["ETag"] == '"1"'


@needs_node
async def test_bad_requests_are_refused(running: Running) -> None:
    async with backend(running) as call:
        bad: list[Any] = [
            {**DRAFT, "rider_id": ""},
            {**DRAFT, "pickup": {"lat": 91, "lng": 0}},
            [],
            None,
        ]
        answers = [await call("POST", "/v1/trips", json=draft) for draft in bad]
        assert [answer.status_code for answer in answers] == [400] * len(bad)
        assert (await call("GET", "/v1/trips/none")).json()["error"]["code"] == "not_found"
        unknown = await call("GET", "/v1/trips/none", headers={"Authorization": "Bearer x"})
        assert unknown.status_code == 401


@needs_node
@pytest.mark.parametrize(("claims", "status"), [({"role": "rider"}, 403), ({"exp": 1}, 401)])
async def test_trips_are_a_services_over_http(
    claims: dict[str, Any], status: int, running: Running
) -> None:
    async with backend(running, **claims) as call:
        assert (await call("POST", "/v1/trips", json=DRAFT)).status_code == status
