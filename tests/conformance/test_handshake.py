"""How a session begins and what is refused, by Engine.IO alone and by Socket.IO."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web

from examples.echo import add_socketio
from realtime.engine import Limits
from realtime.gateway import Gateway
from tests.apps import served
from tests.conformance.conftest import Mount, Mounted
from tests.conformance.sessions import (
    ENGINEIO,
    SOCKETIO,
    OverPolling,
    OverWebSocket,
    Session,
    polling,
    websocket,
)
from tests.hostile.raw import UPGRADE, WebSocket, request

PATHS: Final = (ENGINEIO, SOCKETIO)
CONFIGURED: Final = Limits(ping_interval_s=12.345, ping_timeout_s=6.789, max_payload=54_321)


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def told(upgrades: list[str]) -> dict[str, Any]:
    """What `CONFIGURED` is to a client, in milliseconds and bytes."""
    return {
        "upgrades": upgrades,
        "pingInterval": 12_345,
        "pingTimeout": 6_789,
        "maxPayload": 54_321,
    }


async def test_a_polling_client_is_told_what_is_configured(mount: Mount, path: str) -> None:
    server = await mount(CONFIGURED)
    response = await request(server.url, "GET", polling(path))
    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.body[:1] == b"0"
    opening = msgspec.json.decode(response.body[1:])
    assert isinstance(opening.pop("sid"), str)
    assert opening == told(["websocket"])


async def test_a_websocket_client_is_told_the_same_and_that_there_is_no_better_transport(
    mount: Mount, path: str
) -> None:
    server = await mount(CONFIGURED)
    session = await OverWebSocket.open(server.url, path)
    assert session.opening == {"sid": session.sid, **told([])}
    session.close()


async def test_times_below_a_second_are_told_as_they_are(mount: Mount, path: str) -> None:
    server = await mount(Limits(ping_interval_s=0.3, ping_timeout_s=0.2))
    opening = (await OverPolling.open(server.url, path)).opening
    assert (opening["pingInterval"], opening["pingTimeout"]) == (300, 200)


async def test_every_session_has_an_id_of_its_own(
    server: Mounted, path: str, transport: type[Session]
) -> None:
    sessions = [await transport.open(server.url, path) for _ in range(50)]
    assert len({session.sid for session in sessions}) == 50
    for session in sessions:
        session.close()


NO_HANDSHAKE: Final = {
    "no version": "transport=polling",
    "a version that is no number": "EIO=abc&transport=polling",
    "no version at all": "EIO=&transport=polling",
    "an older version": "EIO=3&transport=polling",
    "a newer version": "EIO=5&transport=polling",
    "no transport": "EIO=4",
    "an empty transport": "EIO=4&transport=",
    "an unknown transport": "EIO=4&transport=abc",
    "a WebSocket that is none": "EIO=4&transport=websocket",
    "an unknown session": "EIO=4&transport=polling&sid=unknown",
    "nothing": "",
}


@pytest.mark.parametrize("query", NO_HANDSHAKE.values(), ids=NO_HANDSHAKE)
async def test_what_is_no_handshake_is_a_bad_request(
    server: Mounted, path: str, query: str
) -> None:
    assert (await request(server.url, "GET", f"{path}?{query}")).status == 400


@pytest.mark.parametrize(
    "query",
    [
        "transport=websocket",
        "EIO=abc&transport=websocket",
        "EIO=3&transport=websocket",
        "EIO=4",
        "EIO=4&transport=abc",
        "EIO=4&transport=websocket&sid=unknown",
    ],
)
async def test_what_is_no_handshake_opens_no_websocket(
    server: Mounted, path: str, query: str
) -> None:
    assert (await request(server.url, "GET", f"{path}?{query}", UPGRADE)).status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
async def test_a_session_is_opened_by_get_only(server: Mounted, path: str, method: str) -> None:
    assert (await request(server.url, method, polling(path))).status == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
async def test_a_wrong_method_is_refused_and_harms_no_session(server: Mounted, method: str) -> None:
    session = await OverPolling.open(server.url, ENGINEIO)
    assert (await request(server.url, method, session.target)).status == 400
    await session.is_alive()


@pytest.mark.parametrize("target", [websocket(ENGINEIO), f"{ENGINEIO}?EIO=4", "abc"])
async def test_a_post_is_for_who_polls(server: Mounted, target: str) -> None:
    session = await OverPolling.open(server.url, ENGINEIO)
    wrong = f"{ENGINEIO}?EIO=4&transport=abc" if target == "abc" else target
    assert (
        await request(server.url, "POST", f"{wrong}&sid={session.sid}", {}, b"4x")
    ).status == 400
    await session.is_alive()


async def test_a_page_of_another_origin_is_told_that_it_may(server: Mounted, path: str) -> None:
    origin = {"Origin": "https://pages.example"}
    for method in ("GET", "OPTIONS"):
        response = await request(server.url, method, polling(path), origin)
        assert response.status == 200
        assert response.headers["access-control-allow-origin"] == "https://pages.example"


async def test_compression_is_not_agreed_to(server: Mounted, path: str) -> None:
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    raw = await WebSocket.open(server.url, websocket(path), **offer)
    opening = str(await raw.receive())
    assert opening.startswith("0{")
    raw.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[web.Application], Awaitable[str]]]:
    """Starts an application; its URL."""
    async with AsyncExitStack() as running:

        async def serve(app: web.Application) -> str:
            return await running.enter_async_context(served(app))

        yield serve


Serve = Callable[[web.Application], Awaitable[str]]


async def test_the_gateway_serves_where_it_is_mounted(serve: Serve) -> None:
    """On two paths of one application, even."""
    app = web.Application()
    gateway = add_socketio(app, CONFIGURED)
    gateway.attach(app, "/deeper/down/")
    url = await serve(app)
    for path in (SOCKETIO, "/deeper/down/"):
        session = await OverPolling.open(url, path)
        await session.send("40")
        assert str(await session.receive()).startswith("40{")


@pytest.mark.parametrize("only", ["polling", "websocket"])
async def test_a_transport_that_is_not_offered_is_unknown(serve: Serve, only: str) -> None:
    app = web.Application()
    Gateway(transports=[only]).attach(app)
    url = await serve(app)
    if only == "polling":
        assert (await OverPolling.open(url, SOCKETIO)).opening["upgrades"] == []
        refused = await request(url, "GET", websocket(SOCKETIO), UPGRADE)
    else:
        (await OverWebSocket.open(url, SOCKETIO)).close()
        refused = await request(url, "GET", polling(SOCKETIO))
    assert refused.status == 400
