"""The event that skips the parsing: whose it is, and what is parsed all the same."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from msgspec import Struct

from realtime.gateway import Gateway
from realtime.plain import PlainClient, PlainNamespace
from tests.apps import served
from tests.hostile.raw import WebSocket

SEEN = '42["seen",{"a":1}]'
ASK = '421["ask"]'


class Place(Struct, frozen=True):
    """A gateway with two namespaces, and what came in each way."""

    url: str
    gateway: Gateway
    direct: list[bytes]
    parsed: list[tuple[object, ...]]

    async def client(self, *names: str) -> WebSocket:
        """One that has joined these."""
        client = await WebSocket.open(self.url)
        await client.receive()
        for name in names:
            client.send("40" if name == "/" else f"40{name},")
            await client.receive()
        return client


def namespace(name: str, parsed: list[tuple[object, ...]]) -> PlainNamespace:
    opened = PlainNamespace(name)

    @opened.on("seen")
    def seen(_client: PlainClient, *values: object) -> None:
        parsed.append(values)

    @opened.on("ask")
    def ask(_client: PlainClient) -> str:
        return "so far"

    return opened


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    direct: list[bytes] = []
    parsed: list[tuple[object, ...]] = []

    def take(_client: PlainClient, payload: bytes) -> bool:
        direct.append(payload)
        return b"no" not in payload

    gateway, app = Gateway(), web.Application()
    main = namespace("/", parsed)
    main.direct = ("seen", take)
    gateway.add(main)
    gateway.add(namespace("/lobby", parsed))
    gateway.attach(app)
    async with served(app) as url:
        yield Place(url, gateway, direct, parsed)


async def test_it_is_handed_over_unread(place: Place) -> None:
    client = await place.client("/")
    client.send(SEEN, ASK)
    await client.receive()
    assert (place.direct, place.parsed) == ([b'{"a":1}'], [])
    client.close()


async def test_what_nobody_takes_so_is_parsed(place: Place) -> None:
    client = await place.client("/")
    client.send('42["seen","no"]', ASK)
    await client.receive()
    assert (place.direct, place.parsed) == ([b'"no"'], [("no",)])
    client.close()


@pytest.mark.parametrize("packet", ['427["seen",1]', '42[ "seen",1]', '42["seen"]'])
async def test_what_is_written_otherwise_is_parsed(place: Place, packet: str) -> None:
    client = await place.client("/")
    client.send(packet, ASK)
    await client.receive()
    assert place.direct == []
    assert len(place.parsed) == 1
    client.close()


@pytest.mark.parametrize(
    ("names", "messages"),
    [
        (("/",), ('42["seen",{"a":1}}',)),
        (("/",), ('451-["other",{"_placeholder":true,"num":0}]', SEEN)),
        (("/", "/lobby"), ("41", SEEN)),
        (("/lobby",), (SEEN,)),
        (("/",), (b'2["seen",{"a":1}]',)),
    ],
    ids=["no end", "no attachment", "left", "elsewhere", "binary"],
)
async def test_what_may_not_be_is_malformed(
    place: Place, names: tuple[str, ...], messages: tuple[str | bytes, ...]
) -> None:
    client = await place.client(*names)
    client.send(*messages)
    await client.rest()
    assert place.direct == []


async def test_a_client_of_another_parser_does_not_skip_its_own(place: Place) -> None:
    client = await place.client()
    client.send(msgspec.msgpack.encode({"type": 0, "nsp": "/"}))
    await client.receive()
    client.send(SEEN)
    await client.rest()
    assert place.direct == []


async def test_who_comes_again_is_heard_again(place: Place) -> None:
    client = await place.client("/")
    client.send("41", "40")
    await client.receive()
    client.send(SEEN, ASK)
    await client.receive()
    assert place.direct == [b'{"a":1}']
    client.close()


async def test_a_namespace_in_place_of_another_has_nothing_of_it(place: Place) -> None:
    place.gateway.add(namespace("/", place.parsed))
    client = await place.client("/")
    client.send(SEEN, ASK)
    await client.receive()
    assert (place.direct, place.parsed) == ([], [({"a": 1},)])
    client.close()
