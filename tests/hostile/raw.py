"""A client that may break every rule: HTTP and WebSocket by hand, over a plain TCP connection."""

import asyncio
import base64
import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tests.clients import WAIT_S
from tests.conftest import fresh, mint

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HANDSHAKE: Final = "/socket.io/?EIO=4&transport=websocket"
POLLING: Final = "/socket.io/?EIO=4&transport=polling"
UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}
UNREADABLE: Final = [{"code": "invalid", "retry": True}]
"""What `session:ended` says, once, to who sent what cannot be answered."""
_PACKET: Final = re.compile(r"4(?P<kind>\d)(?:/[^,]*,)?(?P<id>\d*)(?P<data>.*)", re.DOTALL)


class Closed(Exception):
    """The server ended the connection. `code` is its close frame's, None where there was none."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Response(Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


class Http:
    """One TCP connection, on which requests are written as they are given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, url: str) -> Self:
        place = urlsplit(url)
        return cls(*await asyncio.open_connection(place.hostname, place.port))

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send a request; its `Content-Length` is right unless `headers` say otherwise."""
        given = {"Host": "127.0.0.1", **headers}
        if body and not given.keys() & {"Content-Length", "Transfer-Encoding"}:
            given["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode(errors="surrogateescape") + body)

    async def head(self) -> Response:
        """The response without its body."""
        async with asyncio.timeout(WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Response(int(first.split()[1]), headers, b"")

    async def response(self) -> Response:
        head = await self.head()
        async with asyncio.timeout(WAIT_S):
            body = await self.reader.readexactly(int(head.headers.get("content-length", 0)))
        return Response(head.status, head.headers, body)

    def close(self) -> None:
        self.writer.close()


async def request(
    url: str, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Response:
    """One request on a connection of its own."""
    http = await Http.open(url)
    http.ask(method, target, headers or {}, body)
    try:
        return await (http.head() if method == "HEAD" else http.response())
    finally:
        http.close()


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    """One frame as a client sends it (RFC 6455, section 5.2), with a mask of zeros."""
    size, mask_bit = len(payload), 0x80 if masked else 0
    head = bytes((opcode | (0x80 if fin else 0),))
    if size < 126:
        head += bytes((mask_bit | size,))
    elif size < 65_536:
        head += struct.pack("!BH", mask_bit | 126, size)
    else:
        head += struct.pack("!BQ", mask_bit | 127, size)
    return head + (bytes(4) if masked else b"") + payload


def message(data: str | bytes) -> bytes:
    """A whole message in one frame."""
    return frame(BINARY, data) if isinstance(data, bytes) else frame(TEXT, data.encode())


class WebSocket:
    """To the client only bytes: frames go out as they are given."""

    def __init__(self, http: Http) -> None:
        self.reader = http.reader
        self.writer = http.writer

    @classmethod
    async def open(cls, url: str, target: str = HANDSHAKE, **headers: str) -> Self:
        """Shake hands. The server must agree."""
        return await cls.upgrade(await Http.open(url), target, **headers)

    @classmethod
    async def upgrade(cls, http: Http, target: str = HANDSHAKE, **headers: str) -> Self:
        http.ask("GET", target, {**UPGRADE, **headers})
        head = await http.head()
        assert head.status == 101, head
        return cls(http)

    def send(self, *messages: str | bytes) -> None:
        """Each message in one frame; together they leave in one piece."""
        self.write(b"".join(map(message, messages)))

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> str | bytes:
        """The next message; raises Closed at the end. Pings and pongs are passed over."""
        while True:
            opcode, payload = await self.receive_frame()
            if opcode == CLOSE:
                raise Closed(int.from_bytes(payload[:2]) if payload else None)
            if opcode in (TEXT, BINARY):
                return payload.decode() if opcode == TEXT else payload

    async def receive_frame(self) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._frame()
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed(None) from None

    async def rest(self) -> tuple[list[str | bytes], int | None]:
        """What comes until the server closes, and its close code."""
        messages = []
        try:
            while True:
                messages.append(await self.receive())
        except Closed as closed:
            return messages, closed.code

    async def is_over(self) -> None:
        """Wait until the server has closed the TCP connection, too."""
        async with asyncio.timeout(WAIT_S):
            while await self.reader.read(65_536):
                pass

    def close(self) -> None:
        self.writer.close()

    async def _frame(self) -> tuple[int, bytes]:
        first, size = await self.reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2))
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)


class Codec:
    """A parser's way to write and read packets, and nothing that checks them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def connect(self, auth: object) -> str | bytes:
        if self.name == "msgpack":
            return _packed({"type": 0, "nsp": "/", "data": auth})
        return "40" + _json(auth)

    def goodbye(self) -> str | bytes:
        return _packed({"type": 1, "nsp": "/"}) if self.name == "msgpack" else "41"

    def event(self, arguments: object, ack_id: int | None = None) -> str | bytes:
        if self.name == "msgpack":
            return _packed({"type": 2, "nsp": "/", "data": arguments, "id": ack_id})
        return f"42{'' if ack_id is None else ack_id}{_json(arguments)}"

    def read(self, data: str | bytes) -> tuple[int, int | None, Any]:
        """A packet of the server's as kind, acknowledgement id and data."""
        if isinstance(data, bytes):
            packet = msgspec.msgpack.decode(data)
            return packet["type"], packet.get("id"), packet.get("data")
        found = _PACKET.match(data)
        assert found, data
        ack_id = int(found["id"]) if found["id"] else None
        return int(found["kind"]), ack_id, msgspec.json.decode(found["data"] or "null")


