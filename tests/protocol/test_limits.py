"""What one user or one address may take of a server: over sockets and HTTP, and behind a proxy."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import pytest

from tests.conftest import Cluster, fresh, mint, now
from tests.hostile.process import logged
from tests.hostile.raw import JSON, POLLING, Poller, Response, Session, WebSocket, request
from tests.servers import Server

BURST: Final = 10
"""At once, of what may be done once a second."""
HERE: Final = {"lat": 52.5, "lng": 13.4}
PER_ADDRESS: Final = 3
PER_USER: Final = 2
PENDING: Final = 20
MESSAGE: Final = 131_072
STRICT: Final = {
    "CONNECTIONS_PER_USER": str(PER_USER),
    "CONNECTIONS_PER_ADDRESS": str(PER_ADDRESS),
    "ATTEMPTS_PER_ADDRESS_PER_S": "1",
    "REQUESTS_PER_ADDRESS_PER_S": "1",
    "COMMANDS_PER_S": "1",
    "REPORTS_PER_S": "1",
    "SUBSCRIPTIONS_PER_CONNECTION": "1",
    "PENDING_COMMANDS": str(PENDING),
    "MAX_MESSAGE_BYTES": str(MESSAGE),
}


@pytest.fixture(scope="module")
async def strict(cluster: Cluster) -> AsyncIterator[Server]:
    server = await Server.start(cluster.settings | STRICT)
    yield server
    await server.stop()


@pytest.fixture
async def small(cluster: Cluster) -> AsyncIterator[Server]:
    server = await Server.start(
        cluster.settings | {"MAX_CONNECTIONS": "3", "FORWARDED_ALLOW_IPS": "192.0.2.0/24"}
    )
    yield server
    await server.stop()


async def knocks(server: Server, forwarded_for: str) -> Response:
    """A handshake that a proxy on the server's own machine passes on."""
    return await request(server.url, "GET", POLLING, {"X-Forwarded-For": forwarded_for})


def told(refused: Response) -> str:
    assert refused.status == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    message: str = msgspec.json.decode(refused.body)["error"]["message"]
    return message


async def test_an_address_has_so_many_connections_and_cannot_pretend_to_be_another(
    strict: Server,
) -> None:
    for _ in range(PER_ADDRESS):
        assert (await knocks(strict, "192.0.2.1")).status == 200
    for forged in ("192.0.2.1", "192.0.2.2, 192.0.2.1", "127.0.0.1,192.0.2.1"):
        assert told(await knocks(strict, forged)) == "too many connections from one address"
    assert (await knocks(strict, "192.0.2.2")).status == 200
    await logged(strict, "name it in FORWARDED_ALLOW_IPS", "remote=192.0.2.1")


async def test_an_address_may_try_so_often(strict: Server) -> None:
    answers = [await knocks(strict, "192.0.2.3") for _ in range(3 * BURST)]
    refused = [told(answer) for answer in answers if answer.status == 503]
    assert len(refused) == len(answers) - PER_ADDRESS
    assert refused[-1] == "too many attempts from one address"


async def test_a_local_proxy_that_does_not_tell_whose_request_it_is_locks_nobody_out(
    strict: Server,
) -> None:
    for _ in range(2 * BURST):
        assert (await request(strict.url, "GET", POLLING)).status == 200


async def test_who_leaves_makes_room_for_another_of_its_address(strict: Server) -> None:
    here = {"X-Forwarded-For": "192.0.2.4"}
    sockets = [await WebSocket.open(strict.url, **here) for _ in range(PER_ADDRESS)]
    assert (await knocks(strict, "192.0.2.4")).status == 503
    sockets[0].send("1")
    await sockets[0].receive()
    assert await sockets[0].rest() == ([], 1000)
    assert (await knocks(strict, "192.0.2.4")).status == 200
    for socket in sockets:
        socket.close()


async def test_logs_tell_the_address_of_the_client_and_not_the_proxys(strict: Server) -> None:
    here = {"X-Forwarded-For": "192.0.2.5"}
    socket = await WebSocket.open(strict.url, **here)
    socket.send(JSON.connect({"token": "no"}))
    await logged(strict, "connection refused", "remote=192.0.2.5")
    assert (await request(strict.url, "GET", "/v1/trips", here)).status == 401
    await logged(strict, "a request was refused", "remote=192.0.2.5")
    socket.close()


