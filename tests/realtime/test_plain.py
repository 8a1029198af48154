"""Handlers of one's own: who may join, what a handler is given, what becomes of its result."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from realtime.gateway import Gateway, Refused
from realtime.plain import PlainClient, PlainNamespace
from tests.apps import served
from tests.clients import WAIT_S
from tests.conformance.sessions import (
    ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    Client,
    OverPolling,
    Packet,
)
from tests.hostile.process import until

Open = Callable[..., Awaitable[Client]]


@pytest.fixture
def lobby() -> PlainNamespace:
    return PlainNamespace("/lobby")


@pytest.fixture
async def gateway(lobby: PlainNamespace) -> Gateway:
    gateway = Gateway()
    gateway.add(lobby)
    gateway.add(PlainNamespace())
    return gateway


@pytest.fixture
async def open_client(gateway: Gateway) -> AsyncIterator[Open]:
    """Opens clients that have joined nothing yet, and closes them after the test."""
    app = web.Application()
    gateway.attach(app)
    opened: list[Client] = []
    async with served(app) as url:

        async def open_one(*args: Any) -> Client:
            opened.append(await Client.open(url, *args))
            return opened[-1]

        yield open_one
        for client in opened:
            client.close()


@pytest.fixture(params=["json", "msgpack"])
async def client(request: pytest.FixtureRequest, open_client: Open) -> Client:
    """A client that has joined the lobby."""
    client = await open_client(request.param)
    await client.connect("/lobby")
    return client


async def ask(client: Client, event: str, *values: Any) -> list[Any]:
    """Emit, and return the acknowledgement, which is the next packet."""
    await client.emit(event, *values, namespace="/lobby", id=9)
    answer = await client.receive()
    assert (answer.namespace, answer.id) == ("/lobby", 9), answer
    assert isinstance(answer.data, list)
    return answer.data


class TestJoining:
    async def test_the_guard_sees_what_was_sent_along(
        self, lobby: PlainNamespace, open_client: Open
    ) -> None:
        seen: list[Any] = []
        lobby.guard(lambda client: seen.append(client.auth))
        client = await open_client()
        for auth in (None, {}, {"token": "x"}):
            await client.connect("/lobby", auth)
            await client.send(DISCONNECT, namespace="/lobby")
        assert seen == [{}, {}, {"token": "x"}]

    @pytest.mark.parametrize(
        ("refusal", "error"),
        [
            (Refused("no"), {"message": "no"}),
            (Refused("no", {"code": 7}), {"message": "no", "data": {"code": 7}}),
            (Refused("no", []), {"message": "no", "data": []}),
        ],
    )
    async def test_whom_the_guard_refuses_is_told_why_and_has_not_joined(
        self, lobby: PlainNamespace, open_client: Open, refusal: Refused, error: dict[str, Any]
    ) -> None:
        joined: list[PlainClient] = []

        @lobby.guard
        def admit(_client: PlainClient) -> None:
            raise refusal

        lobby.on("connect")(joined.append)
        lobby.on("disconnect")(lambda client, _reason: joined.append(client))
        client = await open_client()
        await client.send(CONNECT, namespace="/lobby")
        assert await client.receive() == Packet(CONNECT_ERROR, error, "/lobby")
        await client.connect()
        await client.send(DISCONNECT, namespace="/lobby")
        assert await client.session.ends() == []
        assert joined == []

    async def test_a_guard_that_fails_lets_nobody_in(
        self, lobby: PlainNamespace, open_client: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        lobby.guard(lambda client: client.auth["token"])
        client = await open_client()
        await client.send(CONNECT, namespace="/lobby")
        refusal = {"message": "the server failed"}
        assert await client.receive() == Packet(CONNECT_ERROR, refusal, "/lobby")
        assert "a guard failed" in caplog.text
        await client.connect("/lobby", {"token": "x"})

    async def test_handlers_hear_of_a_client_from_joining_to_leaving(
        self, lobby: PlainNamespace, open_client: Open
    ) -> None:
        told: list[tuple[str, PlainClient]] = []
        lobby.on("connect")(lambda client: told.append(("joined", client)))
        lobby.on("disconnect")(lambda client, reason: told.append((reason, client)))
        client = await open_client()
        first = await client.connect("/lobby")
        await client.send(DISCONNECT, namespace="/lobby")
        second = await client.connect("/lobby")
        client.close()
        await until(lambda: len(told) == 4)
        assert [what for what, _ in told] == [
            "joined",
            "client namespace disconnect",
            "joined",
            "transport close",
        ]
        assert [told_of.id for _, told_of in told] == [first, first, second, second]
        assert [told_of.has_left for _, told_of in told] == [True] * 4

    async def test_what_the_connect_handler_emits_arrives_after_the_id(
        self, lobby: PlainNamespace, open_client: Open
    ) -> None:
        @lobby.on("connect")
        async def greet(client: PlainClient) -> None:
            client.emit("hello", client.id)

        client = await open_client("json", OverPolling)
        sid = await client.connect("/lobby")
        assert await client.receive() == Packet(EVENT, ["hello", sid], "/lobby")

    async def test_a_name_that_is_opened_again_has_the_newer_handlers(
        self, gateway: Gateway, lobby: PlainNamespace, open_client: Open
    ) -> None:
        newer = PlainNamespace("/lobby")
        for namespace, name in ((lobby, "older"), (newer, "newer")):
            namespace.on("who")(lambda _client, name=name: name)
        gateway.add(newer)
        client = await open_client()
        await client.connect("/lobby")
        assert await ask(client, "who") == ["newer"]


class TestResults:
    @pytest.mark.parametrize(
        ("result", "acknowledged"),
        [
            (None, []),
            ((), []),
            ((1,), [1]),
            ((1, "2", None), [1, "2", None]),
            ([1, 2], [[1, 2]]),
            ("text", ["text"]),
            (0, [0]),
            (False, [False]),
            ("", [""]),
            ({}, [{}]),
            (b"bytes", [b"bytes"]),
            ((b"one", {"two": [b"two"]}), [b"one", {"two": [b"two"]}]),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("awaited", [False, True])
    async def test_a_result_acknowledges_the_event(
        self,
        lobby: PlainNamespace,
        client: Client,
        result: object,
        acknowledged: list[Any],
        awaited: bool,
    ) -> None:
        async def later(_client: PlainClient) -> object:
            await asyncio.sleep(0)
            return result

        lobby.on("give")(later if awaited else lambda _client: result)
        assert await ask(client, "give") == acknowledged

    async def test_nothing_is_answered_to_who_did_not_ask(
        self, lobby: PlainNamespace, client: Client
    ) -> None:
        lobby.on("give")(lambda _client: "unasked")
        await client.emit("give", namespace="/lobby")
        assert await ask(client, "give") == ["unasked"]

    async def test_a_handler_is_given_the_values(
        self, lobby: PlainNamespace, client: Client
    ) -> None:
        lobby.on("join")(lambda _client, *values: "+".join(values))
        assert await ask(client, "join") == [""]
        assert await ask(client, "join", "a", "b", "c") == ["a+b+c"]

    async def test_an_unknown_event_is_passed_over(
        self, lobby: PlainNamespace, client: Client
    ) -> None:
        lobby.on("known")(lambda _client: "known")
        await client.emit("unknown", namespace="/lobby", id=8)
        assert await ask(client, "known") == ["known"]

    @pytest.mark.parametrize("name", ["connect", "disconnect"])
    async def test_joining_and_leaving_cannot_be_emitted(
        self, lobby: PlainNamespace, open_client: Open, name: str
    ) -> None:
        reasons: list[object] = []
        client = await open_client()
        await client.connect("/lobby")
        lobby.on("connect")(lambda *values: reasons.append(values))
        lobby.on("disconnect")(lambda _client, reason: reasons.append(reason))
        await client.emit(name, "fake", namespace="/lobby")
        assert await client.session.ends() == []
        await until(lambda: reasons == ["server disconnect"])

    def test_the_decorators_leave_the_function_as_it_is(self, lobby: PlainNamespace) -> None:
        def function(client: PlainClient) -> None:
            """Nothing."""

        assert lobby.on("event")(function) is function
        assert lobby.guard(function) is function


class TestOrder:
    async def test_functions_are_called_in_the_order_of_the_events(
        self, lobby: PlainNamespace, client: Client
    ) -> None:
        seen: list[int] = []
        lobby.on("odd")(lambda _client, number: seen.append(number))
        lobby.on("even")(lambda _client, number: seen.append(number))
        lobby.on("end")(lambda _client: None)
        packets = [
            packet
            for number in range(1_000)
            for packet in client.packets(
                EVENT, ["odd" if number % 2 else "even", number], namespace="/lobby"
            )
        ]
        await client.session.send(*packets)
        await ask(client, "end")
        assert seen == list(range(1_000))

    async def test_a_coroutine_holds_up_nothing(
        self, lobby: PlainNamespace, client: Client
    ) -> None:
        go_on = asyncio.Event()

        @lobby.on("slow")
        async def slow(_client: PlainClient) -> str:
            await go_on.wait()
            return "slow"

        lobby.on("quick")(lambda _client: "quick")
        for number in range(3):
            await client.emit("slow", namespace="/lobby", id=number)
        assert await ask(client, "quick") == ["quick"]
        go_on.set()
        answers = [await client.receive() for _ in range(3)]
        assert [(answer.id, answer.data) for answer in answers] == [
            (number, ["slow"]) for number in range(3)
        ]

    async def test_an_answer_to_who_has_left_is_dropped(
        self, lobby: PlainNamespace, client: Client
    ) -> None:
        go_on = asyncio.Event()
        here: list[PlainClient] = []

        @lobby.on("slow")
        async def slow(client: PlainClient) -> str:
            here.append(client)
            await go_on.wait()
            client.emit("too late")
            return "too late"

        await client.emit("slow", namespace="/lobby", id=1)
        await client.send(DISCONNECT, namespace="/lobby")
        await client.connect()
        go_on.set()
        await client.connect("/lobby")
        assert here[0].has_left
        await client.is_refused()


class TestFailures:
    @pytest.mark.parametrize("awaited", [False, True])
    async def test_a_handler_that_fails_is_logged_and_everything_goes_on(
        self,
        lobby: PlainNamespace,
        client: Client,
        caplog: pytest.LogCaptureFixture,
        awaited: bool,
    ) -> None:
        async def fail_later(_client: PlainClient) -> None:
            await asyncio.sleep(0)
            raise ValueError("broken")

        def fail(_client: PlainClient) -> None:
            raise ValueError("broken")

        lobby.on("break")(fail_later if awaited else fail)
        lobby.on("work")(lambda _client: "works")
        await client.emit("break", namespace="/lobby", id=1)
        assert await ask(client, "work") == ["works"]
        await until(lambda: "broken" in caplog.text)
        assert await ask(client, "work") == ["works"], "nothing answers what failed"

    async def test_values_that_a_handler_does_not_take_are_its_failure(
        self, lobby: PlainNamespace, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        lobby.on("one")(lambda _client, one: one)
        await client.emit("one", namespace="/lobby", id=1)
        await client.emit("one", 1, 2, namespace="/lobby", id=2)
        assert await ask(client, "one", 3) == [3]
        assert caplog.text.count("a handler failed") == 2

    async def test_a_result_that_cannot_be_sent_is_a_failure(
        self, lobby: PlainNamespace, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        lobby.on("odd")(lambda _client: object())
        lobby.on("work")(lambda _client: "works")
        with caplog.at_level(logging.ERROR):
            await client.emit("odd", namespace="/lobby", id=1)
            assert await ask(client, "work") == ["works"]
        assert "a handler failed" in caplog.text

    @pytest.mark.parametrize("event", ["connect", "disconnect"])
    async def test_nor_does_a_failure_of_joining_or_leaving_matter(
        self,
        lobby: PlainNamespace,
        open_client: Open,
        caplog: pytest.LogCaptureFixture,
        event: str,
    ) -> None:
        lobby.on(event)(lambda: None)
        client = await open_client()
        for _ in range(2):
            await client.connect("/lobby")
            await client.send(DISCONNECT, namespace="/lobby")
        await client.is_refused()
        assert caplog.text.count("a handler failed") == 2


class TestCalling:
    @pytest.fixture
    async def called(self, lobby: PlainNamespace, client: Client) -> PlainClient:
        """The client as handlers have it."""
        here: asyncio.Queue[PlainClient] = asyncio.Queue()
        lobby.on("here")(here.put_nowait)
        await client.emit("here", namespace="/lobby")
        return await asyncio.wait_for(here.get(), WAIT_S)

    async def test_it_returns_what_the_client_answers(
        self, client: Client, called: PlainClient
    ) -> None:
        for values in ([], [1, "2"], [b"bytes", {"more": b"bytes"}]):
            call = asyncio.create_task(called.call("question", *values))
            question = await client.receive()
            assert (question.namespace, question.data) == ("/lobby", ["question", *values])
            await client.send(ACK, values, namespace="/lobby", id=question.id)
            assert await call == values

    async def test_who_does_not_answer_in_time_is_not_waited_for(
        self, client: Client, called: PlainClient
    ) -> None:
        with pytest.raises(TimeoutError):
            await called.call("question", within_s=0.01)
        question = await client.receive()
        call = asyncio.create_task(called.call("question"))
        second = await client.receive()
        assert question.id != second.id
        await client.send(ACK, ["too late"], namespace="/lobby", id=question.id)
        await client.send(ACK, ["in time"], namespace="/lobby", id=second.id)
        assert await call == ["in time"]

    @pytest.mark.parametrize("leave", ["leaves", "closes", "breaks off"])
    async def test_who_leaves_is_not_waited_for_either(
        self, client: Client, called: PlainClient, leave: str
    ) -> None:
        calls = [asyncio.create_task(called.call("question")) for _ in range(3)]
        for _ in range(3):
            await client.receive()
        if leave == "leaves":
            await client.send(DISCONNECT, namespace="/lobby")
        elif leave == "closes":
            await client.session.send("1")
        else:
            client.close()
        for call in calls:
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(call, WAIT_S)
        with pytest.raises(ConnectionError):
            await called.call("question")

    async def test_values_that_cannot_be_sent_are_the_callers_mistake(
        self, client: Client, called: PlainClient
    ) -> None:
        with pytest.raises(TypeError):
            await called.call("question", object())
        assert called._answers == {}
        called.emit("still here")
        assert (await client.receive()).data == ["still here"]

    async def test_who_is_sent_away_hears_it_last(
        self, client: Client, called: PlainClient
    ) -> None:
        called.emit("before")
        called.disconnect()
        called.emit("after")
        packets = [await client.receive() for _ in range(2)]
        assert [packet.kind for packet in packets] == [EVENT, DISCONNECT]
        assert await client.session.ends() == []
        await until(lambda: called.has_left)
