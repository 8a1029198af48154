"""Long-polling: packets both ways, what ends a session, and what it answers then."""

import asyncio
from typing import Final

import pytest

from tests.conformance.conftest import PATIENT, Mounted
from tests.conformance.sessions import (
    ENGINEIO,
    SOCKETIO,
    Client,
    Message,
    OverPolling,
    packets_of,
    together,
    websocket,
)
from tests.hostile.raw import UPGRADE, Http, request


@pytest.fixture
async def session(server: Mounted) -> OverPolling:
    return await OverPolling.open(server.url, ENGINEIO)


@pytest.mark.parametrize(
    "packets",
    [
        ["4hello"],
        ["4one", "4two", "4three"],
        ["4hello", b"\1\2\3\4"],
        [b"", b"\x1e\x1e", b"b4", bytes(range(256))],
        ["4", "4Grüße 👋 \0\n", "4bAQID", "441"],
        [f"4{number}" for number in range(1_000)],
    ],
    ids=["text", "several", "text and bytes", "bytes", "strange text", "a thousand"],
)
async def test_what_is_posted_comes_back_with_one_poll_and_in_order(
    session: OverPolling, packets: list[Message]
) -> None:
    await session.send(*packets)
    response = await session.poll()
    assert response.status == 200
    assert packets_of(response) == packets


async def test_a_post_is_answered_with_ok(session: OverPolling) -> None:
    response = await session.post(b"4hello")
    assert (response.status, response.body) == (200, b"ok")


async def test_a_poll_waits_until_there_is_something(session: OverPolling) -> None:
    poll = await session.waiting()
    await session.send("4at last")
    assert (await poll.response()).body == b"4at last"


async def test_a_poll_brings_what_came_since_the_last_one(session: OverPolling) -> None:
    for number in range(20):
        await session.send(f"4{number}", bytes([number]))
    received = [await session.receive() for _ in range(40)]
    assert received[::2] == [f"4{number}" for number in range(20)]
    assert received[1::2] == [bytes([number]) for number in range(20)]


async def test_requests_on_one_connection_are_answered_in_turn(
    server: Mounted, session: OverPolling
) -> None:
    http = await Http.open(server.url)
    for number in range(3):
        http.ask("POST", session.target, {}, b"4%d" % number)
        http.ask("GET", session.target, {})
        assert (await http.response()).body == b"ok"
        assert (await http.response()).body == b"4%d" % number
    http.close()


NO_PACKETS: Final = {
    "no packet type": b"abc",
    "no packet": b"",
    "only a separator": b"\x1e",
    "nothing between two": b"4a\x1e\x1e4b",
    "nothing at the end": b"4a\x1e",
    "an unknown type": b"9",
    "the server's opening": b"0{}",
    "a ping, which is the server's": b"2",
    "a probe, which is for a WebSocket": b"2probe",
    "no base64": b"b!!!!",
    "half of base64": b"bAAA",
    "text that is not UTF-8": b"4\xff\xfe",
}


@pytest.mark.parametrize("path", [ENGINEIO, SOCKETIO])
@pytest.mark.parametrize("body", NO_PACKETS.values(), ids=NO_PACKETS)
async def test_what_is_no_packet_ends_the_session(server: Mounted, body: bytes, path: str) -> None:
    session = await OverPolling.open(server.url, path)
    await session.post(body)
    await session.is_over()


async def test_what_comes_after_such_a_packet_is_not_looked_at(server: Mounted) -> None:
    session = await OverPolling.open(server.url, ENGINEIO)
    poll = await session.waiting()
    await session.post(b"9\x1e4hello")
    assert (await poll.response()).body == b"1"
    await session.is_over()


async def test_of_two_polls_at_once_the_first_is_told_the_end_and_the_second_refused(
    session: OverPolling,
) -> None:
    poll = await session.waiting()
    assert (await session.poll()).status == 400
    response = await poll.response()
    assert (response.status, response.body) == (200, b"1")
    await session.is_over()


async def test_a_poll_that_was_given_up_cannot_swallow_what_is_for_the_next(
    session: OverPolling,
) -> None:
    poll = await session.waiting()
    poll.writer.transport.abort()
    assert (await session.poll()).status == 400
    await session.is_over()


async def test_the_clients_close_ends_its_waiting_poll(session: OverPolling) -> None:
    poll = await session.waiting()
    await session.send("1")
    response = await poll.response()
    assert (response.status, response.body) == (200, b"6")
    await session.is_over()


