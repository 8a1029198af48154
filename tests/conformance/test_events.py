"""Events and acknowledgements, both ways, with and without binary data."""

import asyncio
from typing import Any, Final

import pytest

from tests.cases import case
from tests.conformance.conftest import PATIENT, Mounted
from tests.conformance.sessions import (
    ACK,
    BINARY_ACK,
    EVENT,
    SOCKETIO,
    Client,
    Message,
    OverPolling,
    Packet,
    Session,
)

VALUES: Final[dict[str, list[Any]]] = {
    "nothing": [],
    "several": [1, "2", {"3": [True]}],
    "every kind": [None, True, False, 0, -1, 2**53 - 1, 0.5, "", [], {}],
    "text": ['Grüße "\\ 👋\n\0\x1e', "[{,", "1-"],
    "deep": [{"a": [{"b": [{"c": [[[[]]]]}]}]}],
    "bytes": [b"\1\2\3", b"\4\5\6"],
    "bytes within": [{"a": [b"one", {"b": b"two"}], "c": b""}, "text", b"\xff" * 1_000],
    "the same bytes": [b"twice", b"twice"],
    "what looks like an attachment": [{"_placeholder": False, "num": 0}, {"num": 1}],
}


@pytest.fixture(params=["/", "/custom"])
async def joined(client: Client, request: pytest.FixtureRequest) -> str:
    """A namespace that the client has joined."""
    await client.join(request.param)
    return str(request.param)


async def test_an_event_goes_and_comes_as_it_is(client: Client, joined: str) -> None:
    for what, values in VALUES.items():
        with case(what):
            await client.echoes(*values, namespace=joined)


async def test_an_event_is_acknowledged_with_what_it_brought(client: Client, joined: str) -> None:
    for what, values in VALUES.items():
        with case(what):
            await client.emit("message-with-ack", *values, namespace=joined, id=456)
            answer = await client.receive()
            assert answer.kind in (ACK, BINARY_ACK)
            assert answer == Packet(answer.kind, values, joined, 456)


ONE: Final = '{"_placeholder":true,"num":0}'
TWO: Final = '{"_placeholder":true,"num":1}'
SENT_AND_ANSWERED: Final[dict[str, tuple[list[Message], list[Message]]]] = {
    "an event": (
        ['42["message",1,"2",{"3":[true]}]'],
        ['42["message-back",1,"2",{"3":[true]}]'],
    ),
    "an event with attachments": (
        [f'452-["message",{ONE},{TWO}]', b"\1\2\3", b"\4\5\6"],
        [f'452-["message-back",{ONE},{TWO}]', b"\1\2\3", b"\4\5\6"],
    ),
    "an event that is acknowledged": (
        ['42456["message-with-ack",1,"2",{"3":[false]}]'],
        ['43456[1,"2",{"3":[false]}]'],
    ),
    "an event with attachments that is acknowledged": (
        [f'452-789["message-with-ack",{ONE},{TWO}]', b"\1\2\3", b"\4\5\6"],
        [f"462-789[{ONE},{TWO}]", b"\1\2\3", b"\4\5\6"],
    ),
    "attachments in another order": (
        [f'452-["message",{TWO},{ONE}]', b"one", b"two"],
        [f'452-["message-back",{ONE},{TWO}]', b"two", b"one"],
    ),
    "one attachment in two places": (
        [f'451-["message",{ONE},[{ONE}]]', b"one"],
        [f'452-["message-back",{ONE},[{TWO}]]', b"one", b"one"],
    ),
    "an attachment that nothing stands for": (
        ['451-["message","text"]', b"one"],
        ['42["message-back","text"]'],
    ),
    "no attachments where some could be": (['450-["message",1]'], ['42["message-back",1]']),
    "a placeholder where no attachments are": (
        [f'42["message",{ONE}]'],
        [f'42["message-back",{ONE}]'],
    ),
    "space between values": (['42[ "message" , 1 ]'], ['42["message-back",1]']),
    "a pong between the attachments": (
        [f'452-["message",{ONE},{TWO}]', "3", b"one", "3", b"two"],
        [f'452-["message-back",{ONE},{TWO}]', b"one", b"two"],
    ),
}


@pytest.mark.parametrize(("sent", "answered"), SENT_AND_ANSWERED.values(), ids=SENT_AND_ANSWERED)
async def test_packets_are_written_as_the_protocol_has_them(
    server: Mounted, transport: type[Session], sent: list[Message], answered: list[Message]
) -> None:
    client = await Client.open(server.url, "json", transport)
    await client.join()
    await client.session.send(*sent)
    assert [await client.session.receive() for _ in answered] == answered
    client.close()


async def test_packets_of_another_namespace_name_it_before_the_id(server: Mounted) -> None:
    client = await Client.open(server.url)
    await client.join("/custom")
    await client.session.send(f'451-/custom,7["message-with-ack",{ONE}]', b"one")
    assert [await client.session.receive() for _ in range(2)] == [f"461-/custom,7[{ONE}]", b"one"]
    client.close()


