"""Pings and pongs, and who is closed for want of them; and who never joins anything.

Where a client has to be in time, the server's clock stands still and is moved by the test. Where
only the server acts, it runs, and fast.
"""

import pytest

from realtime.engine import Limits
from tests.conformance.conftest import PATIENT, Mount, Mounted
from tests.conformance.sessions import (
    DISCONNECT,
    ENGINEIO,
    SOCKETIO,
    Client,
    OverPolling,
    OverWebSocket,
    Session,
)
from tests.hostile.raw import Closed

QUICK = Limits(ping_interval_s=0.05, ping_timeout_s=0.05, connect_within_s=0.1)
ASKS_OFTEN = Limits(
    ping_interval_s=0.05, ping_timeout_s=60, connect_within_s=PATIENT.connect_within_s
)
PINGED = PATIENT.ping_interval_s + 1
"""Seconds until a ping has been sent."""
EXPIRED = PATIENT.ping_interval_s + PATIENT.ping_timeout_s + 1
"""Seconds until it would have had to be answered."""
JOIN_WITHIN = 31
"""Seconds until something would have had to be joined."""
POLICY_VIOLATION = 1008


async def test_a_client_that_answers_is_pinged_again_and_again(
    mount: Mount, transport: type[Session]
) -> None:
    server = await mount(ASKS_OFTEN)
    session = await transport.open(server.url, ENGINEIO)
    for _ in range(5):
        assert await session.receive() == "2"
        await session.send("3")
    session.close()


async def test_a_waiting_poll_is_answered_with_the_ping(mount: Mount) -> None:
    server = await mount(ASKS_OFTEN)
    session = await OverPolling.open(server.url, ENGINEIO)
    response = await session.poll()
    assert (response.status, response.body) == (200, b"2")


async def test_no_second_ping_is_sent_before_the_first_is_answered(
    server: Mounted, transport: type[Session]
) -> None:
    session = await transport.open(server.url, ENGINEIO)
    server.later(PINGED)
    server.later(PINGED + 1)
    server.later(EXPIRED - 2)
    await session.send("4hello")
    assert [await session.receive() for _ in range(2)] == ["2", "4hello"]
    session.close()


async def test_a_client_that_does_not_answer_is_closed(mount: Mount) -> None:
    server = await mount(QUICK)
    session = await OverWebSocket.open(server.url, ENGINEIO)
    assert await session.raw.rest() == (["2"], 1000)
    await session.raw.is_over()


async def test_a_client_that_never_polls_is_closed(mount: Mount) -> None:
    server = await mount(QUICK)
    session = await OverPolling.open(server.url, ENGINEIO)
    assert await session.ends() in ([], ["2"])
    await session.is_over()


async def test_the_ping_of_a_session_that_is_over_is_not_handed_out(server: Mounted) -> None:
    session = await OverPolling.open(server.url, ENGINEIO)
    server.later(PINGED)
    server.later(EXPIRED)
    await session.is_over()


async def test_a_waiting_poll_is_answered_when_the_ping_was_not(server: Mounted) -> None:
    session = await OverPolling.open(server.url, ENGINEIO)
    poll = await session.waiting()
    server.later(PINGED)
    assert (await poll.response()).body == b"2"
    poll = await session.waiting()
    server.later(EXPIRED)
    response = await poll.response()
    assert (response.status, response.body) == (200, b"1")
    await session.is_over()


async def test_messages_are_no_answer_to_a_ping(server: Mounted, transport: type[Session]) -> None:
    session = await transport.open(server.url, ENGINEIO)
    server.later(PINGED)
    assert await session.receive() == "2"
    await session.is_alive()
    server.later(EXPIRED)
    with pytest.raises(Closed):
        await session.receive()


async def test_an_answer_in_time_counts_from_when_it_came(
    server: Mounted, transport: type[Session]
) -> None:
    session = await transport.open(server.url, ENGINEIO)
    server.later(PINGED)
    assert await session.receive() == "2"
    await session.send("3")
    await session.is_alive()
    server.later(PATIENT.ping_interval_s - 1)
    await session.is_alive()
    server.later(PINGED)
    assert await session.receive() == "2"
    session.close()


async def test_an_answer_that_nobody_asked_for_is_no_harm(
    server: Mounted, transport: type[Session]
) -> None:
    session = await transport.open(server.url, ENGINEIO)
    await session.send("3", "3", "3probe", "6")
    await session.is_alive()
    session.close()


async def test_a_session_that_upgrades_keeps_its_heartbeat(server: Mounted) -> None:
    polling = await OverPolling.open(server.url, ENGINEIO)
    server.later(PINGED)
    session = await polling.upgraded()
    assert await session.receive() == "2", "the ping that was not fetched"
    await session.send("3")
    await session.is_alive()
    server.later(PINGED)
    assert await session.receive() == "2"
    server.later(EXPIRED)
    await session.ends_with(1000)


async def test_who_never_joins_is_closed(mount: Mount) -> None:
    server = await mount(QUICK)
    session = await OverWebSocket.open(server.url, SOCKETIO)
    packets = await session.ends()
    assert set(packets) <= {"2"}


async def test_who_never_joins_is_closed_though_it_answers_pings(
    mount: Mount, transport: type[Session]
) -> None:
    server = await mount(ASKS_OFTEN)
    session = await transport.open(server.url, SOCKETIO)
    for _ in range(3):
        assert await session.receive() == "2"
        await session.send("3")
    server.later(JOIN_WITHIN)
    assert await session.ends() == []


async def test_a_waiting_poll_is_answered_when_nothing_was_joined(server: Mounted) -> None:
    session = await OverPolling.open(server.url, SOCKETIO)
    poll = await session.waiting()
    server.later(JOIN_WITHIN)
    response = await poll.response()
    assert (response.status, response.body) == (200, b"1")
    await session.is_over()


async def test_who_never_joins_is_closed_with_1008(server: Mounted) -> None:
    session = await OverWebSocket.open(server.url, SOCKETIO)
    server.later(JOIN_WITHIN)
    await session.ends_with(POLICY_VIOLATION)


async def test_who_was_refused_has_not_joined(server: Mounted, client: Client) -> None:
    await client.is_refused()
    server.later(JOIN_WITHIN)
    assert await client.session.ends() == []


async def test_who_has_joined_something_stays(server: Mounted, client: Client) -> None:
    await client.join("/custom")
    server.later(JOIN_WITHIN)
    await client.echoes("still here", namespace="/custom")


async def test_who_has_left_everything_stays_for_the_time_that_joining_may_take(
    server: Mounted, client: Client
) -> None:
    await client.join()
    await client.join("/custom")
    await client.send(DISCONNECT)
    await client.send(DISCONNECT, namespace="/custom")
    await client.is_refused()
    server.later(JOIN_WITHIN - 2)
    await client.join()
    server.later(JOIN_WITHIN)
    await client.send(DISCONNECT)
    await client.is_refused()
    server.later(JOIN_WITHIN)
    assert await client.session.ends() == []


async def test_engineio_alone_knows_no_joining(server: Mounted, transport: type[Session]) -> None:
    session = await transport.open(server.url, ENGINEIO)
    server.later(PATIENT.ping_interval_s - 1)
    await session.is_alive()
    session.close()
