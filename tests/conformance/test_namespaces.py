"""Joining and leaving namespaces, of every parser on every transport."""

from typing import Any, Final

import pytest
from aiohttp import web

from realtime.gateway import Gateway, Refused
from realtime.plain import PlainClient, PlainNamespace
from tests.apps import served
from tests.conformance.conftest import PATIENT, Mounted
from tests.conformance.sessions import (
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    SOCKETIO,
    Client,
    OverPolling,
    OverWebSocket,
    Packet,
    Session,
)

NORMAL, POLICY_VIOLATION = 1000, 1008
AUTH: Final[dict[str, Any]] = {
    "token": "123",
    "nested": {"list": [1, None, True], "text": "Grüße 👋"},
}


async def test_the_main_namespace_is_joined(client: Client) -> None:
    await client.join()
    await client.echoes("hello")


async def test_another_is_joined_without_the_main_one(client: Client) -> None:
    await client.join("/custom")
    await client.echoes("hello", namespace="/custom")


@pytest.mark.parametrize("namespace", ["/", "/custom"])
@pytest.mark.parametrize("auth", [None, {}, AUTH], ids=["none", "empty", "some"])
async def test_what_is_sent_along_reaches_the_handlers(
    client: Client, namespace: str, auth: dict[str, Any] | None
) -> None:
    await client.join(namespace, auth)


async def test_packets_are_written_as_the_protocol_has_them(server: Mounted) -> None:
    session = await OverWebSocket.open(server.url, SOCKETIO)
    await session.send("40", '40/custom,{"token":"123"}', "40/random")
    packets = [str(await session.receive()) for _ in range(5)]
    assert packets[0].startswith('40{"sid":"')
    assert packets[1] == '42["auth",{}]'
    assert packets[2].startswith('40/custom,{"sid":"')
    assert packets[3] == '42/custom,["auth",{"token":"123"}]'
    assert packets[4] == '44/random,{"message":"Invalid namespace"}'
    session.close()


async def test_ids_differ_from_each_other_and_from_the_sessions(client: Client) -> None:
    ids = {client.session.sid}
    for namespace in ("/", "/custom"):
        for _ in range(3):
            ids.add(await client.join(namespace))
            await client.send(DISCONNECT, namespace=namespace)
    assert len(ids) == 7


@pytest.mark.parametrize(
    "namespace", ["/random", "/custom/deeper", "/Custom", "/custom ", "/0", "//", "/😀", "/a-b_c.d"]
)
async def test_an_unknown_namespace_is_refused_and_nothing_else_happens(
    client: Client, namespace: str
) -> None:
    await client.is_refused(namespace)
    await client.join()
    await client.is_refused(namespace)
    await client.echoes("still here")


async def test_a_very_long_name_is_refused_too(client: Client) -> None:
    await client.is_refused("/" + "x" * 50_000)


async def test_a_query_is_no_part_of_the_name(server: Mounted, transport: type[Session]) -> None:
    client = await Client.open(server.url, "json", transport)
    await client.send(CONNECT, namespace="/custom?token=123&a=b")
    assert (await client.receive()).namespace == "/custom"
    assert await client.receive() == Packet(EVENT, ["auth", {}], "/custom")
    client.close()


async def test_joining_twice_is_joining_once(client: Client) -> None:
    await client.join("/custom", {"number": 1})
    await client.send(CONNECT, {"number": 2}, namespace="/custom")
    await client.echoes("hello", namespace="/custom")


async def test_events_go_to_their_namespace(client: Client) -> None:
    await client.join()
    await client.join("/custom")
    for number in range(5):
        await client.echoes(number)
        await client.echoes(number, namespace="/custom")


async def test_after_leaving_the_main_one_the_session_stays(client: Client) -> None:
    await client.join()
    await client.send(DISCONNECT)
    await client.is_refused()
    await client.join("/custom")
    await client.echoes("hello", namespace="/custom")


async def test_leaving_one_leaves_the_others(client: Client) -> None:
    await client.join()
    await client.join("/custom")
    await client.send(DISCONNECT, namespace="/custom")
    await client.echoes("hello")
    await client.join("/custom")
    await client.send(DISCONNECT)
    await client.echoes("hello", namespace="/custom")


