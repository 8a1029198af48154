"""Engine.IO alone: messages of text or bytes, without Socket.IO's packets.

app = web.Application()
Messages(send).attach(app)  # an echo
web.run_app(app)
"""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import WSCloseCode, web
from msgspec import structs

from realtime.engine import Engine, Limits, Socket
from realtime.wire import Frame

_NO_LIMITS: Final = Limits()

Message = str | bytes
Take = Callable[[Socket, Message], object]
"""What becomes of a client's message. It may not wait."""


def send(socket: Socket, message: Message) -> None:
    """Hand a message to a client. Never waits; one that reads too slowly is closed."""
    if isinstance(message, bytes):
        socket.write(Frame(message, binary=True))
    else:
        socket.write(Frame(b"4" + message.encode(), binary=False))


class Messages:
    """An Engine.IO server for one function. A subclass may also want to hear of `gone`."""

    def __init__(
        self,
        take: Take,
        limits: Limits = _NO_LIMITS,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """`options` are python-engineio's: `transports`, `cors_allowed_origins`.

        Everybody is let in, so that `connect_within_s` does not matter.
        """
        self._take = take
        limits = structs.replace(limits, connect_within_s=None)
        self.engine = Engine(self, limits, **options)

    def attach(self, app: web.Application, path: str = "engine.io") -> None:
        """Serve under this path of an application, and end with it."""
        self.engine.attach(app, path)

    def message(self, socket: Socket, data: bytes, binary: bool) -> None:
        """See `realtime.engine.Receiver`. Text that is none ends the session."""
        if binary:
            self._take(socket, data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            socket.end(code=WSCloseCode.INVALID_TEXT)
        else:
            self._take(socket, text)

    def unreadable(self, socket: Socket) -> None:
        socket.end(code=WSCloseCode.POLICY_VIOLATION)

    def too_large(self, socket: Socket) -> None:
        """The engine closes it."""

    def fell_behind(self, socket: Socket) -> None:
        socket.end()

    def drained(self, socket: Socket) -> None:
        """The client was behind, and has caught up."""

    def gone(self, socket: Socket, reason: str) -> None:
        """A client's session is over."""