async def test_a_full_server_asks_to_come_back_whatever_address_is_claimed(small: Server) -> None:
    sockets = [await WebSocket.open(small.url) for _ in range(3)]
    assert told(await knocks(small, "192.0.2.6")) == "the server is full"
    await logged(small, "raise MAX_CONNECTIONS")
    assert (await request(small.url, "GET", "/readyz")).status == 200
    sockets[0].send("1")
    await sockets[0].receive()
    assert await sockets[0].rest() == ([], 1000)
    socket = await WebSocket.open(small.url, **{"X-Forwarded-For": "192.0.2.6"})
    socket.send(JSON.connect({"token": "no"}))
    await logged(small, "connection refused", "remote=127.0.0.1")
    for open_one in (socket, *sockets):
        open_one.close()


async def test_a_user_has_so_many_connections(strict: Server) -> None:
    rita = fresh("rita")
    token, sessions = mint("rider", rita), []
    for number in range(PER_USER):
        socket = await WebSocket.open(strict.url)
        sessions.append(Session(socket, JSON, rita))
        await socket.receive()
        socket.send(JSON.connect({"token": token, "device": f"phone-{number}"}))
        await sessions[-1].hears("session:ready")
    refused = await WebSocket.open(strict.url)
    await refused.receive()
    refused.send(JSON.connect({"token": token}))
    kind, _, error = JSON.read(await refused.receive())
    assert (kind, error["data"]["code"]) == (4, "too_many_connections")
    sessions.append(await Session.open(strict.url, "driver", rita))
    for session in sessions:
        session.close()
    refused.close()


async def test_commands_and_requests_of_a_user_count_together(strict: Server) -> None:
    rita = fresh("rita")
    rider = await Session.open(strict.url, "rider", rita)
    bearer = {"Authorization": f"Bearer {mint('rider', rita)}"}
    statuses = [
        (await request(strict.url, "GET", "/v1/trips?limit=1", bearer)).status
        for _ in range(2 * BURST)
    ]
    assert {*statuses} == {200, 429}
    assert statuses[:BURST] == [200] * BURST
    limited = await request(strict.url, "GET", "/v1/trips?limit=1", bearer)
    assert (limited.status, limited.headers["retry-after"]) == (429, "1")
    error = (await rider.call("chat:history", {"conversation_id": "c"}))["error"]
    assert (error["code"], error["retry"]) == ("rate_limited", True)
    assert 0 < error["retry_after_ms"] <= 1_000
    rider.close()


async def test_a_back_end_may_ask_as_often_as_it_likes(strict: Server) -> None:
    service = fresh("backend")
    sessions = [await Session.open(strict.url, "service", service) for _ in range(PER_USER + 1)]
    bearer = {"Authorization": f"Bearer {mint('service', service)}"}
    for _ in range(2 * BURST):
        assert (await request(strict.url, "GET", "/v1/trips?limit=1", bearer)).status == 200
        error = (await sessions[0].call("chat:history", {"conversation_id": "c"}))["error"]
        assert error["code"] == "not_found"
    for session in sessions:
        session.close()


async def test_commands_of_a_user_on_all_instances_count_together(cluster: Cluster) -> None:
    rita = fresh("rita")
    first, second = [
        await Session.open(url, "rider", rita) for url in (cluster.first, cluster.second)
    ]
    first.socket.send(*[first.codec.event(["no:such:event", {}], n) for n in range(200)])
    await first.answer(199)
    asked = 0
    while (await second.call("no:such:event", {}))["error"]["code"] != "rate_limited":
        asked += 1
        assert asked < 150, "it has not heard of what was spent on the other"
        await asyncio.sleep(0.05)
        await first.call("no:such:event", {})
    for session in (first, second):
        session.close()


