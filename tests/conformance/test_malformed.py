"""Packets that are none, of every kind and parser: the connection that they came on is closed.

Whether somebody has joined decides the close code, and nothing else.
"""

import math
from typing import Any, Final

import msgspec
import pytest

from tests.cases import case
from tests.conformance.conftest import Mounted
from tests.conformance.sessions import (
    EVENT,
    SOCKETIO,
    Client,
    Message,
    OverPolling,
    OverWebSocket,
    Packet,
    Session,
)

NORMAL, POLICY_VIOLATION = 1000, 1008
BRACKETS: Final = 15_000
RESERVED: Final = (
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
)


def packed(**packet: Any) -> bytes:
    return msgspec.msgpack.encode(packet)


def event(*data: Any, **fields: Any) -> bytes:
    return packed(type=2, nsp="/", data=list(data), **fields)


JSON: Final[dict[str, Message]] = {
    "nothing": "4",
    "no type": "4abc",
    "no type but data": '4["message"]',
    "an unknown type": "47",
    "a type of two digits": '422abc["message"]',
    "a negative type": "4-1",
    "a type in other digits": '4\u0662["message"]',
    "space before the type": '4 2["message"]',
    "joining with half an object": "40{",
    "joining with a list": "40[]",
    "joining with text": '40"token"',
    "joining with a number": "405.5",
    "joining with null": "40null",
    "joining with two objects": "40{}{}",
    "joining another with a list": "40/custom,[]",
    "joining nothing there is with a list": "40/unknown,[]",
    "joining with attachments": "401-{}",
    "leaving with data": "41{}",
    "leaving another with data": "41/custom,[]",
    "an event without data": "42",
    "an event that is an object": "42{}",
    "an event that is text": '42"message"',
    "an event that is null": "42null",
    "an event without a name": "42[]",
    "an event whose name is a number": "42[1]",
    "an event whose name is null": "42[null]",
    "an event whose name is an object": '42[{"name":"message"}]',
    "an event whose name is a list": '42[["message"]]',
    "half an event": '42["message"',
    "an event and more": '42["message"]]',
    "an event with a comma too many": '42["message",]',
    "an event with NaN": '42["message",NaN]',
    "an event with a control character": '42["mess\nage"]',
    "an event with half a character": '42["message","\\ud800"]',
    "an event with single quotes": "42['message']",
    "an id of letters": '42abc["message"]',
    "a negative id": '42-1["message"]',
    "an id with a fraction": '421.5["message"]',
    "an id of 17 digits": "42" + "1" * 17 + '["message"]',
    "an id of 20,000 digits": "42" + "1" * 20_000 + '["message"]',
    "an acknowledgement that is an object": "431{}",
    "an acknowledgement that is text": '431"x"',
    "an acknowledgement without data": "431",
    "half an acknowledgement": "431[",
    "an acknowledgement with attachments of another kind": "431-[]",
    "a refusal, which is the server's": '44{"message":"no"}',
    "brackets without end": '42["message",' + "[" * BRACKETS,
    "brackets with an end": '42["message",' + "[" * BRACKETS + "]" * BRACKETS + "]",
    "objects without end": '42["message",' + '{"a":' * BRACKETS,
    "a namespace that is not joined": '42/unknown,["message"]',
    "leaving what is not joined": "41/unknown,",
    "acknowledging where nothing is joined": "43/unknown,1[]",
    "binary data": b"\1\2\3",
    "msgpack": event("message"),
    **{f"the clients' own {name}": f'42["{name}"]' for name in RESERVED},
}

