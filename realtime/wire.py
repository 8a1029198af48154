"""Socket.IO packets as bytes, for the two parsers that clients have: JSON and msgpack.

Source: Socket.IO protocol, revision 5; the packet shape of socket.io-msgpack-parser.
"""

import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)
NAMESPACE: Final = "/"
MAX_ATTACHMENTS: Final = 10
_RESERVED: Final = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)
"""Events of the clients' own, which nobody sends."""
_HEAD: Final = re.compile(
    rb"(?P<kind>[0-6])(?:(?P<attachments>[0-9]{1,10})-)?"
    rb"(?:(?P<namespace>/[^,]*),?)?(?P<id>[0-9]{1,16}(?![0-9]))?"
)
"""What comes before a packet's data. An acknowledgement id has at most 16 digits."""

T = TypeVar("T")
_encode_json: Final = msgspec.json.Encoder().encode
_head_16: Final = struct.Struct("!BBH").pack
_head_64: Final = struct.Struct("!BBQ").pack


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

    def __init__(self, data: bytes, binary: bool) -> None:
        """`data` is an Engine.IO message: text with its leading "4", or binary."""
        size = len(data)
        first = 0x82 if binary else 0x81
        if 126 <= size < 65_536:
            head = _head_16(first, 126, size)
        elif size < 126:
            head = bytes((first, size))
        else:
            head = _head_64(first, 127, size)
        self.data = data
        self.binary = binary
        self.websocket = head + data
        """The message as one final, unmasked frame (RFC 6455, section 5.2)."""


class Parser(ABC):
    """How one kind of client reads and writes packets."""

    name: ClassVar[str]
    binary: ClassVar[bool]
    """Whether its packets are binary messages."""
    _decoder_class: ClassVar[Any]

    def __init__(self) -> None:
        self._decoders: dict[Any, Any] = {}

    @abstractmethod
    def packet(self, data: bytes) -> Packet:
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

    def event_name(self, packet: Packet, raw: Raw) -> str:
        """An event's name, from the first of its arguments. Raises Malformed."""
        try:
            name = self.read(raw, str)
        except (msgspec.ValidationError, Malformed) as error:
            raise Malformed("the event's name is no string", packet.ack_id) from error
        if name in _RESERVED:
            raise Malformed("the event is the client's own", packet.ack_id)
        return name

    @abstractmethod
    def is_auth(self, raw: Raw) -> bool:
        """Whether it is what a client may connect with: an object, or nothing."""

    def values(self, packet: Packet, attachments: Sequence[bytes]) -> list[Any]:
        """The data of an event or acknowledgement, attachments in place. Raises Malformed."""
        try:
            values: list[Any] = self.read(packet.data, list[Any])
        except msgspec.ValidationError as error:
            raise Malformed(f"no list: {error}", packet.ack_id) from error
        if packet.attachments == 0:
            return values
        try:
            filled: list[Any] = _filled(values, attachments)
        except RecursionError as error:
            raise Malformed("too many levels", packet.ack_id) from error
        return filled

    @abstractmethod
    def answer(self, ack_id: int, answer: object) -> Frame: ...

    @abstractmethod
    def emitted(self, namespace: str, values: Sequence[object], ack_id: int | None) -> list[Frame]:
        """An event, its name the first of the values, with its attachments."""

    @abstractmethod
    def acknowledged(self, namespace: str, values: Sequence[object], ack_id: int) -> list[Frame]:
        """An acknowledgement with its attachments."""

    @abstractmethod
    def connected(self, session_id: str, namespace: str = NAMESPACE) -> Frame: ...

    @abstractmethod
    def refused(self, error: Mapping[str, Any], namespace: str = NAMESPACE) -> Frame: ...

    @abstractmethod
    def disconnected(self, namespace: str = NAMESPACE) -> Frame: ...