@pytest.mark.parametrize("ack_id", [0, 1, 2**31, 2**53 - 1, 10**16 - 1])
async def test_an_id_comes_back_as_it_was(client: Client, ack_id: int) -> None:
    await client.join()
    await client.emit("message-with-ack", "x", id=ack_id)
    assert await client.receive() == Packet(ACK, ["x"], "/", ack_id)


async def test_msgpack_ids_have_64_bits(server: Mounted) -> None:
    client = await Client.open(server.url, "msgpack")
    await client.join()
    await client.emit("message-with-ack", id=2**64 - 1)
    assert (await client.receive()).id == 2**64 - 1
    client.close()


async def test_an_event_that_asks_for_nothing_gets_nothing(client: Client) -> None:
    await client.join()
    await client.emit("message-with-ack", "quiet")
    await client.emit("no:such:event", "quiet", id=5)
    await client.echoes("the next")


async def test_an_event_whose_handler_returns_nothing_is_acknowledged_with_nothing(
    client: Client,
) -> None:
    await client.join()
    await client.emit("message", 1, id=7)
    assert await client.receive() == Packet(EVENT, ["message-back", 1])
    assert await client.receive() == Packet(ACK, [], "/", 7)


async def test_thousands_of_events_keep_their_order(client: Client) -> None:
    await client.join()
    packets = [p for n in range(2_000) for p in client.packets(EVENT, ["message", n])]
    await client.session.send(*packets)
    for number in range(2_000):
        assert await client.receive() == Packet(EVENT, ["message-back", number])


async def test_thousands_of_acknowledgements_keep_theirs(client: Client) -> None:
    await client.join()
    for start in range(0, 3_000, 500):
        packets = [
            packet
            for number in range(start, start + 500)
            for packet in client.packets(EVENT, ["message-with-ack", b"%d" % number], id=number)
        ]
        await client.session.send(*packets)
        for number in range(start, start + 500):
            answer = await client.receive()
            assert (answer.id, answer.data) == (number, [b"%d" % number])


async def test_events_with_and_without_attachments_do_not_mix(client: Client) -> None:
    await client.join()
    await client.join("/custom")
    for number in range(50):
        await client.emit("message", b"%d" % number, number, namespace="/custom")
        await client.emit("message", number)
    for number in range(50):
        values = ["message-back", b"%d" % number, number]
        answer = await client.receive()
        assert (answer.namespace, answer.data) == ("/custom", values)
        assert (await client.receive()).data == ["message-back", number]


async def test_up_to_ten_attachments_are_taken(client: Client) -> None:
    await client.join()
    for count in range(1, 11):
        with case(count):
            await client.echoes(*[bytes([number]) * number for number in range(count)])


async def test_attachments_as_large_as_a_message_may_be_are_taken(
    server: Mounted, parser: str
) -> None:
    client = await Client.open(server.url, parser)
    await client.join()
    await client.echoes(b"x" * (PATIENT.max_payload - 100))
    client.close()


