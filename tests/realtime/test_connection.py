"""A connection's commands: they wait in order, and do not outlive the session for long."""

from typing import TYPE_CHECKING, cast

import pytest

from models.facts import TripStatus
from models.identity import Identity, Role
from models.trips import Relation, Status
from realtime.buckets import Bucket, Rate
from realtime.connection import Connection, Request
from realtime.feeds import TripFeed
from realtime.wire import JSON, Frame

if TYPE_CHECKING:
    from realtime.engine import Socket

RITA = Identity("rita", Role.RIDER, expires_at=2**50)
FIFTH = TripStatus(
    trip_id="one", version=5, status=Status.ARRIVED, driver_id="dan", offer=None, at=0, by="dan"
)


class Ear:
    """Stands where a socket stands, and keeps what it was ended with."""

    sid = "one"

    def __init__(self) -> None:
        self.last: list[tuple[Frame, ...]] = []

    def end(self, *last: Frame) -> None:
        self.last.append(last)


def connected() -> tuple[Connection, Ear]:
    ear = Ear()
    reports = Bucket(Rate.of(50))
    return Connection(cast("Socket", ear), JSON, RITA, "phone", "test/1", reports=reports), ear


async def test_commands_come_out_in_order_and_by_their_size() -> None:
    connection, _ = connected()
    for number in range(3):
        connection.enqueue(Request("chat:send", None, number, 10))
    assert connection.pending_bytes == 30
    assert [connection.next_request().ack_id for _ in range(3)] == [0, 1, 2]
    assert connection.pending_bytes == 0
    assert not connection.may_go_on(0)


@pytest.mark.parametrize("code", ["token_expired", "replaced"])
async def test_no_command_is_run_after_the_session_was_ended(code: str) -> None:
    connection, ear = connected()
    connection.enqueue(Request("trip:create", None, 1, 10))
    connection.end(code, retry=False)
    connection.end(code, retry=False)
    assert not connection.may_go_on(0)
    assert len(ear.last) == 1


async def test_what_a_client_sent_before_it_left_is_run_for_a_moment() -> None:
    connection, _ = connected()
    connection.enqueue(Request("driver:status", None, None, 10))
    connection.finish_by = 100.0
    assert connection.may_go_on(99.9)
    assert not connection.may_go_on(100.0)


async def test_what_is_early_waits_apart_from_the_commands() -> None:
    connection, _ = connected()
    connection.enqueue(Request("chat:send", None, 0, 10))
    connection.keep_early(Request("driver:location", None, 1, 10))
    connection.enqueue(Request("chat:send", None, 2, 10))
    assert [request.ack_id for request in connection.take_early()] == [1]
    assert connection.pending_bytes == 20
    assert [connection.next_request().ack_id for _ in range(2)] == [0, 2]
    assert connection.take_early() == []


async def test_the_version_of_a_trip_is_known_where_it_is_followed_and_none_is_missing() -> None:
    connection, _ = connected()
    feed = TripFeed("one")
    member = connection.members[feed.room] = feed.add(connection)
    feed.versions.start(3)
    assert connection.heard_version("one") is None
    feed.admit(member, Relation.RIDER)
    assert connection.heard_version("one") == 3
    feed.take_status(FIFTH)
    assert connection.heard_version("one") is None
    assert connection.heard_version("another") is None
