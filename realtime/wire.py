"""Socket.IO packets as bytes, for the two parsers that clients have: JSON and msgpack.

Source: Socket.IO protocol, revision 5; the packet shape of socket.io-msgpack-parser.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)
NAMESPACE: Final = "/"
MAX_ATTACHMENTS: Final = 10
_MAX_ID_DIGITS: Final = 16

T = TypeVar("T")


class Malformed(Exception):
    """Not a Socket.IO packet. `ack_id` is what an answer could still refer to."""

    def __init__(self, message: str, ack_id: int | None = None) -> None:
        super().__init__(message)
        self.ack_id = ack_id


class Packet(Struct, frozen=True):
    """A packet with its data unread. `attachments` binary frames follow it."""

    kind: int
    namespace: str
    ack_id: int | None
    data: Raw
    attachments: int = 0


class Frame:
    """A packet ready to leave: the same bytes for everybody who gets it."""

    __slots__ = ("binary", "data", "websocket")

    def __init__(self, data: bytes, *, binary: bool) -> None:
        """`data` is an Engine.IO message: text with its leading "4", or binary."""
        self.data = data
        self.binary = binary
        self.websocket = _websocket_frame(data, 0x82 if binary else 0x81)


def _websocket_frame(payload: bytes, head: int) -> bytes:
    """One final, unmasked frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", head, 126, size) + payload
    return struct.pack("!BBQ", head, 127, size) + payload


class Parser(ABC):
    """How one kind of client reads and writes packets."""

    name: ClassVar[str]
    _decoder_class: ClassVar[Any]

    def __init__(self) -> None:
        self._decoders: dict[Any, Any] = {}

    @abstractmethod
    def packet(self, data: str | bytes) -> Packet:
        """Raises Malformed."""

    def read(self, raw: Raw, kind: type[T]) -> T:
        """Raises msgspec.ValidationError for a wrong type, Malformed for what is no data."""
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = self._decoder_class(kind)
        try:
            value: T = decoder.decode(raw)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Malformed(str(error)) from error
        return value

    def arguments(self, packet: Packet) -> list[Raw]:
        """An event's arguments, its name the first. Raises Malformed."""
        try:
            arguments = self.read(packet.data, list[Raw])
        except (msgspec.ValidationError, Malformed) as error:
            raise Malformed(f"not an event: {error}", packet.ack_id) from error
        if not arguments:
            raise Malformed("an event without a name", packet.ack_id)
        return arguments

    @abstractmethod
    def event(self, event: "Encoded") -> Frame: ...

    @abstractmethod
    def answer(self, ack_id: int, answer: object) -> Frame: ...

    @abstractmethod
    def connected(self, session_id: str) -> Frame: ...

    @abstractmethod
    def refused(self, error: Mapping[str, Any], namespace: str = NAMESPACE) -> Frame: ...

    @abstractmethod
    def disconnected(self) -> Frame: ...


class JsonParser(Parser):
    """The default parser: packets are text, `42["event",{…}]`."""

    name = "json"
    _decoder_class = msgspec.json.Decoder

    def packet(self, data: str | bytes) -> Packet:
        if not isinstance(data, str) or not data or data[0] not in "0123456":
            raise Malformed("no packet type")
        kind = int(data[0])
        position, attachments = _attachments(data) if kind in (BINARY_EVENT, BINARY_ACK) else (1, 0)
        position, namespace = _namespace(data, position)
        position, ack_id = _ack_id(data, position)
        return Packet(kind, namespace, ack_id, Raw(data[position:].encode()), attachments)

    def event(self, event: "Encoded") -> Frame:
        return event.text

    def answer(self, ack_id: int, answer: object) -> Frame:
        return _text(b"43%d[%b]" % (ack_id, msgspec.json.encode(answer)))

    def connected(self, session_id: str) -> Frame:
        return _text(b"40" + msgspec.json.encode({"sid": session_id}))

    def refused(self, error: Mapping[str, Any], namespace: str = NAMESPACE) -> Frame:
        prefix = "" if namespace == NAMESPACE else f"{namespace},"
        return _text(b"44" + prefix.encode() + msgspec.json.encode(error))

    def disconnected(self) -> Frame:
        return _text(b"41")


