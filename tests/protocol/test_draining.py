"""A server that stops: its clients leave one after the other, and who is still there is served."""

import asyncio
import signal

import aiohttp
import pytest

from tests.conftest import Cluster, fresh, mint
from tests.hostile.raw import HANDSHAKE, UPGRADE, Session, request
from tests.servers import Server

CLIENTS = 150


@pytest.fixture
async def crowded(cluster: Cluster) -> tuple[Server, list[Session]]:
    settings = cluster.settings | {"DRAIN_S": "5", "CONNECTS_PER_S": "100000"}
    server = await Server.start(settings)
    opening = (Session.open(server.url, "rider", fresh("rider")) for _ in range(CLIENTS))
    return server, await asyncio.gather(*opening)


async def test_clients_leave_over_the_time_and_the_last_ones_are_served_meanwhile(
    crowded: tuple[Server, list[Session]],
) -> None:
    server, sessions = crowded
    first, last = sessions[0], sessions[-1]
    server.process.send_signal(signal.SIGTERM)
    assert (await first.ends())[0][0]["code"] == "draining"

    trip = {"client_id": "one", "pickup": {"lat": 1, "lng": 2}}
    assert (await last.ok("trip:create", trip))["trip"]["status"] == "requested"
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/readyz") as response:
        assert response.status == 503
        assert "draining" in await response.text()
    newcomer = await request(server.url, "GET", HANDSHAKE, UPGRADE)
    assert newcomer.status == 503
    assert 1 <= int(newcomer.headers["retry-after"]) <= 60

    ends = [await session.ends() for session in sessions[1:]]
    assert {(ended[0]["code"], ended[0]["retry"], code) for ended, code in ends} == {
        ("draining", True, 1000)
    }
    waits = {ended[0]["retry_in_ms"] for ended, _ in ends}
    assert len(waits) > CLIENTS / 10
    assert await server.process.wait() == 0


async def test_a_second_signal_ends_it_at_once(crowded: tuple[Server, list[Session]]) -> None:
    server, sessions = crowded
    server.process.send_signal(signal.SIGTERM)
    await sessions[0].ends()
    server.process.send_signal(signal.SIGTERM)
    assert await server.process.wait() == -signal.SIGTERM
    for session in sessions:
        session.socket.writer.close()


async def test_requests_under_way_are_answered_and_the_door_closes_after_them(
    cluster: Cluster,
) -> None:
    server = await Server.start(cluster.settings)
    answers: list[int | None] = []
    token = {"Authorization": f"Bearer {mint('service', fresh('service'))}"}

    async def ask(http: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with http.get(f"{server.url}/v1/trips?limit=1", headers=token) as response:
                    answers.append(response.status)
            except aiohttp.ClientConnectorError:
                return  # nobody listens any more

    async with aiohttp.ClientSession() as http:
        asking = [asyncio.create_task(ask(http)) for _ in range(8)]
        while len(answers) < 50:
            await asyncio.wait(asking, timeout=0.01)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*asking)
    assert await server.process.wait() == 0
    assert set(answers) == {200}
