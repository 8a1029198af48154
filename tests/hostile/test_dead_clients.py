"""Clients that fall silent: an engine of our own, whose time is what the test says it is."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from aiohttp import web
from msgspec import Struct

from models.identity import Identity, Role
from realtime import engine, websocket, wire
from realtime.buckets import Bucket, Rate
from realtime.connection import Connection
from realtime.engine import FETCH_WITHIN_S, Engine, Limits, Socket
from tests.apps import served
from tests.clients import WAIT_S
from tests.hostile.process import until
from tests.hostile.raw import HANDSHAKE, Http, WebSocket, request

POLLING = "/socket.io/?EIO=4&transport=polling"
CONNECT_WITHIN_S, PING_INTERVAL_S, PING_TIMEOUT_S = 10, 25, 20


class Witness:
    """A receiver that notes what becomes of the sockets."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.ended: list[str] = []
        self.reasons: list[str] = []

    def message(self, socket: Socket, data: bytes, binary: bool) -> None:
        self.said.append(data)

    def gone(self, socket: Socket, reason: str) -> None:
        self.ended.append(socket.sid)
        self.reasons.append(reason)

    def unreadable(self, socket: Socket) -> None:
        """Everybody is readable here."""

    def too_large(self, socket: Socket) -> None:
        """Nobody sends much here."""

    def fell_behind(self, socket: Socket) -> None:
        """Nobody does here."""

    def drained(self, socket: Socket) -> None:
        """Nobody was behind."""


class Clockwork(Struct, frozen=True):
    """An engine whose sockets are looked after when the test does it: its own time is too short."""

    url: str
    engine: Engine
    witness: Witness

    def socket(self, sid: str) -> Socket:
        return self.engine.sockets[sid]

    async def hears(self, message: bytes) -> None:
        await until(lambda: message in self.witness.said)

    async def ended(self, sid: str, reason: str) -> None:
        await until(lambda: bool(self.witness.ended))
        assert (self.witness.ended, self.witness.reasons) == ([sid], [reason])

    def let_in(self, sid: str) -> Socket:
        socket = self.socket(sid)
        socket.expected_by = None
        return socket


@pytest.fixture
async def clockwork() -> AsyncIterator[Clockwork]:
    witness = Witness()
    limits = Limits(
        ping_interval_s=PING_INTERVAL_S,
        ping_timeout_s=PING_TIMEOUT_S,
        connect_within_s=CONNECT_WITHIN_S,
    )
    engine = Engine(witness, limits)
    app = web.Application()
    engine.attach(app, "socket.io")
    async with served(app) as url:
        yield Clockwork(url, engine, witness)


def later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def on_websocket(clockwork: Clockwork) -> tuple[WebSocket, str]:
    client = await WebSocket.open(clockwork.url)
    opened = str(await client.receive())
    sid: str = msgspec.json.decode(opened[1:])["sid"]
    return client, sid


async def on_polling(clockwork: Clockwork) -> str:
    opened = await request(clockwork.url, "GET", POLLING)
    sid: str = msgspec.json.decode(opened.body[1:])["sid"]
    return sid


async def test_who_never_says_who_it_is_is_closed(clockwork: Clockwork) -> None:
    client, sid = await on_websocket(clockwork)
    clockwork.socket(sid).beat(later(CONNECT_WITHIN_S - 1))
    assert clockwork.witness.ended == []
    clockwork.socket(sid).beat(later(CONNECT_WITHIN_S + 1))
    assert await client.rest() == ([], 1008)
    await clockwork.ended(sid, "server disconnect")


async def test_who_never_says_who_it_is_is_closed_on_polling(clockwork: Clockwork) -> None:
    sid = await on_polling(clockwork)
    poll = await waiting(clockwork, sid)
    clockwork.socket(sid).beat(later(CONNECT_WITHIN_S + 1))
    assert (await poll.response()).body == b"1"
    assert (await request(clockwork.url, "GET", f"{POLLING}&sid={sid}")).status == 400
    assert clockwork.witness.ended == [sid]


async def test_who_has_left_and_does_not_come_again_is_closed(clockwork: Clockwork) -> None:
    client, sid = await on_websocket(clockwork)
    socket = clockwork.let_in(sid)
    socket.beat(later(CONNECT_WITHIN_S + 1))
    assert clockwork.witness.ended == []
    socket.expect()
    socket.beat(later(CONNECT_WITHIN_S - 1))
    assert clockwork.witness.ended == []
    socket.beat(later(CONNECT_WITHIN_S + 1))
    assert await client.rest() == ([], 1008)


async def test_who_does_not_answer_a_ping_is_closed(clockwork: Clockwork) -> None:
    client, sid = await on_websocket(clockwork)
    socket = clockwork.let_in(sid)
    socket.beat(later(PING_INTERVAL_S - 1))
    pinged = later(PING_INTERVAL_S + 1)
    socket.beat(pinged)
    assert await client.receive() == "2"
    socket.beat(pinged + PING_TIMEOUT_S - 2)
    assert clockwork.witness.ended == []
    socket.beat(pinged + PING_TIMEOUT_S + 1)
    assert await client.rest() == ([], 1000)
    await clockwork.ended(sid, "ping timeout")