class _Packed(Struct):
    """A packet as socket.io-msgpack-parser writes it."""

    type: int
    nsp: str = NAMESPACE
    data: Raw = Raw(b"")
    id: int | None = None


class MsgpackParser(Parser):
    """socket.io-msgpack-parser: packets are binary, `{type, nsp, data, id?}`."""

    name = "msgpack"
    _decoder_class = msgspec.msgpack.Decoder

    def packet(self, data: str | bytes) -> Packet:
        if not isinstance(data, bytes):
            raise Malformed("not binary")
        try:
            packed = self.read(Raw(data), _Packed)
        except msgspec.ValidationError as error:
            raise Malformed(str(error)) from error
        if not 0 <= packed.type <= CONNECT_ERROR:
            raise Malformed("no packet type")
        return Packet(packed.type, packed.nsp, packed.id, packed.data)

    def event(self, event: "Encoded") -> Frame:
        return event.packed

    def answer(self, ack_id: int, answer: object) -> Frame:
        return _pack({"type": ACK, "data": [answer], "nsp": NAMESPACE, "id": ack_id})

    def connected(self, session_id: str) -> Frame:
        return _pack({"type": CONNECT, "data": {"sid": session_id}, "nsp": NAMESPACE})

    def refused(self, error: Mapping[str, Any], namespace: str = NAMESPACE) -> Frame:
        return _pack({"type": CONNECT_ERROR, "data": error, "nsp": namespace})

    def disconnected(self) -> Frame:
        return _pack({"type": DISCONNECT, "nsp": NAMESPACE})


JSON: Final[Parser] = JsonParser()
MSGPACK: Final[Parser] = MsgpackParser()


class Encoded:
    """One event, encoded once per parser however many hear it."""

    __slots__ = ("_packed", "_payload", "_text", "json", "name")

    def __init__(self, name: str, payload: object, json: bytes | None = None) -> None:
        """`payload` is anything that msgspec encodes; where it came as `json`, Raw of the same."""
        self.name = name
        self.json = msgspec.json.encode(payload) if json is None else json
        self._payload = payload
        self._text: Frame | None = None
        self._packed: Frame | None = None

    @classmethod
    def received(cls, name: str, json: bytes) -> "Encoded":
        """An event that another instance has encoded."""
        return cls(name, Raw(json), json)

    @property
    def text(self) -> Frame:
        if self._text is None:
            self._text = _text(b'42["%b",%b]' % (self.name.encode(), self.json))
        return self._text

    @property
    def packed(self) -> Frame:
        if self._packed is None:
            payload = self._payload
            if isinstance(payload, Raw):
                payload = msgspec.json.decode(payload)
            self._packed = _pack({"type": EVENT, "data": [self.name, payload], "nsp": NAMESPACE})
        return self._packed


def _text(packet: bytes) -> Frame:
    return Frame(packet, binary=False)


def _pack(packet: Mapping[str, object]) -> Frame:
    return Frame(msgspec.msgpack.encode(packet), binary=True)


def _attachments(data: str) -> tuple[int, int]:
    dash = data.find("-", 1, 12)
    count = data[1:dash]
    if dash < 0 or not _is_number(count) or int(count) > MAX_ATTACHMENTS:
        raise Malformed("no number of attachments, or too many")
    return dash + 1, int(count)


def _namespace(data: str, position: int) -> tuple[int, str]:
    if not data.startswith("/", position):
        return position, NAMESPACE
    comma = data.find(",", position)
    end = comma if comma >= 0 else len(data)
    return min(end + 1, len(data)), data[position:end].partition("?")[0]


def _ack_id(data: str, position: int) -> tuple[int, int | None]:
    end = position
    while end < len(data) and data[end] in "0123456789":
        end += 1
    if end == position:
        return position, None
    if end - position > _MAX_ID_DIGITS:
        raise Malformed("an acknowledgement id of too many digits")
    return end, int(data[position:end])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
