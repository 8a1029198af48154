"""Socket.IO packets as a client reads and writes them, in JSON and in msgpack."""

import re
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from realtime.wire import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, NAMESPACE

OPEN: Final = "0"
PING: Final = "2"
PONG: Final = "3"
_HEAD: Final = re.compile(r"4(?P<kind>[0-4])(?P<id>[0-9]*)")

Frame = str | bytes


class Packet(Struct, frozen=True):
    """What came: an event has its name, an acknowledgement its number."""

    kind: int
    data: Any = None
    name: str = ""
    ack: int | None = None


class Parser(Protocol):
    def connect(self, auth: dict[str, str]) -> Frame: ...

    def event(self, name: str, payload: object, ack: int) -> Frame: ...

    def read(self, frame: Frame) -> Packet: ...


class Json:
    """Packets as text."""

    def connect(self, auth: dict[str, str]) -> Frame:
        return f"4{CONNECT}{msgspec.json.encode(auth).decode()}"

    def event(self, name: str, payload: object, ack: int) -> Frame:
        return f"4{EVENT}{ack}{msgspec.json.encode([name, payload]).decode()}"

    def read(self, frame: Frame) -> Packet:
        text = frame if isinstance(frame, str) else frame.decode()
        head = _HEAD.match(text)
        if head is None:
            raise ValueError(f"no packet: {text[:80]}")
        rest = text[head.end() :]
        data = msgspec.json.decode(rest) if rest else None
        return _packet(int(head["kind"]), data, int(head["id"]) if head["id"] else None)


class Msgpack:
    """Packets as socket.io-msgpack-parser has them."""

    def connect(self, auth: dict[str, str]) -> Frame:
        return msgspec.msgpack.encode({"type": CONNECT, "data": auth, "nsp": NAMESPACE})

    def event(self, name: str, payload: object, ack: int) -> Frame:
        packet = {"type": EVENT, "data": [name, payload], "nsp": NAMESPACE, "id": ack}
        return msgspec.msgpack.encode(packet)

    def read(self, frame: Frame) -> Packet:
        packet = msgspec.msgpack.decode(frame if isinstance(frame, bytes) else frame.encode())
        return _packet(packet["type"], packet.get("data"), packet.get("id"))


def _packet(kind: int, data: Any, ack: int | None) -> Packet:  # noqa: ANN401 - whatever came
    if kind == EVENT:
        return Packet(kind, data[1] if len(data) > 1 else None, data[0])
    if kind == ACK:
        return Packet(kind, data[0] if data else None, ack=ack)
    return Packet(kind, data)


__all__ = [
    "ACK",
    "CONNECT",
    "CONNECT_ERROR",
    "DISCONNECT",
    "EVENT",
    "OPEN",
    "PING",
    "PONG",
    "Frame",
    "Json",
    "Msgpack",
    "Packet",
    "Parser",
]