async def test_attachments_that_are_more_than_that_together_are_not(server: Mounted) -> None:
    client = await Client.open(server.url)
    await client.join()
    half = bytes(PATIENT.max_payload // 2)
    await client.session.send(f'453-["message",{ONE},{TWO}]', half, half, b"x")
    assert await client.session.ends() == []


NO_ATTACHMENTS: Final[dict[str, list[Message]]] = {
    "text instead": [f'451-["message",{ONE}]', '42["message"]'],
    "text between": [f'452-["message",{ONE},{TWO}]', b"one", '42["message"]'],
    "leaving instead": [f'451-["message",{ONE}]', "41"],
    "joining instead": [f'451-["message",{ONE}]', "40/custom,"],
    "another with attachments instead": [f'451-["message",{ONE}]', f'451-["message",{ONE}]'],
    "one too many": [f'451-["message",{ONE}]', b"one", b"two"],
    "unannounced": [b"one"],
    "after an event without": ['42["message",1]', b"one"],
    "more than ten": ['4511-["message"]'],
    "thousands": ['459999-["message"]'],
    "more than a number holds": ["45" + "9" * 50 + '-["message"]'],
    "less than none": ['45-1-["message"]'],
    "half of one": ['450.5-["message"]'],
    "not said how many": ['45-["message"]'],
    "not said that there are": ['45["message"]'],
    "of an event that has none": ['421-["message"]', b"one"],
    "a placeholder for a later one": [f'451-["message",{TWO}]', b"one"],
    "a placeholder far out": ['451-["message",{"_placeholder":true,"num":99999999999}]', b"one"],
    "a placeholder before the first": ['451-["message",{"_placeholder":true,"num":-1}]', b"one"],
    "a placeholder for half": ['451-["message",{"_placeholder":true,"num":0.5}]', b"one"],
    "a placeholder by name": ['451-["message",{"_placeholder":true,"num":"0"}]', b"one"],
    "a placeholder by truth": ['451-["message",{"_placeholder":true,"num":false}]', b"one"],
    "a placeholder for nothing": ['451-["message",{"_placeholder":true}]', b"one"],
    "a placeholder as name": [f"451-[{ONE}]", b"message"],
    "an acknowledgement with one missing": [f"461-1[{TWO}]", b"one"],
}


@pytest.mark.parametrize("packets", NO_ATTACHMENTS.values(), ids=NO_ATTACHMENTS)
async def test_attachments_against_the_rules_close_the_connection(
    server: Mounted, transport: type[Session], packets: list[Message]
) -> None:
    client = await Client.open(server.url, "json", transport)
    await client.join()
    await client.session.send(*packets, '42["message","too late"]')
    assert not [packet for packet in await client.session.ends() if "too late" in str(packet)]


async def test_attachments_that_never_come_hold_up_nobody_else(server: Mounted) -> None:
    slow, other = await Client.open(server.url), await Client.open(server.url)
    await slow.join()
    await other.join()
    await slow.session.send(f'451-["message",{ONE}]')
    await other.echoes("hello")
    server.later(PATIENT.ping_interval_s + 1)
    assert await slow.session.receive() == "2"
    await slow.session.send("3", b"at last")
    assert (await slow.receive()).data == ["message-back", b"at last"]
    slow.close()
    other.close()


async def test_brackets_around_an_attachment_are_taken_or_close_the_connection(
    server: Mounted,
) -> None:
    """As many as the parser takes; nothing fails on the way."""
    for depth in (10, 100, 400, 600, 900, 5_000):
        client = await Client.open(server.url)
        await client.join()
        deep = "[" * depth + ONE + "]" * depth
        event = f'451-["no:such:event",{deep}]'
        await client.session.send(event, b"one", '42["message",1]', "1")
        assert await client.session.ends() in ([], ['42["message-back",1]'])


async def test_a_client_acknowledges_what_it_was_asked(client: Client) -> None:
    await client.connect("/asking")
    for what, values in VALUES.items():
        with case(what):
            await client.emit("ask", *values, namespace="/asking")
            question = await client.receive()
            assert (question.namespace, question.data) == ("/asking", ["question", *values])
            await client.send(ACK, values, namespace="/asking", id=question.id)
            assert (await client.receive()).data == ["answered", *values]


async def test_answers_may_come_in_any_order(client: Client) -> None:
    await client.connect("/asking")
    for number in range(20):
        await client.emit("ask", number, namespace="/asking")
    questions = [await client.receive() for _ in range(20)]
    assert len({question.id for question in questions}) == 20
    for question in reversed(questions):
        answer = [question.data[1], b"binary"]
        await client.send(ACK, answer, namespace="/asking", id=question.id)
    answers = [(await client.receive()).data for _ in range(20)]
    assert answers == [["answered", number, b"binary"] for number in reversed(range(20))]


async def test_answers_that_nobody_waits_for_are_dropped(client: Client) -> None:
    await client.connect("/asking")
    await client.send(ACK, ["early"], namespace="/asking", id=1)
    await client.emit("ask", "?", namespace="/asking")
    question = await client.receive()
    for answer in ("first", "second"):
        await client.send(ACK, [answer], namespace="/asking", id=question.id)
    await client.send(ACK, ["of nothing"], namespace="/asking", id=10**15)
    await client.send(ACK, ["without an id"], namespace="/asking")
    assert (await client.receive()).data == ["answered", "first"]
    await client.is_refused()


async def test_an_answer_to_another_namespace_is_none(client: Client) -> None:
    await client.connect("/asking")
    await client.join()
    await client.emit("ask", "?", namespace="/asking")
    question = await client.receive()
    await client.send(ACK, ["wrong"], id=question.id)
    await client.send(ACK, ["right"], namespace="/asking", id=question.id)
    assert (await client.receive()).data == ["answered", "right"]


async def test_attachments_reach_a_polling_client_in_base64(server: Mounted) -> None:
    session = await OverPolling.open(server.url, SOCKETIO)
    client = Client(session, "json")
    await client.join()
    await client.emit("message", b"\1\2\3")
    response = await session.poll()
    assert response.body == f'451-["message-back",{ONE}]\x1ebAQID'.encode()


async def test_packets_of_one_client_are_no_business_of_another(
    server: Mounted, parser: str
) -> None:
    clients = [await Client.open(server.url, parser) for _ in range(20)]

    async def talk(number: int, client: Client) -> None:
        await client.join()
        for word in range(20):
            await client.echoes(number, b"%d" % word)
        client.close()

    await asyncio.gather(*(talk(number, client) for number, client in enumerate(clients)))
