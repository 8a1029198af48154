"""The rides' namespace: commands of a connection to the handlers, in order, and their answers."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from secrets import randbelow
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from handlers import access
from models.commands import DRIVER_LOCATION
from models.errors import (
    Internal,
    Invalid,
    RateLimited,
    RidewireError,
    TooLarge,
    Unavailable,
    UnknownEvent,
)
from models.fields import Id
from models.identity import Identity
from realtime import payloads
from realtime.connection import Connection, Request
from realtime.deadline import Deadline
from realtime.engine import Socket
from realtime.gateway import Namespace, NotNow, Refused
from realtime.metrics import Metrics
from realtime.sessions import Sessions, described
from realtime.tasks import Tasks
from realtime.tokens import UnknownKey
from realtime.wire import Malformed, Packet, Parser

_log = logging.getLogger(__name__)

MAX_PENDING_BYTES: Final = 1024 * 1024
"""Of one connection's commands that wait for their turn; the largest message fits."""
PENDING_RETRY_MS: Final = 1_000
BUSY_MS: Final = 500
BUSY_SPREAD_MS: Final = 1_000
"""When who was told `busy` comes back: so soon that nobody is much later than a returned store."""

Then = Callable[[], None]
Run = Callable[[Connection, Any], Awaitable[tuple[object, Then | None]]]
"""What a command does: its answer, and what is to follow once that is written."""


class Command(Struct, frozen=True):
    payload: type[Any]
    run: Run


class Locate(Struct, frozen=True):
    """The two ways into `driver:location`, which waits for nobody."""

    report: Callable[[Connection, Raw | None, bool], object]
    """Takes any payload, and whether it is answered; returns the answer. Raises what refuses it."""
    direct: Callable[[Connection, bytes], bool]
    """Takes a payload that is one good point, as JSON; False, and nothing done, for any other."""
    wait: Callable[[Connection, Callable[[bool], None]], bool]
    """Has somebody told when what the driver has reported is safe; False where it is already."""