JSON: Final = Codec("json")


class Poller:
    """An Engine.IO session on long-polling. Each request has a connection of its own."""

    def __init__(self, url: str, sid: str) -> None:
        self.url = url
        self.sid = sid
        self.user_id = ""

    @classmethod
    async def open(cls, url: str) -> Self:
        opened = await request(url, "GET", POLLING)
        assert opened.status == 200, opened
        return cls(url, msgspec.json.decode(opened.body[1:])["sid"])

    @classmethod
    async def authenticated(
        cls, url: str, role: str, auth: Mapping[str, Any] | None = None
    ) -> Self:
        """Open one and wait for `session:ready`."""
        poller = await cls.open(url)
        poller.user_id = fresh("mallory")
        connect = JSON.connect({"token": mint(role, poller.user_id), **(auth or {})})
        assert (await poller.post(connect)).status == 200
        heard: list[str] = []
        while not any("session:ready" in packet for packet in heard):
            heard += await poller.packets()
        return poller

    @property
    def target(self) -> str:
        return f"{POLLING}&sid={self.sid}"

    async def poll(self) -> Response:
        return await request(self.url, "GET", self.target)

    async def packets(self) -> list[str]:
        polled = await self.poll()
        assert polled.status == 200, polled
        return polled.body.decode().split("\x1e")

    async def post(self, body: str | bytes, **headers: str) -> Response:
        data = body.encode() if isinstance(body, str) else body
        return await request(self.url, "POST", self.target, headers, data)

    async def waiting(self) -> Http:
        """A poll that has been sent and finds nothing yet."""
        http = await Http.open(self.url)
        http.ask("GET", self.target, {})
        await request(self.url, "GET", "/healthz")  # answered later than that was read
        return http


class Session:
    """An authenticated connection on a WebSocket."""

    def __init__(self, socket: WebSocket, codec: Codec, user_id: str) -> None:
        self.socket = socket
        self.codec = codec
        self.user_id = user_id
        self.events: list[tuple[str, Any]] = []
        self.answers: dict[int, Any] = {}
        self.code: int | None = None
        self._ack_id = 1_000_000  # apart from those that tests write into packets themselves

    @classmethod
    async def open(
        cls, url: str, role: str, user_id: str, parser: str = "json", *, trips: Sequence[str] = ()
    ) -> Self:
        """Connect, and wait for `session:ready`."""
        session = cls(await WebSocket.open(url), Codec(parser), user_id)
        await session.begin(mint(role, user_id, trips=trips))
        return session

    async def begin(self, token: str) -> None:
        await self.socket.receive()
        self.socket.send(self.codec.connect({"token": token}))
        await self.hears("session:ready")

    def emit(self, event: str, payload: object) -> int:
        """Send a command; the id of its answer."""
        self._ack_id += 1
        self.socket.send(self.codec.event([event, payload], self._ack_id))
        return self._ack_id

    async def answer(self, ack_id: int) -> Any:
        """The answer to a command that was sent before."""
        while ack_id not in self.answers:
            await self.take()
        return self.answers.pop(ack_id)

    async def call(self, event: str, payload: object) -> Any:
        return await self.answer(self.emit(event, payload))

    async def ok(self, event: str, payload: object) -> Any:
        answer = await self.call(event, payload)
        assert answer["ok"] is True, answer
        return answer

    async def hears(self, event: str) -> Any:
        """The first event of this name, past or to come."""
        while not self.heard(event):
            await self.take()
        return self.heard(event)[0]

    def heard(self, event: str) -> list[Any]:
        return [payload for name, payload in self.events if name == event]

    async def is_alive(self) -> None:
        """What was sent before has been taken, and the connection still works."""
        answer = await self.call("no:such:event", {})
        assert answer["error"]["code"] == "unknown_event", answer

    async def ends(self) -> tuple[list[Any], int | None]:
        """Wait for the end: what `session:ended` said, each time, and the close code."""
        with suppress(Closed):
            while True:
                await self.take()
        return self.ended, self.code

    @property
    def ended(self) -> list[Any]:
        """What `session:ended` said, each time that it came."""
        return self.heard("session:ended")

    def close(self) -> None:
        self.socket.close()

    async def take(self) -> None:
        """Read the next packet, an answer or an event."""
        try:
            packet = await self.socket.receive()
        except Closed as closed:
            self.code = closed.code
            raise
        kind, ack_id, data = self.codec.read(packet)
        if kind == 2:
            self.events.append((data[0], data[1]))
        elif kind == 3 and ack_id is not None:
            assert ack_id not in self.answers, f"a second answer to {ack_id}"
            self.answers[ack_id] = data[0]


def _packed(packet: object) -> bytes:
    return msgspec.msgpack.encode(packet)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
