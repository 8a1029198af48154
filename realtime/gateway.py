"""The door: Socket.IO packets in, typed commands to the handlers, acknowledgements out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from secrets import randbelow
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from handlers import access
from models.commands import DRIVER_LOCATION
from models.errors import Internal, Invalid, RateLimited, RidewireError, Unavailable, UnknownEvent
from realtime import payloads, wire
from realtime.connection import Connection, Request
from realtime.engine import Socket
from realtime.metrics import Metrics
from realtime.sessions import Sessions
from realtime.tasks import Tasks
from realtime.wire import Malformed, Packet, Parser

_log = logging.getLogger(__name__)

MAX_PENDING: Final = 200
"""Commands of one connection that wait for their turn."""
MAX_PENDING_BYTES: Final = 1024 * 1024
"""And their size; the largest frame fits several times."""
PENDING_RETRY_MS: Final = 1_000
DRAIN_SPREAD_MS: Final = 5_000

Then = Callable[[], None]
Run = Callable[[Connection, Any], Awaitable[tuple[object, Then | None]]]
"""What a command does: its answer, and what is to follow once that is written."""


class Command(Struct, frozen=True):
    payload: type[Any]
    run: Run


class Gateway:
    """Reads packets and gives each connection's commands to the handlers, in order.

    `driver:location` waits for nobody: it is handled as it comes, without a task.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        commands: Mapping[str, Command],
        locate: Callable[[Connection, Raw | None], object],
        tasks: Tasks,
        metrics: Metrics,
    ) -> None:
        self._sessions = sessions
        self._commands = commands
        self._locate = locate
        self._tasks = tasks
        self._metrics = metrics

    def message(self, socket: Socket, data: str | bytes) -> None:
        """One Engine.IO message of a client."""
        if socket.attachments_due and isinstance(data, bytes):
            socket.attachments_due -= 1  # no command takes binary data: the event said so already
            return
        parser = socket.parser
        if parser is None:
            parser = socket.parser = wire.JSON if isinstance(data, str) else wire.MSGPACK
        try:
            self._packet(socket, parser, parser.packet(data))
        except Malformed as error:
            _refuse_malformed(socket, error)

    def gone(self, socket: Socket, reason: str) -> None:
        """The transport ended."""
        connection = socket.connection
        if connection is not None:
            self._sessions.close(connection, reason)

    def fell_behind(self, socket: Socket) -> None:
        """The client reads more slowly than it is written to."""
        if socket.connection is not None:
            socket.connection.end("slow_consumer", retry=True)
        else:
            socket.end()

    def drain(self) -> None:
        """Send everybody away, to come back to another instance at spread-out times."""
        for connection in self._sessions.all():
            connection.end("draining", retry=True, retry_in_ms=randbelow(DRAIN_SPREAD_MS))

    def _packet(self, socket: Socket, parser: Parser, packet: Packet) -> None:
        if packet.namespace != wire.NAMESPACE:
            if packet.kind == wire.CONNECT:
                socket.write(parser.refused({"message": "Invalid namespace"}, packet.namespace))
        elif packet.kind == wire.CONNECT:
            self._connect(socket, parser, packet)
        elif packet.kind in (wire.EVENT, wire.BINARY_EVENT):
            socket.attachments_due = packet.attachments
            self._event(socket, parser, packet)
        elif packet.kind == wire.DISCONNECT:
            socket.end()
        elif packet.kind == wire.CONNECT_ERROR:
            raise Malformed("a client does not refuse")

    def _connect(self, socket: Socket, parser: Parser, packet: Packet) -> None:
        if socket.connection is not None:
            return
        try:
            connection = self._sessions.accept(socket, parser, packet.data)
        except RidewireError as error:
            self._metrics.refused.labels(error.code).inc()
            socket.write(parser.refused({"message": error.message, "data": {"code": error.code}}))
            return
        socket.write(parser.connected(connection.id))
        connection.working = self._tasks.start(self._begin(connection))

    async def _begin(self, connection: Connection) -> None:
        """Tell the client what it follows; commands that came meanwhile are next."""
        try:
            await self._sessions.open(connection)
        except Exception as error:  # noqa: BLE001 - logged, and the client is told
            if connection.ended:
                return
            expected = isinstance(error, Unavailable)
            _log.warning("a session could not be opened", exc_info=None if expected else error)
            connection.end("busy", retry=True, retry_in_ms=1_000 + randbelow(DRAIN_SPREAD_MS))
            return
        await self._work(connection)

    def _event(self, socket: Socket, parser: Parser, packet: Packet) -> None:
        connection = socket.connection
        if connection is None:
            socket.end()
            return
        arguments = parser.arguments(packet)
        try:
            name = parser.read(arguments[0], str)
        except (msgspec.ValidationError, Malformed) as error:
            raise Malformed("the event's name is no string", packet.ack_id) from error
        payload = arguments[1] if len(arguments) > 1 else None
        if name == DRIVER_LOCATION and connection.ready.done():
            self._serve_location(connection, payload, packet.ack_id)
        elif (
            len(connection.pending) >= MAX_PENDING
            or connection.pending_bytes + len(packet.data) > MAX_PENDING_BYTES
        ):
            busy = RateLimited("too many commands wait already", retry_after_ms=PENDING_RETRY_MS)
            connection.answer(packet.ack_id, refusal(busy))
        else:
            connection.enqueue(Request(name, payload, packet.ack_id, len(packet.data)))
            if connection.working is None:
                connection.working = self._tasks.start(self._work(connection))

    def _serve_location(
        self, connection: Connection, payload: Raw | None, ack_id: int | None
    ) -> None:
        try:
            access.require_role(connection.identity, DRIVER_LOCATION)
            answer = self._locate(connection, payload)
        except RidewireError as error:
            answer = refusal(error)
        except Exception:  # noqa: BLE001 - logged, and the client gets an answer
            answer = _failed(DRIVER_LOCATION)
        connection.answer(ack_id, answer)

    async def _work(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            while connection.may_go_on(loop.time()):
                await self._serve(connection, connection.next_request())
        finally:
            connection.working = None

    async def _serve(self, connection: Connection, request: Request) -> None:
        """Run one command. Whatever happens, it is answered exactly once."""
        then: Then | None = None
        outcome = "ok"
        try:
            answer, then = await self._run(connection, request)
        except RidewireError as error:
            answer, outcome = refusal(error), error.code
        except Exception:  # noqa: BLE001 - whatever it was: logged, and the client gets an answer
            answer, outcome = _failed(request.name), Internal.code
        connection.answer(request.ack_id, answer)
        if then is not None:
            then()
        known = request.name if request.name in access.ACCESS else "unknown"
        self._metrics.commands.labels(known, outcome).inc()

    async def _run(self, connection: Connection, request: Request) -> tuple[object, Then | None]:
        if request.name == DRIVER_LOCATION:
            access.require_role(connection.identity, DRIVER_LOCATION)
            return self._locate(connection, request.payload), None
        command = self._commands.get(request.name)
        if command is None:
            raise UnknownEvent(f"there is no event {request.name[:64]!r}")
        access.require_role(connection.identity, request.name)
        payload = payloads.parse(connection.parser, request.payload, command.payload)
        return await command.run(connection, payload)


def _failed(event: str) -> dict[str, Any]:
    """The answer to a command that failed by the server's own fault, which the log tells."""
    _log.exception("a command failed", extra={"event": event[:64]})
    return refusal(Internal("the server failed"))


def refusal(error: RidewireError) -> dict[str, Any]:
    """An error as the answer to a command."""
    return {"ok": False, "error": error_body(error)}


def error_body(error: RidewireError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "retry": error.retry,
        **error.details,
    }


def _refuse_malformed(socket: Socket, error: Malformed) -> None:
    """Answer what can be answered; else the connection ends, and is told why."""
    connection = socket.connection
    if connection is not None and error.ack_id is not None:
        connection.answer(error.ack_id, refusal(Invalid(str(error))))
    elif connection is not None:
        connection.end(Invalid.code, retry=True)
    else:
        socket.end()
