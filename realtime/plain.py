"""A namespace for any handlers: functions by the name of the event that they take.

lobby = PlainNamespace()

@lobby.on("greet")
async def greet(client, name):
    client.emit("greeted", name)
    return "hello"  # the acknowledgement, where the client asked for one

gateway, app = Gateway(), web.Application()
gateway.add(lobby)
gateway.attach(app)
web.run_app(app)
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from msgspec import Raw

from realtime import wire
from realtime.engine import Socket
from realtime.gateway import Client, Namespace, Refused
from realtime.names import new_name
from realtime.wire import Packet, Parser

_log = logging.getLogger(__name__)

ANSWER_WITHIN_S: Final = 10.0

Handler = Callable[..., object | Awaitable[object]]


class PlainClient(Client):
    """A client in a plain namespace."""

    __slots__ = ("_answers", "_asked", "auth", "has_left")

    def __init__(self, namespace: str, socket: Socket, parser: Parser, auth: Any) -> None:  # noqa: ANN401
        super().__init__(new_name(), namespace, socket, parser)
        self.auth = auth
        """What it connected with: an object of JSON's values, empty if it sent none."""
        self.has_left = False
        self._asked = 0
        self._answers: dict[int, asyncio.Future[list[Any]]] = {}

    def emit(self, event: str, *values: object) -> None:
        """Send an event. The values are JSON's, and bytes; who has left gets none."""
        self._write(self.parser.emitted(self.namespace, (event, *values), None))

    async def call(
        self, event: str, *values: object, within_s: float = ANSWER_WITHIN_S
    ) -> list[Any]:
        """Send an event and return what it is acknowledged with.

        Raises TimeoutError, and ConnectionError when the client has left or leaves meanwhile.
        """
        if self.has_left:
            raise ConnectionResetError("the client has left")
        self._asked += 1
        ack_id = self._asked
        frames = self.parser.emitted(self.namespace, (event, *values), ack_id)
        answer = self._answers[ack_id] = asyncio.get_running_loop().create_future()
        self._write(frames)
        try:
            return await asyncio.wait_for(answer, within_s)
        finally:
            self._answers.pop(ack_id, None)

    def disconnect(self) -> None:
        """End the client's stay in the namespace, and its connection."""
        self.socket.end(self.parser.disconnected(self.namespace))

    def answer(self, ack_id: int, *values: object) -> None:
        self._write(self.parser.acknowledged(self.namespace, values, ack_id))

    def answered(self, ack_id: int | None, values: list[Any]) -> None:
        """The client has acknowledged; late or doubled answers are dropped."""
        waiting = self._answers.get(ack_id) if ack_id is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(values)

    def leave(self) -> None:
        """Nothing is sent to the client any more, and no answer of it awaited."""
        self.has_left = True
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the client has left"))

    def _write(self, frames: list[wire.Frame]) -> None:
        if not self.has_left:
            for frame in frames:
                self.socket.write(frame)


class PlainNamespace(Namespace[PlainClient]):
    """Handlers by event. One client's coroutines run side by side, its plain functions in order.

    What a handler returns acknowledges the event: a tuple as several values, None as no value. An
    event without a handler is passed over, and one whose handler fails is not acknowledged.
    """

    def __init__(self, name: str = wire.NAMESPACE) -> None:
        self.name = name
        self._handlers: dict[str, Handler] = {}
        self._admit: Callable[[PlainClient], None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def on(self, event: str) -> Callable[[Handler], Handler]:
        """Decorates what takes an event: `(client, *values)`.

        The event `connect` is a client's joining, `disconnect` its leaving: `(client, reason)`.
        """

        def note(handler: Handler) -> Handler:
            self._handlers[event] = handler
            return handler

        return note

    def guard(self, admit: Callable[[PlainClient], None]) -> Callable[[PlainClient], None]:
        """Decorates who decides who may join: `(client)`, by its `auth`; raises Refused."""
        self._admit = admit
        return admit

    def admit(self, socket: Socket, parser: Parser, auth: Raw) -> PlainClient:
        """See `realtime.gateway.Namespace`."""
        given = parser.read(auth, object) if auth else {}
        client = PlainClient(self.name, socket, parser, given if isinstance(given, dict) else {})
        try:
            if self._admit is not None:
                self._admit(client)
        except Refused:
            raise
        except Exception as error:
            _log.exception("a guard failed")
            raise Refused("the server failed") from error
        return client

    def joined(self, client: PlainClient) -> None:
        self._run("connect", client, (), None)

    def event(self, client: PlainClient, packet: Packet, attachments: Sequence[bytes]) -> None:
        """See `realtime.gateway.Namespace`."""
        parser = client.parser
        name = parser.event_name(packet, parser.arguments(packet)[0])
        _, *values = parser.values(packet, attachments)
        self._run(name, client, values, packet.ack_id)

    def acknowledged(
        self, client: PlainClient, packet: Packet, attachments: Sequence[bytes]
    ) -> None:
        """See `realtime.gateway.Namespace`."""
        client.answered(packet.ack_id, client.parser.values(packet, attachments))

    def left(self, client: PlainClient, reason: str) -> None:
        client.leave()
        self._run("disconnect", client, (reason,), None)

    def _run(
        self, name: str, client: PlainClient, values: Sequence[object], ack_id: int | None
    ) -> None:
        handler = self._handlers.get(name)
        if handler is None:
            return
        try:
            result = handler(client, *values)
            if inspect.isawaitable(result):
                self._start(self._finish(name, client, result, ack_id))
            else:
                _answer(client, ack_id, result)
        except Exception:  # noqa: BLE001 - logged; other clients go on
            _log.exception("a handler failed", extra={"event": name})

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(
        self, name: str, client: PlainClient, result: Awaitable[object], ack_id: int | None
    ) -> None:
        try:
            _answer(client, ack_id, await result)
        except Exception:  # noqa: BLE001 - logged; other clients go on
            _log.exception("a handler failed", extra={"event": name})


def _answer(client: PlainClient, ack_id: int | None, result: object) -> None:
    if ack_id is None:
        return
    if result is None:
        client.answer(ack_id)
    elif isinstance(result, tuple):
        client.answer(ack_id, *result)
    else:
        client.answer(ack_id, result)
