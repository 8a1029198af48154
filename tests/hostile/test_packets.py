"""Packets that are none, of a client with a session and of one that has not said who it is."""

import math
from typing import Any, Final

import msgspec
import pytest

from realtime.gateway import MAX_JOINS
from realtime.wire import MAX_ATTACHMENTS
from tests.cases import case
from tests.conftest import fresh, mint
from tests.hostile.process import logged
from tests.hostile.raw import PING, PONG, UNREADABLE, Codec, Session, WebSocket, frame
from tests.servers import Server

BRACKETS: Final = "[" * 100_000
POLICY_VIOLATION: Final = 1008


def packed(packet: object) -> bytes:
    return msgspec.msgpack.encode(packet)


def event(*arguments: object, **fields: object) -> bytes:
    return packed({"type": 2, "nsp": "/", "data": list(arguments), **fields})


STRANGE: Final[dict[str, str | bytes]] = {
    "long name": '429["' + "x" * 200_000 + '"]',
    "no name at all": '429[""]',
    "name of a method": '429["__class__"]',
    "session events": '429["session:ended",{"code":"replaced"}]',
    "control events": '429["control:follow",{}]',
    "more arguments": '429["no:such",{},{},{},[],1]',
    "no attachments": '450-9["x"]',
    "space around": '429 [ "x" , 1 ] ',
    "query of the namespace": '42/?a=b,9["x"]',
    "msgpack: unknown": event("no:such", b"\xff", math.nan, msgspec.msgpack.Ext(1, b""), id=9),
}


@pytest.mark.parametrize("packet", STRANGE.values(), ids=STRANGE)
async def test_an_event_that_nobody_knows_is_answered_and_the_session_goes_on(
    server: Server, packet: str | bytes
) -> None:
    session = await opened(server, packet)
    session.socket.send(packet)
    answer = await session.answer(9)
    assert (answer["ok"], answer["error"]["code"]) == (False, "unknown_event")
    assert len(msgspec.json.encode(answer)) < 1_000, "an echo of what was sent"
    await session.is_alive()
    session.close()


ANSWERED: Final[dict[str, str | bytes]] = {
    "number as name": "429[1]",
    "null as name": "429[null]",
    "object as name": '429[{"$ne":1}]',
    "no name": "429[]",
    "no event": "429{}",
    "no data": "429",
    "half a string": '429["x',
    "half an array": '429["x"',
    "NaN": '429["x",NaN]',
    "Infinity": '429["x",-Infinity]',
    "trailing comma": '429["x",]',
    "two values": '429["x"]["y"]',
    "half a surrogate pair": '429["x","\\ud800"]',
    "control character": '429["\0"]',
    "brackets without end": f'429["x",{BRACKETS}',
    "brackets with an end": f'429["x",{BRACKETS}{BRACKETS.replace("[", "]")}]',
    "objects without end": '429["x",' + '{"a":' * 40_000,
    "brackets in an id": f'429["trip:subscribe",{{"trip_id":{BRACKETS}]',
    "fraction as id": '429.5["x"]',
    "connect": '429["connect"]',
    "disconnect": '429["disconnect","server namespace disconnect"]',
    "refusal": '429["connect_error",{"message":"no"}]',
    "listener": '429["newListener","x"]',
    "msgpack: number as name": event(5, id=9),
    "msgpack: bytes as name": event(b"x", id=9),
    "msgpack: connect": event("connect", id=9),
    "msgpack: no name": packed({"type": 2, "nsp": "/", "data": [], "id": 9}),
    "msgpack: object as data": packed({"type": 2, "nsp": "/", "data": {"a": 1}, "id": 9}),
    "msgpack: no data": packed({"type": 2, "nsp": "/", "id": 9}),
}


@pytest.mark.parametrize("packet", ANSWERED.values(), ids=ANSWERED)
async def test_what_is_no_event_and_can_be_answered_is_answered_first_and_then_ends_the_session(
    server: Server, packet: str | bytes
) -> None:
    session = await opened(server, packet)
    session.socket.send(packet)
    answer = await session.answer(9)
    assert (answer["ok"], answer["error"]["code"]) == (False, "invalid")
    assert len(msgspec.json.encode(answer)) < 1_000, "an echo of what was sent"
    assert session.ended == [], "the answer comes first"
    assert await session.ends() == (UNREADABLE, 1000)
    await session.socket.is_over()


