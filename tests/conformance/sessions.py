"""Engine.IO sessions by hand, on either transport, and Socket.IO's packets on top of them.

The packets are written and read by python-socketio's own classes, so that what is understood here
is understood by others.
"""

import asyncio
import base64
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Self

import msgspec
from msgspec import Struct
from socketio.msgpack_packet import MsgPackPacket
from socketio.packet import Packet as JsonPacket

from tests.hostile.raw import UPGRADE, Closed, Http, Response, WebSocket, request

ENGINEIO: Final = "/engine.io/"
SOCKETIO: Final = "/socket.io/"
SEPARATOR: Final = b"\x1e"
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)

Message = str | bytes


def polling(path: str) -> str:
    return f"{path}?EIO=4&transport=polling"


def websocket(path: str, sid: str = "") -> str:
    return f"{path}?EIO=4&transport=websocket" + (f"&sid={sid}" if sid else "")


class Session(ABC):
    """A session that has been opened; `opening` is what the server said to that."""

    opening: dict[str, Any]

    @classmethod
    @abstractmethod
    async def open(cls, url: str, path: str) -> Self: ...

    @abstractmethod
    async def send(self, *packets: Message) -> None:
        """Send Engine.IO packets, all in one piece."""

    @abstractmethod
    async def receive(self) -> Message:
        """The next packet. Raises Closed at the end."""

    @abstractmethod
    def close(self) -> None: ...

    @property
    def sid(self) -> str:
        return str(self.opening["sid"])

    async def ends(self) -> list[Message]:
        """Wait for the end; what came before it."""
        packets = []
        with suppress(Closed):
            while True:
                packets.append(await self.receive())
        return packets

    async def is_alive(self) -> None:
        """An echo of Engine.IO's still answers."""
        await self.send("4still here")
        assert await self.receive() == "4still here"


class OverWebSocket(Session):
    def __init__(self, raw: WebSocket, opening: dict[str, Any]) -> None:
        self.raw = raw
        self.opening = opening

    @classmethod
    async def open(cls, url: str, path: str) -> Self:
        raw = await WebSocket.open(url, websocket(path))
        return cls(raw, opened(await raw.receive()))

    async def send(self, *packets: Message) -> None:
        self.raw.send(*packets)

    async def receive(self) -> Message:
        return await self.raw.receive()

    async def ends_with(self, code: int | None) -> None:
        """It closes with this code, and nothing comes before that."""
        assert await self.raw.rest() == ([], code)
        await self.raw.is_over()
        self.close()

    def close(self) -> None:
        self.raw.close()


class OverPolling(Session):
    """Each request has a connection of its own."""

    def __init__(self, url: str, path: str, opening: dict[str, Any]) -> None:
        self.url = url
        self.path = path
        self.opening = opening
        self._fetched: deque[Message] = deque()

    @classmethod
    async def open(cls, url: str, path: str) -> Self:
        response = await request(url, "GET", polling(path))
        assert response.status == 200, response
        return cls(url, path, opened(response.body.decode()))

    @property
    def target(self) -> str:
        return f"{polling(self.path)}&sid={self.sid}"

    async def send(self, *packets: Message) -> None:
        response = await self.post(SEPARATOR.join(map(encoded, packets)))
        assert (response.status, response.body) == (200, b"ok"), response

    async def receive(self) -> Message:
        """What only ends a poll is passed over."""
        while not self._fetched:
            response = await self.poll()
            if response.status != 200 or response.body == b"1":
                raise Closed(None)
            self._fetched += (packet for packet in packets_of(response) if packet != "6")
        return self._fetched.popleft()

    def close(self) -> None:
        """There is nothing open between two requests."""

    async def poll(self) -> Response:
        return await request(self.url, "GET", self.target)

    async def post(self, body: bytes, **headers: str) -> Response:
        return await request(self.url, "POST", self.target, headers, body)

    async def waiting(self) -> Http:
        """A poll that has been sent and finds nothing yet."""
        http = await Http.open(self.url)
        http.ask("GET", self.target, {})
        await request(self.url, "GET", "/elsewhere")  # answered later than that was read
        return http

    async def probe(self) -> WebSocket:
        """A WebSocket that the server has found to work, for this session."""
        raw = await WebSocket.open(self.url, websocket(self.path, self.sid))
        raw.send("2probe")
        assert await raw.receive() == "3probe"
        return raw

    async def upgraded(self) -> OverWebSocket:
        """Change over, as the clients do: no poll is under way any more."""
        raw = await self.probe()
        assert (await self.poll()).body == b"6"
        raw.send("5")
        return OverWebSocket(raw, self.opening)

    async def is_over(self) -> None:
        """Whatever is asked of it is refused."""
        assert (await self.poll()).status == 400
        assert (await self.post(b"4x")).status == 400
        target = websocket(self.path, self.sid)
        assert (await request(self.url, "GET", target, UPGRADE)).status == 400