async def test_who_answers_is_asked_again_and_stays(clockwork: Clockwork) -> None:
    client, sid = await on_websocket(clockwork)
    socket = clockwork.let_in(sid)
    for number in range(3):
        socket.beat(later(PING_INTERVAL_S + 1))
        assert await client.receive() == "2"
        client.send("3", f"4answered {number}")
        await clockwork.hears(b"answered %d" % number)
    socket.beat(later(PING_INTERVAL_S + PING_TIMEOUT_S))
    assert await client.receive() == "2"
    assert clockwork.witness.ended == []
    client.close()


async def test_after_the_process_stood_still_clients_have_time_to_answer(
    clockwork: Clockwork,
) -> None:
    """It may have been suspended for longer than a client has for its answer."""
    client, sid = await on_websocket(clockwork)
    socket = clockwork.let_in(sid)
    woken = later(10 * PING_INTERVAL_S)
    due = socket.beat(woken)
    assert await client.receive() == "2"
    assert due is not None
    assert due >= woken + PING_TIMEOUT_S / 2
    socket.beat(woken + 1)
    assert clockwork.witness.ended == []
    client.close()


async def test_who_stops_polling_is_closed(clockwork: Clockwork) -> None:
    sid = await on_polling(clockwork)
    socket = clockwork.let_in(sid)
    pinged = later(PING_INTERVAL_S + 1)
    socket.beat(pinged)
    socket.beat(pinged + PING_TIMEOUT_S + 1)
    await clockwork.ended(sid, "ping timeout")
    assert (await request(clockwork.url, "GET", f"{POLLING}&sid={sid}")).status == 400


async def test_the_reason_waits_for_its_poll_but_not_for_ever(clockwork: Clockwork) -> None:
    sid = await on_polling(clockwork)
    socket = clockwork.let_in(sid)
    rita = Identity("rita", Role.RIDER, 2**50)
    reports = Bucket(Rate.of(50))
    connection = Connection(socket, wire.JSON, rita, "", "", reports=reports)
    connection.end("revoked", retry=False)
    await until(lambda: clockwork.witness.ended == [sid])
    assert not socket.is_over(later(FETCH_WITHIN_S - 1))
    assert socket.is_over(later(FETCH_WITHIN_S + 1))
    fetched = await request(clockwork.url, "GET", f"{POLLING}&sid={sid}")
    assert fetched.body.startswith(b'42["session:ended",{"code":"revoked"')
    assert socket.is_over(later(0))


async def test_an_upgrade_that_is_not_finished_is_given_up(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "UPGRADE_WITHIN_S", 0.05)
    sid = await on_polling(clockwork)
    probe = await WebSocket.open(clockwork.url, f"{HANDSHAKE}&sid={sid}")
    probe.send("2probe")
    assert await probe.rest() == (["3probe"], 1000)
    assert clockwork.witness.ended == []
    posted = await request(clockwork.url, "POST", f"{POLLING}&sid={sid}", {}, b"4still there")
    assert posted.status == 200
    await clockwork.hears(b"still there")


async def test_a_body_that_does_not_come_ends_the_session(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BODY_WITHIN_S", 0.05)
    sid = await on_polling(clockwork)
    http = await Http.open(clockwork.url)
    http.ask("POST", f"{POLLING}&sid={sid}", {"Content-Length": "100"}, b"4")
    assert (await http.response()).status == 400
    assert clockwork.witness.ended == [sid]
    http.close()


async def test_who_was_sent_away_and_stays_is_cut_off(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_WITHIN_S", 0.05)
    client, sid = await on_websocket(clockwork)
    clockwork.socket(sid).end(code=1008)
    assert await client.rest() == ([], 1008)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(write_on(client), WAIT_S)
    await until(lambda: not clockwork.engine.websockets)


async def test_the_heart_beats_for_all_and_forgets_who_is_over(clockwork: Clockwork) -> None:
    _, first = await on_websocket(clockwork)
    second = await on_polling(clockwork)
    for sid in (first, second):
        clockwork.socket(sid).end()
    await until(lambda: not clockwork.engine.sockets)
    await until(lambda: len(clockwork.engine.wheel) == 0)


async def waiting(clockwork: Clockwork, sid: str) -> Http:
    """A poll for which there is nothing yet."""
    http = await Http.open(clockwork.url)
    http.ask("GET", f"{POLLING}&sid={sid}", {})
    await request(clockwork.url, "GET", "/another")  # answered later than that was read
    return http


async def write_on(client: WebSocket) -> None:
    while True:
        client.send("4more")
        await client.writer.drain()
        await asyncio.sleep(0)  # the server lives in the same loop


async def test_who_comes_while_the_server_stops_is_sent_elsewhere(clockwork: Clockwork) -> None:
    sid = await on_polling(clockwork)
    clockwork.engine.is_draining = True
    refused = await request(clockwork.url, "GET", POLLING)
    assert refused.status == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert (await request(clockwork.url, "POST", f"{POLLING}&sid={sid}", body=b"4x")).status == 200
    with pytest.raises(aiohttp.WSServerHandshakeError) as handshake:
        async with aiohttp.ClientSession() as session:
            await session.ws_connect(f"{clockwork.url}/socket.io/?EIO=4&transport=websocket")
    assert handshake.value.status == 503