class JsonParser(Parser):
    """The default parser: packets are text, `42["event",{…}]`."""

    name = "json"
    binary = False
    _decoder_class = msgspec.json.Decoder

    def packet(self, data: bytes) -> Packet:
        head = _HEAD.match(data)
        if head is None:
            raise Malformed("no packet type")
        kind = int(head["kind"])
        if kind == DISCONNECT and head.end() < len(data):
            raise Malformed("a disconnect brings no data")
        ack_id = None if head["id"] is None else int(head["id"])
        return Packet(
            kind,
            _namespace(head["namespace"]),
            ack_id,
            Raw(data[head.end() :]),
            _attachments(kind, head["attachments"]),
        )

    def is_auth(self, raw: Raw) -> bool:
        try:
            if raw:
                self.read(raw, dict[str, Any])
        except (msgspec.ValidationError, Malformed):
            return False
        return True

    def answer(self, ack_id: int, answer: object) -> Frame:
        return _text(b"43%d[%b]" % (ack_id, msgspec.json.encode(answer)))

    def emitted(self, namespace: str, values: Sequence[object], ack_id: int | None) -> list[Frame]:
        return self._with_attachments((EVENT, BINARY_EVENT), namespace, values, ack_id)

    def acknowledged(self, namespace: str, values: Sequence[object], ack_id: int) -> list[Frame]:
        return self._with_attachments((ACK, BINARY_ACK), namespace, values, ack_id)

    def connected(self, session_id: str, namespace: str = NAMESPACE) -> Frame:
        return _text(b"40%b%b" % (_comma(namespace), msgspec.json.encode({"sid": session_id})))

    def refused(self, error: Mapping[str, Any], namespace: str = NAMESPACE) -> Frame:
        return _text(b"44%b%b" % (_comma(namespace), msgspec.json.encode(error)))

    def disconnected(self, namespace: str = NAMESPACE) -> Frame:
        return _text(b"41%b" % _comma(namespace))

    def _with_attachments(
        self, kinds: tuple[int, int], namespace: str, values: Sequence[object], ack_id: int | None
    ) -> list[Frame]:
        attachments: list[bytes] = []
        data = msgspec.json.encode(_emptied(values, attachments))
        kind = b"%d%d-" % (kinds[1], len(attachments)) if attachments else b"%d" % kinds[0]
        number = b"" if ack_id is None else b"%d" % ack_id
        packet = b"4%b%b%b%b" % (kind, _comma(namespace), number, data)
        return [_text(packet), *(Frame(binary, binary=True) for binary in attachments)]


class _Packed(Struct):
    """A packet as socket.io-msgpack-parser writes it."""

    type: int
    nsp: str = NAMESPACE
    data: Raw = Raw(b"")
    id: int | None = None


class MsgpackParser(Parser):
    """socket.io-msgpack-parser: packets are binary, `{type, nsp, data, id?}`."""

    name = "msgpack"
    binary = True
    _decoder_class = msgspec.msgpack.Decoder

    def packet(self, data: bytes) -> Packet:
        try:
            packed = self.read(Raw(data), _Packed)
        except msgspec.ValidationError as error:
            raise Malformed(str(error)) from error
        if not 0 <= packed.type <= CONNECT_ERROR:
            raise Malformed("no packet type")
        if packed.type == DISCONNECT and not _is_nothing(packed.data):
            raise Malformed("a disconnect brings no data")
        return Packet(packed.type, packed.nsp, packed.id, packed.data)

    def is_auth(self, raw: Raw) -> bool:
        """See `Parser`."""
        try:
            if not _is_nothing(raw):
                self.read(raw, dict[Any, Any])
        except (msgspec.ValidationError, Malformed):
            return False
        return True

    def answer(self, ack_id: int, answer: object) -> Frame:
        return _pack({"type": ACK, "data": [answer], "nsp": NAMESPACE, "id": ack_id})

    def emitted(self, namespace: str, values: Sequence[object], ack_id: int | None) -> list[Frame]:
        packet = {"type": EVENT, "data": values, "nsp": namespace}
        return [_pack(packet if ack_id is None else packet | {"id": ack_id})]

    def acknowledged(self, namespace: str, values: Sequence[object], ack_id: int) -> list[Frame]:
        return [_pack({"type": ACK, "data": values, "nsp": namespace, "id": ack_id})]

    def connected(self, session_id: str, namespace: str = NAMESPACE) -> Frame:
        return _pack({"type": CONNECT, "data": {"sid": session_id}, "nsp": namespace})

    def refused(self, error: Mapping[str, Any], namespace: str = NAMESPACE) -> Frame:
        return _pack({"type": CONNECT_ERROR, "data": error, "nsp": namespace})

    def disconnected(self, namespace: str = NAMESPACE) -> Frame:
        return _pack({"type": DISCONNECT, "nsp": namespace})