async def test_after_the_clients_close_there_is_nothing_to_fetch(session: OverPolling) -> None:
    await session.send("4too late", "1", "4far too late")
    await session.is_over()


@pytest.mark.parametrize("path", [ENGINEIO, SOCKETIO])
async def test_a_waiting_poll_is_answered_when_the_server_stops(server: Mounted, path: str) -> None:
    polls = [await (await OverPolling.open(server.url, path)).waiting() for _ in range(5)]
    *responses, _ = await together(*(poll.response() for poll in polls), server.stop())
    assert [(response.status, response.body) for response in responses] == [(200, b"1")] * 5


async def test_a_waiting_poll_is_answered_when_the_server_ends_the_session(
    server: Mounted, session: OverPolling
) -> None:
    poll = await session.waiting()
    server.echo.engine.sockets[session.sid].end()
    assert (await poll.response()).body == b"1"
    await session.is_over()


async def test_last_words_are_fetched_before_the_session_is_over(server: Mounted) -> None:
    client = await Client.open(server.url, transport=OverPolling)
    await client.connect("/asking")
    await client.emit("send-away", namespace="/asking")
    assert await client.session.ends() == ["41/asking,"]
    assert isinstance(client.session, OverPolling)
    await client.session.is_over()


async def test_the_largest_body_is_taken(session: OverPolling) -> None:
    packet = "4" + "x" * (PATIENT.max_payload - 1)
    await session.send(packet)
    assert await session.receive() == packet


@pytest.mark.parametrize("path", [ENGINEIO, SOCKETIO])
@pytest.mark.parametrize("parts", [1, 2, 1_000])
async def test_a_body_that_is_larger_ends_the_session(
    server: Mounted, path: str, parts: int
) -> None:
    session = await OverPolling.open(server.url, path)
    part = b"4" + b"x" * (PATIENT.max_payload // parts)
    assert (await session.post(b"\x1e".join([part] * parts))).status == 400
    await session.is_over()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": str(PATIENT.max_payload + 1)},
        {"Content-Length": str(10**15)},
        {"Content-Length": "0"},
        {"Transfer-Encoding": "chunked"},
    ],
    ids=str,
)
async def test_a_body_that_does_not_say_its_size_or_too_much_is_not_waited_for(
    session: OverPolling, headers: dict[str, str]
) -> None:
    http = await Http.open(session.url)
    http.ask("POST", session.target, headers)
    assert (await http.response()).status == 400
    http.close()
    await session.is_over()


async def test_binary_data_counts_as_it_is_sent(session: OverPolling) -> None:
    """In base64, that is: four bytes for three."""
    fits = bytes((PATIENT.max_payload - 1) // 4 * 3)
    await session.send(fits)
    assert await session.receive() == fits
    assert (await session.post(b"b" + b"A" * PATIENT.max_payload)).status == 400
    await session.is_over()


async def test_sessions_do_not_hear_each_other(server: Mounted) -> None:
    sessions = [await OverPolling.open(server.url, ENGINEIO) for _ in range(10)]

    async def talk(session: OverPolling) -> None:
        for number in range(20):
            await session.send(f"4{session.sid} {number}")
            assert await session.receive() == f"4{session.sid} {number}"

    await together(*(talk(session) for session in sessions))


async def test_a_session_of_one_server_is_none_of_the_other(server: Mounted) -> None:
    session = await OverPolling.open(server.url, ENGINEIO)
    stranger = OverPolling(server.url, SOCKETIO, session.opening)
    await stranger.is_over()
    await session.is_alive()


async def test_posts_at_once_are_all_taken(session: OverPolling) -> None:
    await together(*(session.send(f"4{number}") for number in range(20)))
    received = [await session.receive() for _ in range(20)]
    assert sorted(received, key=str) == sorted(f"4{number}" for number in range(20))


async def test_a_closed_session_takes_no_websocket(session: OverPolling) -> None:
    await session.send("1")
    target = websocket(ENGINEIO, session.sid)
    assert (await request(session.url, "GET", target, UPGRADE)).status == 400


async def test_many_polls_wait_side_by_side(server: Mounted) -> None:
    sessions = [await OverPolling.open(server.url, ENGINEIO) for _ in range(50)]
    polls = await asyncio.gather(*(session.waiting() for session in sessions))
    for number, session in enumerate(sessions):
        await session.send(f"4{number}")
    for number, poll in enumerate(polls):
        assert (await poll.response()).body == b"4%d" % number
