"""One Socket.IO client over picows: callbacks only, no task and no parsing for what is hot."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from bench.load.frames import ENDED, LOCATION, MESSAGE, READY
from bench.load.record import Record

Take = Callable[[bytes], None]

WITHIN_S: Final = 60
"""How long a client waits for its session or an answer. A server under load may be slow."""
CLOSE_WITHIN_S: Final = 5
"""How long a client that leaves waits for the server's close frame."""
_BUFFER: Final = 4096
_TEXT: Final = WSMsgType.TEXT


class Refused(Exception):
    """The server did not let a client in, or did not do what was asked."""


class Client(WSListener):
    """Answers pings, gives locations, messages and answers to whom they concern."""

    def __init__(self, token: str, record: Record) -> None:
        super().__init__()
        self.on_location: Take = self._unexpected
        self.on_message: Take = self._unexpected
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done at `session:ready`."""
        self.is_gone = False
        """Whether the connection has ended, by either side."""
        self._token = token
        self._record = record
        self._ids = itertools.count()
        self._asked: dict[int, Take] = {}

    @classmethod
    async def connect(cls, url: str, token: str, record: Record) -> "Client":
        """Open a session and wait until it is ready. Raises Refused."""
        client = cls(token, record)
        try:
            async with asyncio.timeout(WITHIN_S):
                await ws_connect(
                    lambda: client,
                    _address(url),
                    websocket_handshake_timeout=WITHIN_S,
                    read_buffer_init_size=_BUFFER,
                )
                await client.ready
        except TimeoutError as error:
            raise Refused(f"no session within {WITHIN_S} s") from error
        except (WSError, OSError) as error:
            raise Refused(f"no connection: {error}") from error
        return client

    def send(self, packet: bytes) -> None:
        self._transport.send(_TEXT, packet)

    def ask(self, event: bytes, payload: bytes, answered: Take) -> None:
        """Emit with an acknowledgement, whose JSON `answered` gets."""
        number = next(self._ids)
        self._asked[number] = answered
        self._transport.send(_TEXT, b'42%d["%b",%b]' % (number, event, payload))

    async def call(self, event: str, payload: Mapping[str, object]) -> dict[str, Any]:
        """Ask for something that has to be granted; the answer. Raises Refused."""
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def take(json: bytes) -> None:
            if not answered.done():  # else nobody waits for it any more
                answered.set_result(json)

        self.ask(event.encode(), msgspec.json.encode(payload), take)
        try:
            async with asyncio.timeout(WITHIN_S):
                (answer,) = msgspec.json.decode(await answered, type=tuple[dict[str, Any]])
        except TimeoutError as error:
            raise Refused(f"{event} was not answered within {WITHIN_S} s") from error
        if answer.get("ok") is not True:
            raise Refused(f"{event} {payload} was answered {answer}")
        return answer

    def leave(self) -> None:
        """Close as an app does, with a word and a close frame; nothing that still comes counts."""
        self.is_gone = True
        self.on_location = self.on_message = _ignore
        self.send(b"41")
        self._transport.send_close(WSCloseCode.OK)
        # The server's close frame ends it earlier.
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._transport.disconnect)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        packet = frame.get_payload_as_bytes()
        if packet.startswith(LOCATION):
            self.on_location(packet)
        elif packet.startswith(MESSAGE):
            self.on_message(packet)
        elif packet.startswith(b"43"):
            self._answered(packet)
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
        else:
            self._control(packet)

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        if not self.ready.done():
            self.ready.set_exception(Refused("the server closed the connection"))
        elif not self.is_gone:
            self.is_gone = True
            self._record.is_missing("connection that the server ended")

    def _answered(self, packet: bytes) -> None:
        begin = packet.index(b"[")
        answered = self._asked.pop(int(packet[2:begin]), None)
        if answered is None:
            self._record.is_wrong("answer to nothing")
        else:
            answered(packet[begin:])

    def _control(self, packet: bytes) -> None:
        if packet == b"2":
            self.send(b"3")
        elif packet.startswith(b"0"):
            self.send(b"40" + msgspec.json.encode({"token": self._token}))
        elif packet.startswith(READY):
            if not self.ready.done():
                self.ready.set_result(None)
        elif packet.startswith(b"44"):
            self.ready.set_exception(Refused(packet.decode()))
        elif packet.startswith((b"41", ENDED)):
            self._record.notes[packet.decode()] += 1

    def _unexpected(self, _packet: bytes) -> None:
        self._record.is_wrong("delivery at a client that it is not for")


def _ignore(_packet: bytes) -> None:
    """A client that leaves hears nothing any more."""


def _address(url: str) -> str:
    return url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