JSON: Final[Parser] = JsonParser()
MSGPACK: Final[Parser] = MsgpackParser()


class Encoded:
    """One event, encoded once per parser however many hear it, and not before the first one does
    unless it came encoded.
    """

    __slots__ = ("_json", "_packed", "_payload", "_text", "name")

    def __init__(
        self,
        name: str,
        payload: object,
        json: bytes | None = None,
        text: Frame | None = None,
    ) -> None:
        """`payload` is anything that msgspec encodes, or UNSET: then see `of_json`, `of_packet`."""
        self.name = name
        self._json = json if payload is UNSET else _encode_json(payload)
        self._payload = payload
        self._text = text
        self._packed: Frame | None = None

    @classmethod
    def of_json(cls, name: str, json: bytes) -> "Encoded":
        """An event whose payload is encoded already, here or on another instance."""
        return cls(name, UNSET, json)

    @classmethod
    def of_packet(cls, name: str, packet: bytes) -> "Encoded":
        """An event that is a packet in text already. It begins with its `event_head`."""
        return cls(name, UNSET, text=_text(packet))

    @property
    def json(self) -> bytes:
        """The payload."""
        if self._json is None:
            self._json = self.frame(False).data[len(event_head(self.name)) : -1]
        return self._json

    def frame(self, binary: bool) -> Frame:
        """For a client whose parser is that."""
        frame = self._packed if binary else self._text
        if frame is not None:
            return frame
        return self._pack() if binary else self._write()

    def _write(self) -> Frame:
        self._text = frame = _text(event_head(self.name) + self.json + b"]")
        return frame

    def _pack(self) -> Frame:
        payload = self._payload
        if payload is UNSET or isinstance(payload, Raw):
            payload = msgspec.json.decode(self.json)
        packet = {"type": EVENT, "data": [self.name, payload], "nsp": NAMESPACE}
        self._packed = frame = _pack(packet)
        return frame


@lru_cache(maxsize=256)
def event_head(name: str) -> bytes:
    """How an event's packet in text begins, up to its payload.

    Names that a back end pushes are its own, and any number.
    """
    return b'42["%b",' % name.encode()


def _text(packet: bytes) -> Frame:
    return Frame(packet, False)


def _pack(packet: Mapping[str, object]) -> Frame:
    return Frame(msgspec.msgpack.encode(packet), binary=True)


def _namespace(given: bytes | None) -> str:
    if given is None:
        return NAMESPACE
    try:
        return given.decode().partition("?")[0]
    except UnicodeDecodeError as error:
        raise Malformed("a namespace that is not UTF-8") from error


def _attachments(kind: int, given: bytes | None) -> int:
    """How many binary messages follow."""
    if (given is None) is (kind in (BINARY_EVENT, BINARY_ACK)):
        raise Malformed("no number of attachments, or one where there are none")
    count = int(given or 0)
    if count > MAX_ATTACHMENTS:
        raise Malformed("too many attachments")
    return count


def _is_nothing(raw: Raw) -> bool:
    """Whether it is what an encoder of msgpack makes of no value: none, nil, or an extension."""
    return bytes(raw) in (b"", b"\xc0", b"\xd4\x00\x00")


def _comma(namespace: str) -> bytes:
    return b"" if namespace == NAMESPACE else f"{namespace},".encode()


def _emptied(value: object, attachments: list[bytes]) -> object:
    """A value with placeholders for what is binary, which is added to `attachments`."""
    if isinstance(value, bytes | bytearray | memoryview):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, Mapping):
        return {key: _emptied(inner, attachments) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_emptied(inner, attachments) for inner in value]
    return value


def _filled(value: Any, attachments: Sequence[bytes]) -> Any:  # noqa: ANN401 - any JSON
    """A value with its attachments in the places of their placeholders. Raises Malformed."""
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            number = value.get("num")
            if type(number) is not int or not 0 <= number < len(attachments):
                raise Malformed("a placeholder for no attachment")
            return attachments[number]
        return {key: _filled(inner, attachments) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, attachments) for inner in value]
    return value
