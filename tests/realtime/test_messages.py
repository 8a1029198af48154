"""Engine.IO alone: a function that takes messages, text or bytes, and what it is spared."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from aiohttp import web

from realtime.engine import Limits, Socket
from realtime.messages import Message, Messages, send
from tests.apps import served
from tests.conformance.sessions import ENGINEIO, TRANSPORTS, OverPolling, OverWebSocket, Session
from tests.hostile.process import until
from tests.hostile.raw import TEXT, frame

HASTY: Final = Limits(max_payload=1_000, connect_within_s=1)
INVALID_TEXT: Final = 1007


class Witnessed(Messages):
    """Notes everything, and sends back what it takes."""

    def __init__(self) -> None:
        super().__init__(self._note, HASTY)
        self.taken: list[Message] = []
        self.left: list[tuple[str, str]] = []
        self.url = ""

    def gone(self, socket: Socket, reason: str) -> None:
        self.left.append((socket.sid, reason))

    def _note(self, socket: Socket, message: Message) -> None:
        if message == "fail":
            raise ValueError("broken")
        self.taken.append(message)
        send(socket, message)


@pytest.fixture
async def server() -> AsyncIterator[Witnessed]:
    server, app = Witnessed(), web.Application()
    server.attach(app)
    async with served(app) as server.url:
        yield server


@pytest.fixture(params=TRANSPORTS, ids=lambda transport: transport.__name__)
async def session(server: Witnessed, request: pytest.FixtureRequest) -> AsyncIterator[Session]:
    session: Session = await request.param.open(server.url, ENGINEIO)
    yield session
    session.close()


async def test_text_is_text_and_bytes_are_bytes(server: Witnessed, session: Session) -> None:
    await session.send("4Grüße 👋", b"\0\xff", "4", b"")
    assert [await session.receive() for _ in range(4)] == ["4Grüße 👋", b"\0\xff", "4", b""]
    assert server.taken == ["Grüße 👋", b"\0\xff", "", b""]


async def test_everybody_is_let_in(server: Witnessed, session: Session) -> None:
    [socket] = server.engine.sockets.values()
    assert socket.expected_by is None
    await session.is_alive()


async def test_the_end_is_told_once_and_with_its_reason(
    server: Witnessed, session: Session
) -> None:
    await session.send("1")
    await session.ends()
    await until(lambda: server.left == [(session.sid, "client disconnect")])


async def test_text_that_is_not_utf8_is_not_handed_over(server: Witnessed) -> None:
    websocket = await OverWebSocket.open(server.url, ENGINEIO)
    websocket.raw.write(frame(TEXT, b"4\xff"))
    await websocket.ends_with(INVALID_TEXT)
    polling = await OverPolling.open(server.url, ENGINEIO)
    await polling.post(b"4\xff")
    await polling.is_over()
    assert server.taken == []
    assert [reason for _, reason in server.left] == ["server disconnect"] * 2


async def test_a_function_that_fails_is_logged_and_the_session_goes_on(
    server: Witnessed, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    await session.send("4fail")
    await session.is_alive()
    assert "broken" in caplog.text


async def test_messages_that_are_too_large_are_not_handed_over(
    server: Witnessed, session: Session
) -> None:
    body = "4" + "x" * HASTY.max_payload
    if isinstance(session, OverPolling):
        assert (await session.post(body.encode())).status == 400
    else:
        await session.send(body)
        assert await session.ends() == []
    assert server.taken == []


async def test_what_is_sent_to_who_has_left_is_dropped(server: Witnessed, session: Session) -> None:
    [socket] = server.engine.sockets.values()
    await session.send("1")
    await until(lambda: len(server.left) == 1)
    send(socket, "too late")
    send(socket, b"too late")
    assert await session.ends() == []


async def test_a_client_that_reads_nothing_is_cut_off(server: Witnessed) -> None:
    websocket = await OverWebSocket.open(server.url, ENGINEIO)
    [socket] = server.engine.sockets.values()
    for _ in range(200):
        send(socket, bytes(100_000))
    await until(lambda: server.left == [(websocket.sid, "server disconnect")])
    websocket.close()