ENDS: Final[dict[str, str | bytes]] = {
    "no Engine.IO packet": "",
    "unknown Engine.IO packet": "9",
    "Engine.IO open": "0{}",
    "Engine.IO ping": "2",
    "probe without an upgrade": "2probe",
    "polling's base64": "bAAAA",
    "polling's separator": '42["x"]\x1e42["x"]',
    "no Socket.IO packet": "4",
    "unknown Socket.IO packet": "47",
    "letter": "4x",
    "full-width digit": '42\uff11["x"]',
    "event without data": "42",
    "event that is no array": "42{}",
    "event without a name": "42[]",
    "event with a number as name": "42[1]",
    "half an event": '42["x"',
    "event with NaN": '42["a",NaN]',
    "letters for an id": '42abc["x"]',
    "negative id": '42-1["x"]',
    "id of 100 digits": "42" + "1" * 100 + '["x"]',
    "id of 200,000 digits": "42" + "1" * 200_000 + '["x"]',
    "brackets": f"42{BRACKETS}",
    "binary event without a count": '45["x"]',
    "binary event with too many": f'45{MAX_ATTACHMENTS + 1}-["x"]',
    "1,000 attachments": '451000-["x"]',
    "attachments of 100 digits": "45" + "1" * 100 + '-["x"]',
    "negative attachments": '45-1-["x"]',
    "refusal from a client": '44{"message":"no"}',
    "goodbye with data": "41{}",
    "event of a namespace that was not joined": '42/admin,1["x"]',
    "goodbye to a namespace that was not joined": "41/admin,",
    "acknowledgement in a namespace that was not joined": "43/admin,1[]",
    "event named connect": '42["connect"]',
    "connect with attachments": "401-{}",
    "second connect with a list": "40[1,2,3]",
    "binary without announcement": b"\0\1\2",
    "empty binary": b"",
    "msgpack to a JSON session": event("x", id=1),
}

MSGPACK_ENDS: Final[dict[str, str | bytes]] = {
    "JSON to a msgpack session": '42["x"]',
    "no Engine.IO packet": "",
    "empty": b"",
    "never used byte": b"\xc1",
    "number": packed(5),
    "array": packed([2, "/", ["x"]]),
    "empty object": packed({}),
    "no type": packed({"nsp": "/", "data": ["x"], "id": 1}),
    "binary event": packed({"type": 5, "nsp": "/", "data": ["x"], "id": 1}),
    "type as text": packed({"type": "2", "nsp": "/", "data": ["x"]}),
    "type as boolean": packed({"type": True, "nsp": "/", "data": ["x"]}),
    "unknown type": packed({"type": 7, "nsp": "/"}),
    "negative type": packed({"type": -1, "nsp": "/"}),
    "huge type": packed({"type": 2**64 - 1, "nsp": "/"}),
    "namespace as number": packed({"type": 2, "nsp": 5, "data": ["x"]}),
    "namespace as bytes": packed({"type": 2, "nsp": b"/", "data": ["x"]}),
    "id as fraction": event("x", id=1.5),
    "id as NaN": event("x", id=math.nan),
    "id as text": event("x", id="1"),
    "refusal from a client": packed({"type": 4, "nsp": "/", "data": {}}),
    "event without a name": packed({"type": 2, "nsp": "/", "data": []}),
    "cut off": event("x", id=1)[:-1],
    "more than one": event("x", id=1) * 2,
    "array of 2**32": b"\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x01\xa4data\xdd\xff\xff\xff\xff",
    "object of 2**32": b"\xdf\xff\xff\xff\xff",
    "string of 2**32": b"\xdb\xff\xff\xff\xff",
    "binary of 2**32": b"\xc6\xff\xff\xff\xff",
    "extension of 2**32": b"\xc9\xff\xff\xff\xff\1",
    "brackets": b"\x91" * 100_000,
    "brackets with an end": b"\x91" * 100_000 + b"\xc0",
    "brackets in an event": b"\x82\xa4type\x02\xa4data\x92\xa1x" + b"\x91" * 100_000 + b"\xc0",
    "array as key": b"\x81\x91\1\2",
    "object as key": b"\x81\x81\1\2\3",
    "no UTF-8": b"\x81\xa4\xff\xff\xff\xff\2",
}