class Rides(Namespace[Connection]):
    """Gives each connection's commands to the handlers, in order.

    `driver:location` waits for nobody: it is handled as it comes, without a task.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        commands: Mapping[str, Command],
        locate: Locate,
        allow: Callable[[Identity, str], None],
        tasks: Tasks,
        metrics: Metrics,
        pending: int,
    ) -> None:
        """`allow` raises RateLimited for who gives too many commands, over which connection.

        So many commands of one connection may be `pending`: wait for their turn.
        """
        self._sessions = sessions
        self._commands = commands
        self._locate = locate
        self._allow = allow
        self._tasks = tasks
        self._metrics = metrics
        self._pending = pending
        self.direct = (DRIVER_LOCATION, locate.direct)

    def admit(
        self, socket: Socket, parser: Parser, auth: Raw
    ) -> Connection | Callable[[], Awaitable[Connection]]:
        """See `realtime.gateway.Namespace`."""
        try:
            return self._sessions.accept(socket, parser, auth)
        except UnknownKey:
            return partial(self._admit_later, socket, parser, auth)
        except RidewireError as error:
            raise self._turned_away(socket, error) from error

    async def _admit_later(self, socket: Socket, parser: Parser, auth: Raw) -> Connection:
        """A client whose token has a key that is not known yet."""
        try:
            await self._sessions.keys_renewed()
            return self._sessions.accept(socket, parser, auth)
        except RidewireError as error:
            raise self._turned_away(socket, error) from error

    def _turned_away(self, socket: Socket, error: RidewireError) -> Refused | NotNow:
        """What waiting cures ends the connection: stock clients come back from that alone."""
        self._metrics.refused.counts[error.code] += 1
        self._metrics.refused_token(error)
        told = {"code": error.code, "why": error.message, "remote": socket.origin.address}
        _log.info("connection refused", extra=told)
        return NotNow() if error.retry else Refused(error.message, {"code": error.code})

    def joined(self, client: Connection) -> None:
        client.working = self._tasks.start(self._begin(client))

    def left(self, client: Connection, reason: str) -> None:
        self._sessions.close(client, reason)

    def caught_up(self, client: Connection) -> None:
        """See `realtime.gateway.Namespace`."""
        client.show_missed()

    def malformed(self, client: Connection, error: Malformed) -> None:
        """Answer what can be answered; and the connection ends, and is told why."""
        if error.ack_id is not None:
            client.answer(error.ack_id, refusal(Invalid(str(error))))
        client.end(Invalid.code, retry=True)

    def too_large(self, client: Connection) -> None:
        """See `realtime.gateway.Namespace`."""
        client.end(TooLarge.code, retry=True, close=False)

    def fell_behind(self, client: Connection) -> None:
        """See `realtime.gateway.Namespace`."""
        client.end("slow_consumer", retry=True)

    def event(self, client: Connection, packet: Packet, attachments: Sequence[bytes]) -> None:
        """A command. None takes binary data: what has attachments is refused for its payload."""
        arguments = client.parser.arguments(packet)
        name = client.parser.event_name(packet, arguments[0])
        payload = arguments[1] if len(arguments) > 1 else None
        if name == DRIVER_LOCATION and client.ready.done():
            self._serve_location(client, payload, packet.ack_id)
            return
        try:
            self._take(client, Request(name, payload, packet.ack_id, len(packet.data)))
        except RateLimited as limited:
            client.answer(packet.ack_id, refusal(limited))
            self._metrics.commands.counts[_known(name), limited.code] += 1

    def _take(self, client: Connection, request: Request) -> None:
        """Have the command wait for its turn, or a location for the session. Raises RateLimited."""
        is_early = request.name == DRIVER_LOCATION
        waiting = len(client.early if is_early else client.pending)
        most = client.reports.left if is_early else self._pending
        if waiting >= most or client.pending_bytes + request.size > MAX_PENDING_BYTES:
            raise RateLimited("too many commands wait already", retry_after_ms=PENDING_RETRY_MS)
        if is_early:
            client.keep_early(request)
            return
        self._allow(client.identity, client.socket.origin.place)
        client.enqueue(request)
        if client.working is None:
            client.working = self._tasks.start(self._work(client))

    async def _begin(self, connection: Connection) -> None:
        """Tell the client what it follows; commands that came meanwhile are next."""
        try:
            await self._sessions.open(connection)
        except Exception as error:  # noqa: BLE001 - logged, and the client is told
            if connection.ended:
                return
            expected = isinstance(error, Unavailable)
            told = described(connection)
            _log.warning(
                "a session could not be opened", exc_info=None if expected else error, extra=told
            )
            connection.end("busy", retry=True, retry_in_ms=BUSY_MS + randbelow(BUSY_SPREAD_MS))
            return
        if connection.ended:
            return
        for request in connection.take_early():
            self._serve_location(connection, request.payload, request.ack_id)
        await self._work(connection)

    def _serve_location(
        self, connection: Connection, payload: Raw | None, ack_id: int | None
    ) -> None:
        outcome = "ok"
        try:
            access.require_role(connection.identity, DRIVER_LOCATION)
            answer = self._locate.report(connection, payload, ack_id is not None)
        except RidewireError as error:
            answer, outcome = refusal(error), error.code
        except Exception:  # noqa: BLE001 - logged, and the client gets an answer
            answer, outcome = _failed(connection, DRIVER_LOCATION, payload), Internal.code
        if ack_id is not None and outcome == "ok":
            answer_safe = partial(self._answer_location, connection, ack_id, answer)
            if self._locate.wait(connection, answer_safe):
                return
        connection.answer(ack_id, answer)
        self._metrics.commands.counts[DRIVER_LOCATION, outcome] += 1

    def _answer_location(
        self, connection: Connection, ack_id: int, answer: object, is_safe: bool
    ) -> None:
        """An answer says that the points are kept: it waited for that."""
        outcome = "ok" if is_safe else Unavailable.code
        unsafe = Unavailable("no store has taken the points yet")
        connection.answer(ack_id, answer if is_safe else refusal(unsafe))
        self._metrics.commands.counts[DRIVER_LOCATION, outcome] += 1

    async def _work(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            while connection.may_go_on(loop.time()):
                await self._serve(connection, connection.next_request())
                if connection.pending:
                    await asyncio.sleep(0)  # many that wait for nothing leave others a turn
        finally:
            connection.working = None

    async def _serve(self, connection: Connection, request: Request) -> None:
        """Run one command. Whatever happens, it is answered exactly once."""
        then: Then | None = None
        outcome = "ok"
        began = time.perf_counter()
        try:
            async with Deadline():
                answer, then = await self._run(connection, request)
        except RidewireError as error:
            answer, outcome = self._refused(connection, request, error), error.code
        except Exception:  # noqa: BLE001 - whatever it was: logged, and the client gets an answer
            answer, outcome = _failed(connection, request.name, request.payload), Internal.code
        connection.answer(request.ack_id, answer)
        if then is not None:
            then()
        known = _known(request.name)
        self._metrics.commands.counts[known, outcome] += 1
        self._metrics.command_seconds.observe(time.perf_counter() - began, known)

    def _refused(
        self, connection: Connection, request: Request, error: RidewireError
    ) -> dict[str, Any]:
        """The answer to a command that is refused; what is not the client's doing is logged."""
        self._metrics.refused_token(error)
        if isinstance(error, Unavailable | Internal):
            _log.warning(
                "a command could not be done: %s",
                error,
                exc_info=error if isinstance(error, Internal) else None,
                extra=_about(connection, request.name, request.payload),
            )
        return refusal(error)

    async def _run(self, connection: Connection, request: Request) -> tuple[object, Then | None]:
        command = self._commands.get(request.name)
        if command is None:
            raise UnknownEvent(f"there is no event {request.name[:64]!r}")
        access.require_role(connection.identity, request.name)
        payload = payloads.parse(connection.parser, request.payload, command.payload)
        return await command.run(connection, payload)


def _known(name: str) -> str:
    """The name of a command, for who counts; clients cannot make one up."""
    return name if name in access.COMMANDS else "unknown"


class _Subject(Struct, frozen=True):
    """What a command is about, as far as its payload says."""

    trip_id: Id | None = None
    conversation_id: Id | None = None


def _failed(connection: Connection, event: str, payload: Raw | None) -> dict[str, Any]:
    """The answer to a command that failed by the server's own fault, which the log tells."""
    _log.exception("a command failed", extra=_about(connection, event, payload))
    return refusal(Internal("the server failed"))


def _about(connection: Connection, event: str, payload: Raw | None) -> dict[str, object]:
    """A command, for the log."""
    subject = _Subject()
    if payload is not None:
        with suppress(msgspec.ValidationError, Malformed):
            subject = connection.parser.read(payload, _Subject)
    return {
        "connection": connection.id,
        "event": event[:64],
        "trip": subject.trip_id,
        "conversation": subject.conversation_id,
    }


def refusal(error: RidewireError) -> dict[str, Any]:
    """An error as the answer to a command."""
    return {"ok": False, "error": error.body()}