async def test_an_address_sends_so_many_requests_before_any_token_is_looked_at(
    strict: Server,
) -> None:
    async def asks(address: str, role: str | None = None) -> Response:
        bearer = {} if role is None else {"Authorization": f"Bearer {mint(role, fresh(role))}"}
        here = {"X-Forwarded-For": address, **bearer}
        return await request(strict.url, "GET", "/v1/trips?limit=1", here)

    statuses = [(await asks("192.0.2.20")).status for _ in range(2 * BURST)]
    assert statuses[:BURST] == [401] * BURST
    refused = await asks("192.0.2.20", "rider")
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert msgspec.json.decode(refused.body)["error"]["code"] == "rate_limited"
    backend = [(await asks("192.0.2.21", "service")).status for _ in range(2 * BURST)]
    assert backend == [200] * 2 * BURST
    operators = {"X-Forwarded-For": "192.0.2.20"}
    assert (await request(strict.url, "GET", "/healthz", operators)).status == 200


async def test_a_connection_subscribes_to_so_many_trips(strict: Server) -> None:
    agent = await Session.open(strict.url, "agent", fresh("ann"))
    first, second = [
        (await agent.ok("trip:create", {"client_id": n, "rider_id": "rita", "pickup": HERE}))[
            "trip"
        ]["id"]
        for n in ("1", "2")
    ]
    await agent.ok("trip:subscribe", {"trip_id": first})
    error = (await agent.call("trip:subscribe", {"trip_id": second}))["error"]
    assert (error["code"], error["retry"]) == ("too_large", False)
    await agent.ok("trip:unsubscribe", {"trip_id": first})
    await agent.ok("trip:subscribe", {"trip_id": second})
    agent.close()


async def test_so_many_commands_of_a_connection_may_wait(strict: Server) -> None:
    session = await Session.open(strict.url, "service", fresh("backend"))
    asked = [["chat:history", {"conversation_id": "c"}]] * (PENDING + 3)
    session.socket.send(*(session.codec.event(each, n) for n, each in enumerate(asked)))
    codes = [(await session.answer(n))["error"]["code"] for n in range(len(asked))]
    assert codes == ["not_found"] * PENDING + ["rate_limited"] * 3
    session.close()


async def test_a_message_has_so_many_bytes(strict: Server) -> None:
    session = await Session.open(strict.url, "service", fresh("backend"))
    head, tail = '42["no:such:event","', '"]'
    fits = head + "x" * (MESSAGE - len(head + tail)) + tail
    session.socket.send(fits)
    await session.is_alive()
    session.socket.send(fits + " ")
    assert await session.ends() == ([{"code": "too_large", "retry": True}], 1009)


async def test_a_flood_of_locations_is_dropped_and_who_asks_is_told(strict: Server) -> None:
    driver = await Session.open(strict.url, "driver", fresh("dan"))
    begun = now()
    flood = [["driver:location", {**HERE, "ts": begun, "seq": seq}] for seq in range(1_000)]
    driver.socket.send(*map(driver.codec.event, flood))
    error = (await driver.call("driver:location", {**HERE, "ts": begun, "seq": 1}))["error"]
    assert (error["code"], error["retry"]) == ("rate_limited", True)
    assert 0 < error["retry_after_ms"] <= 1_000
    await driver.is_alive()
    metrics = (await request(strict.url, "GET", "/metrics")).body.decode()
    dropped = 'ridewire_points_total{outcome="rate_limited"} '
    [line] = [line for line in metrics.splitlines() if line.startswith(dropped)]
    assert 900 < float(line.removeprefix(dropped)) <= 1_001 - BURST
    driver.close()


async def test_polling_counts_like_a_websocket(strict: Server) -> None:
    poller = await Poller.authenticated(strict.url, "rider")
    packets = "\x1e".join(
        f'42{n}["chat:history",{{"conversation_id":"c"}}]' for n in range(2 * BURST)
    )
    assert (await poller.post(packets)).status == 200
    heard: list[str] = []
    while len([packet for packet in heard if packet.startswith("43")]) < 2 * BURST:
        heard += await poller.packets()
    limited = [packet for packet in heard if "rate_limited" in packet]
    assert 0 < len(limited) <= BURST