TRANSPORTS: Final[Sequence[type[Session]]] = (OverPolling, OverWebSocket)


def opened(packet: Message) -> dict[str, Any]:
    assert isinstance(packet, str)
    assert packet[0] == "0"
    opening: dict[str, Any] = msgspec.json.decode(packet[1:])
    return opening


def encoded(packet: Message) -> bytes:
    """A packet as polling has it."""
    return b"b" + base64.b64encode(packet) if isinstance(packet, bytes) else packet.encode()


def packets_of(response: Response) -> list[Message]:
    """What a poll has brought."""
    return [
        base64.b64decode(packet[1:]) if packet.startswith(b"b") else packet.decode()
        for packet in response.body.split(SEPARATOR)
    ]


class Packet(Struct, frozen=True):
    """A Socket.IO packet of the server's, its attachments in place."""

    kind: int
    data: Any = None
    namespace: str = "/"
    id: int | None = None


class Client:
    """A Socket.IO client that does what it is told."""

    def __init__(self, session: Session, parser: str) -> None:
        self.session = session
        self.parser = parser
        self._class: Any = MsgPackPacket if parser == "msgpack" else JsonPacket

    @classmethod
    async def open(
        cls, url: str, parser: str = "json", transport: type[Session] = OverWebSocket
    ) -> Self:
        return cls(await transport.open(url, SOCKETIO), parser)

    def packets(self, kind: int, data: Any = None, **fields: Any) -> list[Message]:
        """One of the client's packets, with its attachments, as Engine.IO's."""
        encoded = self._class(kind, data, **{"namespace": "/", **fields}).encode()
        if isinstance(encoded, bytes):
            return [encoded]
        first, *attachments = encoded if isinstance(encoded, list) else [encoded]
        return [f"4{first}", *attachments]

    async def send(self, kind: int, data: Any = None, **fields: Any) -> None:
        await self.session.send(*self.packets(kind, data, **fields))

    async def receive(self) -> Packet:
        """The next packet, whole. Raises Closed at the end."""
        packet = self._decoded(await self.session.receive())
        for _ in range(packet.attachment_count):
            packet.add_attachment(await self.session.receive())
        return Packet(packet.packet_type, packet.data, packet.namespace or "/", packet.id)

    def read(self, message: Message) -> Packet:
        """A packet that has no attachments."""
        packet = self._decoded(message)
        return Packet(packet.packet_type, packet.data, packet.namespace or "/", packet.id)

    def _decoded(self, first: Message) -> Any:
        return self._class(encoded_packet=first[1:] if isinstance(first, str) else first)

    async def connect(self, namespace: str = "/", auth: Any = None) -> str:
        """Join a namespace; the id there."""
        await self.send(CONNECT, auth, namespace=namespace)
        packet = await self.receive()
        assert (packet.kind, packet.namespace) == (CONNECT, namespace), packet
        sid: str = packet.data.pop("sid")
        assert packet.data == {}
        return sid

    async def join(self, namespace: str = "/", auth: Any = None) -> str:
        """Join one of the example's namespaces, which repeat what was sent along."""
        sid = await self.connect(namespace, auth)
        assert await self.receive() == Packet(EVENT, ["auth", auth or {}], namespace)
        return sid

    async def is_refused(self, namespace: str = "/unknown") -> None:
        """There is no such namespace; and what was sent before has been taken."""
        await self.send(CONNECT, namespace=namespace)
        refusal = {"message": "Invalid namespace"}
        assert await self.receive() == Packet(CONNECT_ERROR, refusal, namespace)

    async def emit(self, *values: Any, namespace: str = "/", id: int | None = None) -> None:  # noqa: A002
        await self.send(EVENT, list(values), namespace=namespace, id=id)

    async def echoes(self, *values: Any, namespace: str = "/") -> None:
        """The example sends back what it is sent."""
        await self.emit("message", *values, namespace=namespace)
        packet = await self.receive()
        assert packet.kind in (EVENT, BINARY_EVENT)
        assert (packet.namespace, packet.data) == (namespace, ["message-back", *values])

    def close(self) -> None:
        self.session.close()


async def together(*waits: Any) -> list[Any]:
    return list(await asyncio.gather(*waits))