async def test_what_cannot_be_answered_ends_the_session_and_says_so(server: Server) -> None:
    for what, packet in ENDS.items():
        with case(what):
            await ends(await Session.open(server.url, "rider", fresh("mallory")), packet)


MISPLACED: Final[dict[str, list[str | bytes]]] = {
    "text in place of an attachment": ['451-["x",{"_placeholder":true,"num":0}]', '42["y"]'],
    "a point in place of one": [
        '451-["x",{"_placeholder":true,"num":0}]',
        '42["driver:location",{}]',
    ],
    "one attachment more than announced": ['451-["no:such"]', b"", b""],
    "attachments larger than a frame": ['453-["no:such"]', *[b"x" * 100_000] * 3],
    "another event before the last attachment": ['452-["no:such"]', b"", '451-["no:such"]', b""],
}


@pytest.mark.parametrize("packets", MISPLACED.values(), ids=MISPLACED)
async def test_what_is_misplaced_ends_the_session_and_says_so(
    server: Server, packets: list[str | bytes]
) -> None:
    await ends(await Session.open(server.url, "rider", fresh("mallory")), *packets)


async def test_what_cannot_be_answered_ends_a_msgpack_session_and_says_so(server: Server) -> None:
    for what, packet in MSGPACK_ENDS.items():
        with case(what):
            session = await Session.open(server.url, "rider", fresh("mallory"), "msgpack")
            await ends(session, packet)


async def test_a_stranger_who_sends_such_things_is_closed_with_a_code(server: Server) -> None:
    for what, packet in [*ENDS.items(), *MSGPACK_ENDS.items()]:
        with case(what):
            stranger = await WebSocket.open(server.url)
            await stranger.receive()
            stranger.send(packet)
            assert await stranger.rest() == ([], POLICY_VIOLATION)
            await stranger.is_over()


IGNORED: Final = {
    "unknown acknowledgement": '4399["x"]',
    "acknowledgement without an id": "43[]",
    "acknowledgement of nothing": "43",
    "binary acknowledgement": "460-1[]",
    "second connect": "40",
    "second connect with a token": '40{"token":"x"}',
    "event without an id": '42["no:such",{"$ne":1}]',
    "upgrade of what is upgraded": "5",
    "noop": "6",
    "pong that nobody asked for": "3",
    "pong with data": "3" + "x" * 1_000,
}


@pytest.mark.parametrize("packet", IGNORED.values(), ids=IGNORED)
async def test_what_needs_no_answer_changes_nothing(server: Server, packet: str) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.send(packet)
    await session.is_alive()
    assert session.events == session.events[:1]
    session.close()


@pytest.mark.parametrize("namespace", ["/admin", "/a b", "/" + "x" * 100_000, "/😀", "//", "/0"])
async def test_other_namespaces_are_refused_as_by_socket_io(server: Server, namespace: str) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.send(f"40{namespace},")
    assert await session.socket.receive() == f'44{namespace},{{"message":"Invalid namespace"}}'
    await session.is_alive()
    session.close()


