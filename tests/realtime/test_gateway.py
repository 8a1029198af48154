"""Namespaces: who joined which, who is expected to join one, and what ends it all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from msgspec import Raw, Struct

from realtime.engine import Limits, Socket
from realtime.gateway import MAX_JOINS, Gateway, NotNow, Refused
from realtime.plain import PlainClient, PlainNamespace
from realtime.wire import Parser
from tests.apps import served
from tests.hostile.process import until
from tests.hostile.raw import WebSocket

CONNECT_WITHIN_S = 60


class Hesitant(PlainNamespace):
    """A namespace that takes its time over who may join."""

    def __init__(self, told: list[str]) -> None:
        super().__init__("/slow")
        self.asked = 0
        self.verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on("connect")(lambda _client: told.append("joined /slow"))
        self.on("disconnect")(lambda _client, reason: told.append(f"left /slow: {reason}"))

    def admit(self, socket: Socket, parser: Parser, auth: Raw) -> Any:
        """See `realtime.gateway.Namespace`."""
        self.asked += 1

        async def decide() -> PlainClient:
            await self.verdict
            return PlainNamespace.admit(self, socket, parser, auth)

        return decide


class Place(Struct, frozen=True):
    """A gateway with two namespaces, and who has come and gone."""

    url: str
    gateway: Gateway
    slow: Hesitant
    told: list[str]

    async def client(self, *names: str) -> WebSocket:
        """One that has joined these."""
        client = await WebSocket.open(self.url)
        await client.receive()
        await join(client, *names)
        return client

    @property
    def expected_by(self) -> list[float | None]:
        return [socket.expected_by for socket in self.gateway.engine.sockets.values()]


async def join(client: WebSocket, *names: str) -> None:
    for name in names:
        client.send(f"40{name},")
        assert str(await client.receive()).startswith(f"40{'' if name == '/' else name + ','}")


def namespace(name: str, told: list[str]) -> PlainNamespace:
    opened = PlainNamespace(name)

    @opened.on("connect")
    def join(_client: PlainClient) -> None:
        told.append(f"joined {name}")

    @opened.on("disconnect")
    def leave(_client: PlainClient, reason: str) -> None:
        told.append(f"left {name}: {reason}")

    @opened.on("echo")
    def echo(_client: PlainClient, *values: object) -> tuple[object, ...]:
        return values

    return opened


@asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[Place]:
    told: list[str] = []
    gateway, app = Gateway(limits), web.Application()
    for name in ("/", "/lobby"):
        gateway.add(namespace(name, told))
    slow = Hesitant(told)
    gateway.add(slow)
    gateway.attach(app)
    async with served(app) as url:
        yield Place(url, gateway, slow, told)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    limits = Limits(connect_within_s=CONNECT_WITHIN_S, max_payload=1_000)
    async with serving(limits) as place:
        yield place


async def test_who_joins_nothing_is_closed() -> None:
    async with serving(Limits(connect_within_s=0.05)) as place:
        client = await WebSocket.open(place.url)
        await client.receive()
        assert await client.rest() == ([], 1008)
        client.close()


async def test_nobody_joins_any_more_while_the_server_stops(place: Place) -> None:
    client = await place.client()
    place.gateway.engine.is_draining = True
    client.send("40")
    assert await client.rest() == ([], 1000)
    assert place.told == []
    client.close()


async def test_nobody_joins_while_something_is_in_the_way(place: Place) -> None:
    client = await place.client()
    place.gateway.engine.obstacle = lambda: "not now"
    client.send("40")
    assert await client.rest() == ([], 1000)
    assert place.told == []
    client.close()


async def test_who_has_left_everything_and_does_not_come_again_is_closed(place: Place) -> None:
    client = await place.client("/", "/lobby")
    client.send("41", "41/lobby,")
    await until(lambda: len(place.told) == 4)
    assert place.told[2:] == [
        "left /: client namespace disconnect",
        "left /lobby: client namespace disconnect",
    ]
    now = asyncio.get_running_loop().time()
    for socket in list(place.gateway.engine.sockets.values()):
        socket.beat(now + CONNECT_WITHIN_S)
    assert await client.rest() == ([], 1008)
    client.close()


async def test_nobody_is_expected_who_is_in_a_namespace(place: Place) -> None:
    client = await WebSocket.open(place.url)
    await client.receive()
    assert None not in place.expected_by
    await join(client, "/lobby", "/")
    assert place.expected_by == [None]
    client.send("41/lobby,")
    await until(lambda: len(place.told) == 3)
    assert place.expected_by == [None]
    client.send("41")
    await until(lambda: len(place.told) == 4)
    assert None not in place.expected_by
    await join(client, "/")
    assert place.expected_by == [None]
    client.close()


async def test_each_namespace_hears_of_its_own_clients_once(place: Place) -> None:
    client = await place.client("/", "/lobby")
    client.send("41")
    await until(lambda: len(place.told) == 3)
    client.writer.transport.abort()
    await until(lambda: len(place.told) == 4)
    assert place.told == [
        *("joined /", "joined /lobby"),
        "left /: client namespace disconnect",
        "left /lobby: transport close",
    ]


async def test_an_answer_comes_in_the_namespace_of_its_event(place: Place) -> None:
    client = await place.client("/", "/lobby")
    client.send('42/lobby,1["echo","a"]', '421["echo","b"]', '42/lobby,2["echo"]')
    assert [await client.receive() for _ in range(3)] == [
        *('43/lobby,1["a"]', '431["b"]', "43/lobby,2[]")
    ]
    client.close()


@pytest.mark.parametrize(
    "packet", ['42/lobby,["echo"]', "41/lobby,", "43/lobby,1[]", '42/nowhere,["echo"]', "4"]
)
async def test_a_packet_for_a_namespace_that_was_not_joined_ends_all(
    place: Place, packet: str
) -> None:
    client = await place.client("/")
    client.send(packet)
    assert await client.rest() == ([], 1000)
    assert place.told[1:] == ["left /: server disconnect"]
    client.close()


async def test_joining_twice_is_joining_once(place: Place) -> None:
    client = await place.client("/")
    client.send("40", '421["echo"]')
    assert await client.receive() == "431[]"
    assert place.told == ["joined /"]
    client.close()


async def test_attachments_are_kept_for_nobody_who_has_not_joined(place: Place) -> None:
    client = await place.client("/")
    client.send('451-/lobby,["echo",{"_placeholder":true,"num":0}]')
    assert await client.rest() == ([], 1000)
    client.close()


async def test_who_leaves_and_comes_again_and_again_has_to_connect_anew(place: Place) -> None:
    client = await place.client("/")
    for _ in range(MAX_JOINS * len(place.gateway._namespaces) - 1):
        client.send("41")
        await join(client, "/")
    client.send("41", "40")
    assert (await client.rest())[0] == []
    client.close()


async def test_attachments_take_their_places(place: Place) -> None:
    client = await place.client("/lobby")
    client.send('452-/lobby,7["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]')
    client.send(b"first", b"second")
    echoed = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
    assert await client.receive() == f"462-/lobby,7[{echoed}]"
    assert [await client.receive(), await client.receive()] == [b"second", b"first"]
    client.close()


async def test_attachments_together_are_no_larger_than_one_message_may_be(place: Place) -> None:
    client = await place.client("/")
    client.send('452-1["echo"]', b"x" * 500, b"x" * 500)
    assert await client.receive() == "431[]"
    client.send('452-2["echo"]', b"x" * 500, b"x" * 501)
    assert await client.rest() == ([], 1000)
    client.close()


class TestWhoHasToWait:
    @staticmethod
    async def asking(place: Place) -> WebSocket:
        """A client in one namespace that has asked for the slow one, more than once."""
        client = await place.client("/lobby")
        client.send("40/slow,", "40/slow,", '42/lobby,1["echo"]')
        assert await client.receive() == "43/lobby,1[]"
        assert place.slow.asked == 1
        return client

    async def test_it_joins_once_that_is_decided_and_is_served_meanwhile(
        self, place: Place
    ) -> None:
        client = await self.asking(place)
        assert place.told == ["joined /lobby"]
        place.slow.verdict.set_result(None)
        assert str(await client.receive()).startswith('40/slow,{"sid"')
        client.send('42/slow,["x"]', "40/slow,", '42/lobby,2["echo"]')
        assert await client.receive() == "43/lobby,2[]"
        assert place.told == ["joined /lobby", "joined /slow"]
        client.close()

    async def test_it_is_expected_meanwhile(self, place: Place) -> None:
        client = await WebSocket.open(place.url)
        await client.receive()
        client.send("40/slow,")
        await until(lambda: place.slow.asked == 1)
        assert None not in place.expected_by
        place.slow.verdict.set_result(None)
        await client.receive()
        assert place.expected_by == [None]
        client.close()

    async def test_it_may_be_refused(self, place: Place) -> None:
        client = await self.asking(place)
        place.slow.verdict.set_exception(Refused("no", {"code": "unauthorized"}))
        told = await client.receive()
        assert told == '44/slow,{"message":"no","data":{"code":"unauthorized"}}'
        client.close()

    async def test_it_may_be_told_to_come_back(self, place: Place) -> None:
        client = await self.asking(place)
        place.slow.verdict.set_exception(NotNow())
        assert await client.rest() == ([], 1000)
        client.close()

    async def test_it_is_forgotten_when_it_leaves(self, place: Place) -> None:
        client = await self.asking(place)
        client.writer.transport.abort()
        await until(place.slow.verdict.cancelled)
        assert place.told == ["joined /lobby", "left /lobby: transport close"]

    async def test_it_is_sent_away_if_the_server_stops_meanwhile(self, place: Place) -> None:
        client = await self.asking(place)
        place.gateway.engine.is_draining = True
        place.slow.verdict.set_result(None)
        messages, code = await client.rest()
        assert (len(messages), code) == (1, 1000)
        assert place.told[-1] == "left /slow: server disconnect"
        client.close()