async def test_who_comes_back_is_told_what_it_sent_this_time(client: Client) -> None:
    for number in range(3):
        await client.join("/custom", {"number": number})
        await client.send(DISCONNECT, namespace="/custom")


@pytest.mark.parametrize("kind", [EVENT, DISCONNECT])
async def test_a_packet_for_a_namespace_that_was_left_closes_the_connection(
    client: Client, kind: int
) -> None:
    await client.join()
    await client.join("/custom")
    await client.send(DISCONNECT, namespace="/custom")
    await client.send(kind, ["message"] if kind == EVENT else None, namespace="/custom")
    assert await client.session.ends() == []


@pytest.mark.parametrize("namespace", ["/", "/custom", "/random"])
async def test_a_packet_for_a_namespace_that_was_never_joined_closes_the_connection(
    client: Client, namespace: str
) -> None:
    await client.emit("message", namespace=namespace)
    assert await client.session.ends() == []


async def test_many_namespaces_are_joined_at_once(parser: str, transport: type[Session]) -> None:
    names = [f"/number/{number}" for number in range(200)]
    gateway, app = Gateway(PATIENT), web.Application()
    for name in names:
        gateway.add(_whispering(name))
    gateway.attach(app)
    async with served(app) as url:
        client = await Client.open(url, parser, transport)
        ids = {await client.connect(name) for name in names}
        assert len(ids) == 200
        for name in reversed(names):
            await client.emit("whisper", "psst", namespace=name)
            assert await client.receive() == Packet(EVENT, [name, "psst"], name)
        client.close()


def _whispering(name: str) -> PlainNamespace:
    namespace = PlainNamespace(name)
    namespace.on("whisper")(lambda client, word: client.emit(name, word))
    return namespace


async def test_a_namespace_may_refuse_and_say_why(server: Mounted, client: Client) -> None:
    guarded = PlainNamespace("/guarded")

    @guarded.guard
    def admit(client: PlainClient) -> None:
        if client.auth.get("token") != "right":
            raise Refused("wrong token", {"code": "unauthorized"})

    server.gateway.add(guarded)
    refusal = {"message": "wrong token", "data": {"code": "unauthorized"}}
    for auth in (None, {"token": "wrong"}):
        await client.send(CONNECT, auth, namespace="/guarded")
        assert await client.receive() == Packet(CONNECT_ERROR, refusal, "/guarded")
    await client.connect("/guarded", {"token": "right"})


async def test_whom_the_server_sends_away_is_told_and_closed(
    server: Mounted, client: Client
) -> None:
    await client.connect("/asking")
    await client.emit("send-away", namespace="/asking")
    assert await client.receive() == Packet(DISCONNECT, None, "/asking")
    assert await client.session.ends() == []


async def test_handlers_hear_of_every_leaving_once(server: Mounted) -> None:
    reasons: list[str] = []
    for name in ("/", "/custom"):
        namespace = PlainNamespace(name)
        namespace.on("disconnect")(lambda _client, reason: reasons.append(reason))
        server.gateway.add(namespace)
    client = await Client.open(server.url)
    for name in ("/", "/custom"):
        await client.connect(name)
    await client.send(DISCONNECT)
    await client.is_refused()
    assert reasons == ["client namespace disconnect"]
    await client.session.send("1")
    await client.session.ends()
    assert reasons == ["client namespace disconnect", "client disconnect"]


async def test_the_close_codes_tell_who_had_joined(server: Mounted) -> None:
    for joined, code in ((True, NORMAL), (False, POLICY_VIOLATION)):
        client = await Client.open(server.url)
        if joined:
            await client.join()
        await client.session.send("4abc")
        assert isinstance(client.session, OverWebSocket)
        await client.session.ends_with(code)


async def test_a_waiting_poll_brings_the_answer_to_joining(server: Mounted) -> None:
    session = await OverPolling.open(server.url, SOCKETIO)
    poll = await session.waiting()
    await session.send("40")
    assert (await poll.response()).body.startswith(b'40{"sid":"')