async def test_binary_frames_that_belong_to_an_event_are_taken_with_it(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    placeholder = '{"_placeholder":true,"num":0}'
    session.socket.send(f'452-9["x",{placeholder},{placeholder}]', b"\0", b"\xff" * 1_000)
    assert (await session.answer(9))["error"]["code"] == "unknown_event"
    await session.is_alive()
    await ends(session, b"one too many")


async def test_attachments_that_do_not_come_are_waited_for_and_nothing_is_done(
    server: Server,
) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.send(f'45{MAX_ATTACHMENTS}-9["x",{{"_placeholder":true,"num":0}}]')
    session.socket.send(*[b"x"] * (MAX_ATTACHMENTS - 1))
    session.socket.write(frame(PING, b"all of it was taken"))
    assert await session.socket.receive_frame() == (PONG, b"all of it was taken")
    session.socket.send(b"the last one")
    assert (await session.answer(9))["error"]["code"] == "unknown_event"
    await session.is_alive()
    session.close()


async def test_a_command_that_brings_binary_data_is_refused_for_its_payload(
    server: Server,
) -> None:
    session = await Session.open(server.url, "driver", fresh("mallory"))
    for number, payload in enumerate(('{"_placeholder":true,"num":0}', '[{"lat":1}]', "1"), 1):
        session.socket.send(f'451-{number}["driver:location",{payload}]', b"52.5")
        answer = await session.answer(number)
        assert answer.get("accepted", 0) == 0, answer
    await session.is_alive()
    session.close()


async def test_whoever_says_goodbye_is_gone(server: Server) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"))
    session.socket.send("41", '421["trip:subscribe",{}]', "40", "42{")
    assert await session.ends() == ([], POLICY_VIOLATION)
    assert session.answers == {}
    await logged(server, "connection closed", session.user_id)


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_whoever_says_goodbye_may_come_again_on_the_same_transport(
    server: Server, parser: str
) -> None:
    session = await Session.open(server.url, "rider", fresh("mallory"), parser)
    await session.is_alive()
    session.socket.send(session.codec.goodbye())
    await logged(server, "connection closed", session.user_id)
    session.events.clear()
    session.socket.send(session.codec.connect({}), session.codec.connect({"token": token()}))
    ready = await session.hears("session:ready")
    assert ready["user_id"] != session.user_id
    await session.is_alive()
    session.close()


async def test_nothing_is_done_for_who_was_sent_away(server: Server) -> None:
    """What comes in one piece with the cause is not looked at any more."""
    rider = await Session.open(server.url, "rider", fresh("mallory"))
    chat = await Session.open(server.url, "service", fresh("staff"))
    opening = {"client_id": "c", "participants": [rider.user_id]}
    chat_id = (await chat.ok("chat:open", opening))["conversation"]["id"]
    said = rider.codec.event(
        ["chat:send", {"conversation_id": chat_id, "client_id": "m", "text": "too late"}], 1
    )
    rider.socket.send("42{", said, said)
    assert await rider.ends() == (UNREADABLE, 1000)
    assert (await chat.ok("chat:history", {"conversation_id": chat_id}))["messages"] == []
    chat.close()


async def test_an_event_before_connect_ends_the_connection(server: Server) -> None:
    stranger = await WebSocket.open(server.url)
    stranger.send('421["trip:subscribe",{"trip_id":"t"}]')
    messages, code = await stranger.rest()
    assert (len(messages), code) == (1, POLICY_VIOLATION)


AUTH: Final[dict[str, Any]] = {
    "empty": {},
    "null as token": {"token": None},
    "number as token": {"token": 5},
    "operator as token": {"token": {"$ne": 1}},
    "empty token": {"token": ""},
    "NUL as token": {"token": "\0"},
    "dots": {"token": "..."},
    "emoji": {"token": "😀.😀.😀"},
    "no signature": {"token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwicm9sZSI6ImRyaXZlciJ9."},
    "huge token": {"token": "x" * 200_000},
    "huge token with dots": {"token": "eyJh." * 40_000},
    "nested": {"token": {"token": {"token": "x"}}},
}

WRONG_CLAIMS: Final[dict[str, Any]] = {
    "device": {"device": 5},
    "device as operator": {"device": {"$ne": 1}},
    "device with spaces": {"device": "a b"},
    "long device": {"device": "x" * 129},
    "client": {"client": []},
    "long client": {"client": "x" * 201},
    "protocol as text": {"protocol": "1"},
}


@pytest.mark.parametrize("parser", ["json", "msgpack"])
@pytest.mark.parametrize("auth", AUTH.values(), ids=AUTH)
async def test_whatever_is_no_token_is_unauthorized(
    server: Server, auth: object, parser: str
) -> None:
    await refused(server, parser, auth, "unauthorized")


@pytest.mark.parametrize("parser", ["json", "msgpack"])
@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
async def test_a_token_with_wrong_company_is_unauthorized(
    server: Server, claims: dict[str, Any], parser: str
) -> None:
    await refused(server, parser, {"token": token(), **claims}, "unauthorized")


@pytest.mark.parametrize("protocol", [0, -1, 2, 2**63])
async def test_another_protocol_is_refused(server: Server, protocol: int) -> None:
    await refused(server, "json", {"token": token(), "protocol": protocol}, "unsupported_client")


NO_AUTH: Final[dict[str, str | bytes]] = {
    "half an object": "40{",
    "brackets": "40[[[",
    "many brackets": f"40{BRACKETS}",
    "NaN": "40NaN",
    "two objects": "40{}{}",
    "control character": '40"\0"',
    "null": "40null",
    "number": "40 5",
    "fraction": "40.5",
    "boolean": "40true",
    "text": '40"token"',
    "list": '40["token"]',
    "list in msgpack": packed({"type": 0, "nsp": "/", "data": ["token"]}),
    "text in msgpack": packed({"type": 0, "nsp": "/", "data": "token"}),
    "number in msgpack": packed({"type": 0, "nsp": "/", "data": 5}),
}


@pytest.mark.parametrize("packet", NO_AUTH.values(), ids=NO_AUTH)
async def test_auth_that_is_no_object_ends_the_connection_as_at_the_official_server(
    server: Server, packet: str | bytes
) -> None:
    stranger = await WebSocket.open(server.url)
    await stranger.receive()
    stranger.send(packet)
    assert await stranger.rest() == ([], POLICY_VIOLATION)
    await stranger.is_over()


@pytest.mark.parametrize(
    "packet",
    [
        "40",
        packed({"type": 0, "nsp": "/"}),
        packed({"type": 0, "nsp": "/", "data": None}),
        packed({"type": 0, "nsp": "/", "data": msgspec.msgpack.Ext(0, b"\0")}),
    ],
)
async def test_no_auth_at_all_is_unauthorized(server: Server, packet: str | bytes) -> None:
    """It may be the token in the header that is missing."""
    stranger = await WebSocket.open(server.url)
    await stranger.receive()
    stranger.send(packet)
    kind, _, data = Codec("json").read(await stranger.receive())
    assert (kind, data["data"]["code"]) == (4, "unauthorized")
    stranger.close()


async def test_a_header_that_is_no_token_is_unauthorized(server: Server) -> None:
    for header in (
        "Bearer",
        "Bearer ",
        "Bearer \udcff\udcfe",
        "Basic eDp5",
        "bearer a b",
        "\udcff",
    ):
        stranger = await WebSocket.open(server.url, Authorization=header)
        await stranger.receive()
        stranger.send("40")
        answer = Codec("json").read(await stranger.receive())
        assert answer[2]["data"]["code"] == "unauthorized", header
        stranger.close()


async def test_after_a_refusal_the_right_token_is_still_taken(server: Server) -> None:
    stranger = await WebSocket.open(server.url)
    await stranger.receive()
    codec = Codec("json")
    refusals = MAX_JOINS - 1
    stranger.send(*["40{}"] * refusals, codec.connect({"token": token()}))
    kinds = [codec.read(await stranger.receive())[0] for _ in range(refusals + 1)]
    assert kinds == [*[4] * refusals, 0]
    stranger.close()


async def test_who_is_refused_again_and_again_has_to_connect_anew(server: Server) -> None:
    stranger = await WebSocket.open(server.url)
    await stranger.receive()
    stranger.send(*["40{}"] * 100)
    refused, _ = await stranger.rest()
    assert len(refused) == MAX_JOINS


async def opened(server: Server, packet: str | bytes) -> Session:
    parser = "msgpack" if isinstance(packet, bytes) else "json"
    return await Session.open(server.url, "rider", fresh("mallory"), parser)


async def ends(session: Session, *packets: str | bytes) -> None:
    session.socket.send(*packets)
    assert await session.ends() == (UNREADABLE, 1000)
    await session.socket.is_over()


async def refused(server: Server, parser: str, auth: object, code: str) -> None:
    """CONNECT with this is answered by a CONNECT_ERROR."""
    stranger, codec = await WebSocket.open(server.url), Codec(parser)
    await stranger.receive()
    stranger.send(codec.connect(auth))
    kind, _, data = codec.read(await stranger.receive())
    assert (kind, data["data"]["code"]) == (4, code)
    stranger.close()


def token() -> str:
    return mint("rider", fresh("mallory"))