MSGPACK: Final[dict[str, Message]] = {
    "nothing": b"",
    "text": '42["message"]',
    "no map": b"\xc1",
    "a number": msgspec.msgpack.encode(5),
    "a list": msgspec.msgpack.encode([2, "/", ["message"]]),
    "no type": packed(nsp="/", data=["message"]),
    "a type that is text": packed(type="2", nsp="/", data=["message"]),
    "a type that is true": packed(type=True, nsp="/", data=["message"]),
    "a type with a fraction": packed(type=2.5, nsp="/", data=["message"]),
    "an unknown type": packed(type=7, nsp="/"),
    "a negative type": packed(type=-1, nsp="/"),
    "a binary event, which JSON needs": packed(type=5, nsp="/", data=["message"]),
    "a binary acknowledgement": packed(type=6, nsp="/", data=["message"], id=1),
    "a refusal, which is the server's": packed(type=4, nsp="/", data={}),
    "a namespace that is a number": packed(type=2, nsp=5, data=["message"]),
    "a namespace that is bytes": packed(type=2, nsp=b"/", data=["message"]),
    "a namespace that is not joined": packed(type=2, nsp="/unknown", data=["message"]),
    "joining with a list": packed(type=0, nsp="/", data=[]),
    "joining with text": packed(type=0, nsp="/", data="token"),
    "joining with a number": packed(type=0, nsp="/", data=5),
    "joining nothing there is with a list": packed(type=0, nsp="/unknown", data=[]),
    "leaving with data": packed(type=1, nsp="/", data={}),
    "leaving what is not joined": packed(type=1, nsp="/unknown"),
    "an event without data": packed(type=2, nsp="/"),
    "an event that is nil": packed(type=2, nsp="/", data=None),
    "an event that is a map": packed(type=2, nsp="/", data={}),
    "an event that is text": packed(type=2, nsp="/", data="message"),
    "an event without a name": event(),
    "an event whose name is a number": event(1),
    "an event whose name is bytes": event(b"message"),
    "an event whose name is nil": event(None),
    "an id that is text": event("message", id="1"),
    "an id with a fraction": event("message", id=1.5),
    "an id that is no number": event("message", id=math.nan),
    "an id in a list": event("message", id=[1]),
    "an acknowledgement that is a map": packed(type=3, nsp="/", data={}, id=1),
    "an acknowledgement without data": packed(type=3, nsp="/", id=1),
    "half an event": event("message")[:-1],
    "two events": event("message") * 2,
    "text that is not UTF-8": event("message").replace(b"message", b"m\xff\xfeage"),
    "a list that says it is long": b"\x82\xa4type\x02\xa4data\xdd\xff\xff\xff\xff",
    "brackets without end": b"\x82\xa4type\x02\xa4data\x92\xa7message" + b"\x91" * BRACKETS,
    "brackets with an end": b"\x82\xa4type\x02\xa4data\x92\xa7message"
    + b"\x91" * BRACKETS
    + b"\xc0",
    **{f"the clients' own {name}": event(name) for name in RESERVED},
}

PACKETS: Final = {"json": JSON, "msgpack": MSGPACK}


@pytest.mark.parametrize("parser", PACKETS)
async def test_it_closes_the_connection_of_who_has_joined(server: Mounted, parser: str) -> None:
    for what, packet in PACKETS[parser].items():
        with case(what):
            client = await Client.open(server.url, parser)
            await client.join()
            await client.session.send(packet, *client.packets(EVENT, ["message", "too late"]))
            assert isinstance(client.session, OverWebSocket)
            await client.session.ends_with(NORMAL)


@pytest.mark.parametrize("parser", PACKETS)
async def test_it_closes_the_connection_of_a_stranger(server: Mounted, parser: str) -> None:
    """Of which nothing can be known but that its first packet is text or binary."""
    for what, packet in PACKETS[parser].items():
        with case(what):
            session = await OverWebSocket.open(server.url, SOCKETIO)
            await session.send(packet)
            await session.ends_with(POLICY_VIOLATION)


@pytest.mark.parametrize("parser", PACKETS)
async def test_it_ends_a_session_on_polling(server: Mounted, parser: str) -> None:
    for what, packet in PACKETS[parser].items():
        with case(what):
            session = await OverPolling.open(server.url, SOCKETIO)
            client = Client(session, parser)
            await client.join()
            poll = await session.waiting()
            await session.send(packet, *client.packets(EVENT, ["message", "too late"]))
            assert (await poll.response()).body == b"1"
            await session.is_over()


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_it_harms_nobody_else(server: Mounted, parser: str, transport: type[Session]) -> None:
    bystander = await Client.open(server.url, parser, transport)
    await bystander.join()
    for packet in (JSON | MSGPACK).values():
        session = await OverWebSocket.open(server.url, SOCKETIO)
        await session.send(packet)
        await session.ends_with(POLICY_VIOLATION)
    await bystander.echoes("still here")
    bystander.close()


async def test_what_is_odd_but_right_is_taken(server: Mounted) -> None:
    client = await Client.open(server.url)
    await client.session.send("407{}", "40/custom,")
    assert [(await client.receive()).kind for _ in range(4)] == [0, EVENT, 0, EVENT]
    for packet in (
        '42/,["message",1]',
        '42 ["message",1]',
        '42["message",1]\n',
        '42/custom?x=y,["message",1]',
        '420000000000000007["message",1]',
        '42["message",1]',
    ):
        await client.session.send(packet)
        answer = await client.receive()
        assert answer.data == ["message-back", 1], packet
        if packet.startswith("4200"):
            assert await client.receive() == Packet(3, [], "/", 7)
    client.close()


async def test_odd_msgpack_that_is_right_is_taken(server: Mounted) -> None:
    client = await Client.open(server.url, "msgpack")
    nothing = msgspec.msgpack.Ext(0, b"\0")
    ways: tuple[dict[str, Any], ...] = ({}, {"data": None}, {"data": nothing})
    for way in ways:
        await client.session.send(packed(type=0, nsp="/custom", more=[1], **way))
        assert (await client.receive()).kind == 0
        assert await client.receive() == Packet(EVENT, ["auth", {}], "/custom")
        await client.session.send(packed(type=1, nsp="/custom", **way))
    await client.join()
    await client.session.send(packed(type=2, data=["message", 1], id=None))
    assert await client.receive() == Packet(EVENT, ["message-back", 1])
    client.close()
