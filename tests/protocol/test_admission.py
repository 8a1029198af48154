"""A crowd at the door: a few come in each second, the others by themselves a little later."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import socketio

from tests.clients import JsProcess
from tests.conftest import Cluster, Connect, fresh, mint
from tests.hostile.raw import HANDSHAKE, POLLING, UPGRADE, WebSocket, request
from tests.servers import Server

PER_S = 4


@pytest.fixture
async def narrow(cluster: Cluster) -> AsyncIterator[Server]:
    server = await Server.start(
        cluster.settings | {"CONNECTS_PER_S": str(PER_S), "AUTHENTICATE_WITHIN_S": "3"}
    )
    yield server
    await server.stop()


async def test_who_comes_too_many_at_once_is_told_when_to_come_back(narrow: Server) -> None:
    asked = [
        request(narrow.url, "GET", target, headers)
        for target, headers in ((HANDSHAKE, UPGRADE), (POLLING, None))
        for _ in range(4 * PER_S)
    ]
    answers = await asyncio.gather(*asked)
    refused = [answer for answer in answers if answer.status == 503]
    assert len(answers) - len(refused) <= 2 * PER_S
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    assert len({answer.headers["retry-after"] for answer in refused}) > 1
    assert (await request(narrow.url, "GET", "/readyz")).status == 200


async def test_who_shows_no_token_in_time_has_to_go(narrow: Server) -> None:
    async with asyncio.timeout(8):  # long before it would have to without the setting
        socket = await WebSocket.open(narrow.url)
        await socket.receive()
        assert await socket.rest() == ([], 1008)


async def test_stock_clients_come_in_by_themselves(
    narrow: Server, js: JsProcess, connect: Connect
) -> None:
    """The official client and python-socketio's, with nothing but their own reconnection."""

    async def python() -> str:
        client, ready = socketio.AsyncClient(), asyncio.get_running_loop().create_future()
        client.on("session:ready", ready.set_result)
        token = {"token": mint("rider", fresh("rider"))}
        await client.connect(narrow.url, auth=token, transports=["websocket"], retry=True)
        user_id: str = (await ready)["user_id"]
        await client.disconnect()
        return user_id

    async def javascript(transport: str) -> str:
        client = await connect(
            narrow.url,
            "rider",
            fresh("rider"),
            kind="js",
            transports=[transport],
            reconnection=True,
        )
        return client.user_id

    coming = [
        *(python() for _ in range(PER_S)),
        *(javascript(transport) for transport in ("websocket", "polling") for _ in range(PER_S)),
    ]
    async with asyncio.timeout(60):
        assert len(set(await asyncio.gather(*coming))) == 3 * PER_S
