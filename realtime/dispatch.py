"""The table of commands: which payload each has, and which handler takes it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from msgspec import Raw, Struct

from handlers.answers import Answer, Located, StatusNoted
from handlers.chat import ChatHandler
from handlers.locations import LocationHandler
from handlers.ports import Drivers
from handlers.trips import TripHandler
from models.commands import (
    DRIVER_LOCATION,
    ChatClose,
    ChatHistory,
    ChatOpen,
    DriverStatus,
    MarkRead,
    SessionRefresh,
    ShowTyping,
    TripCreate,
    TripDecline,
    TripEdit,
    TripOffer,
    TripSubscribe,
    TripUnsubscribe,
    TripUpdate,
)
from models.errors import RateLimited
from models.identity import Identity
from models.messages import Draft
from realtime import payloads
from realtime.connection import Connection
from realtime.following import FollowingService
from realtime.metrics import Metrics
from realtime.rides import Command, Locate, Then
from realtime.sessions import Sessions

P = TypeVar("P")

BYTES_PER_REPORT: Final = 4_096
"""A `driver:location` that is larger counts as several: reading it takes as long."""


class Handlers(Struct, frozen=True):
    """Everything that a command may reach."""

    sessions: Sessions
    following: FollowingService
    drivers: Drivers
    locations: LocationHandler
    trips: TripHandler
    chat: ChatHandler
    metrics: Metrics


def commands(to: Handlers) -> dict[str, Command]:
    """Every command but `driver:location`, which is not dispatched but handled as it comes."""

    async def refresh(
        connection: Connection, command: SessionRefresh
    ) -> tuple[object, Then | None]:
        return await to.sessions.refresh(connection, command), None

    async def note_status(connection: Connection, command: DriverStatus) -> tuple[object, None]:
        await to.drivers.set_status(connection.identity.user_id, command.status)
        return StatusNoted(status=command.status), None

    async def subscribe(connection: Connection, command: TripSubscribe) -> tuple[object, Then]:
        return await to.following.subscribe(connection, command)

    async def unsubscribe(connection: Connection, command: TripUnsubscribe) -> tuple[object, None]:
        to.following.unsubscribe(connection, command.trip_id)
        return Answer(), None

    async def send(connection: Connection, draft: Draft) -> tuple[object, None]:
        """The sender has its message as the answer: it is not told of it besides."""
        connection.remember_own(draft.conversation_id, draft.client_id)
        try:
            version = connection.heard_version(draft.conversation_id)
            return await to.chat.send(connection.identity, draft, version), None
        except BaseException:
            connection.forget_own(draft.conversation_id, draft.client_id)
            raise

    async def mark_read(connection: Connection, command: MarkRead) -> tuple[object, None]:
        return await to.chat.mark_read(connection.identity, command, connection.id), None

    return {
        SessionRefresh.event: Command(SessionRefresh, refresh),
        DriverStatus.event: Command(DriverStatus, note_status),
        TripSubscribe.event: Command(TripSubscribe, subscribe),
        TripUnsubscribe.event: Command(TripUnsubscribe, unsubscribe),
        TripCreate.event: _plain(TripCreate, to.trips.create),
        TripOffer.event: _plain(TripOffer, to.trips.offer),
        TripDecline.event: _plain(TripDecline, to.trips.decline),
        TripUpdate.event: _plain(TripUpdate, to.trips.update),
        TripEdit.event: _plain(TripEdit, to.trips.edit),
        Draft.event: Command(Draft, send),
        ChatHistory.event: _plain(ChatHistory, to.chat.history),
        MarkRead.event: Command(MarkRead, mark_read),
        ShowTyping.event: _plain(ShowTyping, to.chat.show_typing),
        ChatOpen.event: _plain(ChatOpen, to.chat.open),
        ChatClose.event: _plain(ChatClose, to.chat.close),
    }


def locate(to: Handlers) -> Locate:
    """What `driver:location` does, synchronously."""
    counts, direct_counts = to.metrics.points.counts, to.metrics.direct_points

    def report(connection: Connection, payload: Raw | None, is_answered: bool) -> Located:
        reporter = connection.reporter
        if reporter is None:
            raise RuntimeError("a location before the session is ready")
        if not connection.reports.take(1 + len(payload or b"") // BYTES_PER_REPORT):
            counts[RateLimited.code] += 1
            raise RateLimited("too many locations", connection.reports.retry_after_ms)
        read = payloads.points(connection.parser, payload)
        located = to.locations.report(reporter, read, connection.driving, is_answered=is_answered)
        counts["accepted"] += located.accepted
        for rejected in located.rejected:
            counts[rejected.code] += 1
        return located

    def skip() -> bool:
        """Nobody waits for an answer, and a newer one comes."""
        counts[RateLimited.code] += 1
        to.metrics.commands.counts[DRIVER_LOCATION, RateLimited.code] += 1
        return True

    def direct(connection: Connection, payload: bytes) -> bool:
        reporter = connection.reporter
        if reporter is None or not connection.ready.done() or len(payload) >= BYTES_PER_REPORT:
            return False
        if not connection.reports.take():
            return skip()
        point = payloads.plain_point(payload)
        if point is None:
            connection.reports.give()  # what takes it counts it
            return False
        code = to.locations.take(reporter, point, connection.driving)
        direct_counts[code or "accepted"] += 1
        return True

    return Locate(report, direct, _safety(to.drivers))


def _safety(drivers: Drivers) -> Callable[[Connection, Callable[[bool], None]], bool]:
    def wait(connection: Connection, told: Callable[[bool], None]) -> bool:
        driver_id = connection.identity.user_id
        if drivers.is_safe(driver_id):
            return False
        drivers.tell_when_safe(driver_id, told)
        return True

    return wait


def _plain(payload: type[P], handle: Callable[[Identity, P], Awaitable[object]]) -> Command:
    """A command that needs to know who asks, and nothing of its connection."""

    async def run(connection: Connection, command: Any) -> tuple[object, None]:  # noqa: ANN401
        return await handle(connection.identity, command), None

    return Command(payload, run)
