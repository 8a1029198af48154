"""From long-polling to WebSocket: the probe, what may not happen after it, and nothing lost."""

import asyncio
import itertools

import pytest

from tests.conformance.conftest import Mounted
from tests.conformance.sessions import (
    ENGINEIO,
    SOCKETIO,
    Client,
    Message,
    OverPolling,
    OverWebSocket,
    packets_of,
    together,
    websocket,
)
from tests.hostile.raw import WebSocket, request

POLICY_VIOLATION = 1008


@pytest.fixture
async def polling(server: Mounted) -> OverPolling:
    return await OverPolling.open(server.url, ENGINEIO)


async def test_a_session_goes_on_on_its_websocket(polling: OverPolling) -> None:
    probe = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
    probe.send("2probe")
    assert await probe.receive() == "3probe"
    response = await polling.poll()
    assert (response.status, response.body) == (200, b"6")
    probe.send("5", "4hello")
    assert await probe.receive() == "4hello"
    probe.close()


async def test_the_probe_ends_a_waiting_poll(polling: OverPolling) -> None:
    poll = await polling.waiting()
    probe = await polling.probe()
    response = await poll.response()
    assert (response.status, response.body) == (200, b"6")
    probe.close()


async def test_until_the_probe_polls_are_as_ever(polling: OverPolling) -> None:
    probe = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
    poll = await polling.waiting()
    await polling.send("4hello")
    assert (await poll.response()).body == b"4hello"
    probe.send("2probe")
    assert await probe.receive() == "3probe"
    probe.close()


async def test_no_request_after_the_upgrade_is_answered(polling: OverPolling) -> None:
    session = await polling.upgraded()
    assert (await polling.poll()).status == 400
    assert (await polling.post(b"4x")).status == 400
    await session.is_alive()
    session.close()


async def test_nor_when_the_client_did_not_wait_for_the_probe(polling: OverPolling) -> None:
    probe = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
    probe.send("2probe", "5")
    assert await probe.receive() == "3probe"
    assert (await polling.poll()).status == 400
    probe.send("4hello")
    assert await probe.receive() == "4hello"
    probe.close()


async def test_a_poll_that_waits_meanwhile_is_answered_all_the_same(polling: OverPolling) -> None:
    poll = await polling.waiting()
    probe = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
    probe.send("2probe", "5", "4hello")
    assert (await poll.response()).body == b"6"
    assert [await probe.receive() for _ in range(2)] == ["3probe", "4hello"]
    probe.close()


async def test_a_second_websocket_after_the_upgrade_is_closed(polling: OverPolling) -> None:
    session = await polling.upgraded()
    second = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
    assert await second.rest() == ([], POLICY_VIOLATION)
    await session.is_alive()
    session.close()


async def test_a_second_websocket_during_the_upgrade_is_closed(polling: OverPolling) -> None:
    first = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
    for _ in range(2):
        second = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
        second.send("2probe", "5")
        assert await second.rest() == ([], POLICY_VIOLATION)
    first.send("2probe", "5", "4hello")
    assert [await first.receive() for _ in range(2)] == ["3probe", "4hello"]
    first.close()


@pytest.mark.parametrize(
    "packets",
    [["2"], ["2prob"], ["3probe"], ["5"], ["4hello"], [""], [b"2probe"], ["2probe", "2probe"]],
    ids=repr,
)
async def test_a_failed_probe_leaves_the_session_on_polling(
    polling: OverPolling, packets: list[Message]
) -> None:
    await polling.send("4before")
    probe = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
    probe.send(*packets, "4not this way")
    answers, code = await probe.rest()
    assert (answers, code) == (["3probe"] if len(packets) == 2 else [], 1000)
    assert await polling.receive() == "4before"
    await polling.is_alive()
    session = await polling.upgraded()
    await session.is_alive()
    session.close()


@pytest.mark.parametrize("packets", [[], ["2probe"]])
async def test_a_probe_that_breaks_off_leaves_the_session_on_polling(
    polling: OverPolling, packets: list[Message]
) -> None:
    probe = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
    probe.send(*packets)
    await probe.writer.drain()
    probe.writer.transport.abort()
    await polling.is_alive()
    await _when_free(polling)


async def _when_free(polling: OverPolling) -> None:
    """The session can be upgraded as soon as the server knows that the first try is over."""
    while True:
        raw = await WebSocket.open(polling.url, websocket(ENGINEIO, polling.sid))
        raw.send("2probe", "5")
        answers = await raw.receive_frame()
        if answers == (1, b"3probe"):
            session = OverWebSocket(raw, polling.opening)
            await session.is_alive()
            session.close()
            return


async def test_the_probe_of_a_session_that_ends_is_closed(
    server: Mounted, polling: OverPolling
) -> None:
    probe = await polling.probe()
    await polling.send("1")
    assert (await probe.rest())[0] == []
    assert (await request(polling.url, "GET", polling.target)).status == 400


async def test_what_was_not_fetched_comes_over_the_websocket_in_order(
    polling: OverPolling,
) -> None:
    await polling.send("4one", b"two")
    probe = await polling.probe()
    await polling.send("4three", b"four")
    probe.send("5", "4five")
    packets = [await probe.receive() for _ in range(5)]
    assert packets == ["4one", b"two", "4three", b"four", "4five"]
    probe.close()


async def test_attachments_may_change_over_in_the_middle(server: Mounted) -> None:
    polling = await OverPolling.open(server.url, SOCKETIO)
    await polling.send("40")
    assert str(await polling.receive()).startswith("40{")
    assert await polling.receive() == '42["auth",{}]'
    first, second = '{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":1}'
    await polling.send(f'452-["message",{first},{second}]', b"one")
    session = await polling.upgraded()
    await session.send(b"two")
    packets = [await session.receive() for _ in range(3)]
    assert packets == [f'452-["message-back",{first},{second}]', b"one", b"two"]
    session.close()


async def test_nothing_is_lost_or_doubled_while_both_sides_talk(
    server: Mounted, parser: str
) -> None:
    """The server counts, the client has its own numbers echoed, and meanwhile it changes over."""
    polling = await OverPolling.open(server.url, SOCKETIO)
    client = Client(polling, parser)
    await client.connect("/asking")
    await client.join()
    await client.emit("count", 2_000, namespace="/asking")
    numbers = itertools.count()
    received: list[Message] = []
    upgrade = asyncio.create_task(polling.probe())

    async def post() -> None:
        while not upgrade.done():
            await client.emit("message", next(numbers))

    async def poll() -> None:
        while not upgrade.done():
            received.extend(packets_of(await polling.poll()))

    await together(post(), poll())
    client.session = OverWebSocket(await upgrade, polling.opening)
    await client.session.send("5")
    for number in itertools.islice(numbers, 50):
        await client.emit("message", number)
    sent = next(numbers)
    without_noops = [packet for packet in received if packet != "6"]
    while len(without_noops) < 2_000 + sent:
        without_noops.append(await client.session.receive())
    heard = [client.read(packet).data for packet in without_noops]
    assert [value for event, value in heard if event == "counted"] == list(range(1, 2_001))
    assert [value for event, value in heard if event == "message-back"] == list(range(sent))
    client.close()


async def test_many_upgrade_at_once(server: Mounted) -> None:
    sessions = await asyncio.gather(*(OverPolling.open(server.url, ENGINEIO) for _ in range(30)))
    upgraded = await asyncio.gather(*(session.upgraded() for session in sessions))
    for session in upgraded:
        await session.is_alive()
        session.close()
