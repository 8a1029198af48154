"""Packets as bytes: what python-socketio writes is read, what is written it reads, and nothing that
a client can send is more than malformed.
"""

import struct
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import Raw, Struct
from msgspec.msgpack import Ext
from socketio.msgpack_packet import MsgPackPacket
from socketio.packet import Packet as JsonPacket

from realtime.wire import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    JSON,
    MSGPACK,
    Encoded,
    Frame,
    Malformed,
    Packet,
    Parser,
)

PAYLOADS: list[Any] = [
    {},
    {"trip_id": "t1", "lat": 52.5, "n": -1, "none": None, "yes": True, "list": [1, [2, {"a": []}]]},
    {"text": 'Grüße "\\ 🚕 \u2028\n\x00'},
    {"big": 2**53 - 1, "ts": 1_800_000_000_000, "tiny": 1e-9},
    [{"lat": 1.0}, {"lat": 2.0}],
    "text",
    7,
    None,
]


class Fact(Struct, frozen=True):
    trip_id: str
    ts: int


def written_by_socketio(parser: Parser, kind: int, **fields: Any) -> bytes:
    """A packet as a python-socketio client sends it."""
    return pieces_by_socketio(parser, kind, **fields)[0]


def pieces_by_socketio(parser: Parser, kind: int, **fields: Any) -> list[bytes]:
    """The same, with the attachments that follow it."""
    packet_class = JsonPacket if parser is JSON else MsgPackPacket
    encoded = packet_class(kind, **{"namespace": "/", **fields}).encode()
    pieces = encoded if isinstance(encoded, list) else [encoded]
    return [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]


def read_by_socketio(frame: Frame, *attachments: Frame) -> Any:
    """Frames as a python-socketio client reads them, inside of Engine.IO messages."""
    if frame.binary:
        return MsgPackPacket(encoded_packet=frame.data)
    text = frame.data.decode()
    assert text[0] == "4"
    packet = JsonPacket(encoded_packet=text[1:])
    for number, attachment in enumerate(attachments, 1):
        assert attachment.binary
        assert packet.add_attachment(attachment.data) is (number == len(attachments))
    return packet


def values(parser: Parser, packet: Packet) -> list[Any]:
    """An event's name and arguments."""
    return [parser.read(raw, object) for raw in parser.arguments(packet)]


@pytest.mark.parametrize("parser", [JSON, MSGPACK], ids=["json", "msgpack"])
class TestReading:
    @pytest.mark.parametrize("payload", PAYLOADS)
    @pytest.mark.parametrize("ack_id", [None, 0, 7, 2**53 - 1])
    def test_an_event_is_its_name_and_payload(
        self, parser: Parser, payload: object, ack_id: int | None
    ) -> None:
        data = written_by_socketio(parser, EVENT, data=["trip:update", payload], id=ack_id)
        packet = parser.packet(data)
        assert (packet.kind, packet.namespace, packet.ack_id) == (EVENT, "/", ack_id)
        assert packet.attachments == 0
        assert values(parser, packet) == ["trip:update", payload]

    def test_an_event_may_have_no_payload_or_several(self, parser: Parser) -> None:
        for arguments in (["a"], ["a", {}, 1, [2]]):
            packet = parser.packet(written_by_socketio(parser, EVENT, data=arguments))
            assert values(parser, packet) == arguments

    @pytest.mark.parametrize("auth", [{"token": "x", "device": "d"}, {}])
    def test_a_connect_brings_its_auth(self, parser: Parser, auth: dict[str, str]) -> None:
        packet = parser.packet(written_by_socketio(parser, CONNECT, data=auth))
        assert packet.kind == CONNECT
        assert parser.read(packet.data, dict[str, Any]) == auth

    def test_a_connect_without_auth_is_a_connect(self, parser: Parser) -> None:
        assert parser.packet(written_by_socketio(parser, CONNECT)).kind == CONNECT

    def test_a_disconnect_is_one(self, parser: Parser) -> None:
        assert parser.packet(written_by_socketio(parser, DISCONNECT)).kind == DISCONNECT

    def test_an_acknowledgement_is_one(self, parser: Parser) -> None:
        packet = parser.packet(written_by_socketio(parser, ACK, data=["x"], id=3))
        assert (packet.kind, packet.ack_id) == (ACK, 3)

    @pytest.mark.parametrize("namespace", ["/admin", "/a/b", "/ünï"])
    def test_another_namespace_is_named(self, parser: Parser, namespace: str) -> None:
        for ack_id in (None, 5):
            data = written_by_socketio(
                parser, EVENT, data=["a", {"b": 1}], id=ack_id, namespace=namespace
            )
            packet = parser.packet(data)
            assert (packet.namespace, packet.ack_id) == (namespace, ack_id)
            assert values(parser, packet) == ["a", {"b": 1}]

    @pytest.mark.parametrize("name", ["connect", "connect_error", "disconnect", "disconnecting"])
    def test_a_clients_own_events_are_nobodys_to_send(self, parser: Parser, name: str) -> None:
        packet = parser.packet(written_by_socketio(parser, EVENT, data=[name, {}], id=4))
        with pytest.raises(Malformed) as refused:
            parser.event_name(packet, parser.arguments(packet)[0])
        assert refused.value.ack_id == 4

    @pytest.mark.parametrize("name", [5, None, {"$ne": 1}, ["a"], True])
    def test_a_name_is_text(self, parser: Parser, name: object) -> None:
        packet = parser.packet(written_by_socketio(parser, EVENT, data=[name, {}], id=4))
        with pytest.raises(Malformed) as refused:
            parser.event_name(packet, parser.arguments(packet)[0])
        assert refused.value.ack_id == 4

    def test_what_has_no_name_is_no_event(self, parser: Parser) -> None:
        packet = parser.packet(written_by_socketio(parser, EVENT, data=[], id=4))
        with pytest.raises(Malformed) as refused:
            parser.arguments(packet)
        assert refused.value.ack_id == 4

    def test_arguments_that_are_no_list_are_no_event(self, parser: Parser) -> None:
        for data in ({"a": 1}, "a", True, None):
            encoded = (
                b"24" + msgspec.json.encode(data)
                if parser is JSON
                else msgspec.msgpack.encode({"type": EVENT, "nsp": "/", "data": data, "id": 4})
            )
            with pytest.raises(Malformed) as refused:
                parser.arguments(parser.packet(encoded))
            assert refused.value.ack_id == 4
            with pytest.raises(Malformed):
                parser.values(parser.packet(encoded), ())


class TestAttachments:
    @pytest.mark.parametrize("number", ["-1", "2", "0.5", '"0"', "null", "true", "[]", "1e400"])
    def test_a_placeholder_for_none_of_them_is_malformed(self, number: str) -> None:
        data = f'52-["a",{{"_placeholder":true,"num":{number}}}]'
        with pytest.raises(Malformed):
            JSON.values(JSON.packet(data.encode()), [b"", b""])

    def test_what_only_looks_like_a_placeholder_is_left_alone(self) -> None:
        for given in ({"_placeholder": False, "num": 0}, {"_placeholder": 1}, {"num": 0}):
            data = b"51-" + msgspec.json.encode(["a", given])
            assert JSON.values(JSON.packet(data), [b"x"]) == ["a", given]
            plain = b"2" + msgspec.json.encode(["a", {"_placeholder": True, "num": 0}])
            assert JSON.values(JSON.packet(plain), ()) == ["a", {"_placeholder": True, "num": 0}]

    @pytest.mark.parametrize("levels", [100, 400, 900, 5_000])
    def test_many_levels_are_read_or_malformed(self, levels: int) -> None:
        data = b'51-["a",' + b"[" * levels + b"]" * levels + b"]"
        try:
            JSON.values(JSON.packet(data), [b""])
        except Malformed:
            assert levels > 100


class TestReadingText:
    def test_an_event_with_attachments_says_how_many(self) -> None:
        data = pieces_by_socketio(JSON, EVENT, data=["a", {"b": b"1", "c": b"2"}], id=9)[0]
        packet = JSON.packet(data)
        assert (packet.kind, packet.attachments, packet.ack_id) == (BINARY_EVENT, 2, 9)
        assert values(JSON, packet)[0] == "a"

    @pytest.mark.parametrize(("text", "count"), [("50-[]", 0), ("61-[]", 1), ("510-[]", 10)])
    def test_up_to_ten_attachments_are_announced(self, text: str, count: int) -> None:
        assert JSON.packet(text.encode()).attachments == count

    @pytest.mark.parametrize(
        "text",
        [
            *("511-[]", "5-[]", "5[]", "5", "5a-[]", "5-1-[]", "5\u0663-[]", "599999999999-[]"),
            *("6", "6[]", "20-[]", "21-[]", "31-[]", "01-{}", "11-"),
        ],
    )
    def test_others_and_those_of_other_packets_are_malformed(self, text: str) -> None:
        with pytest.raises(Malformed):
            JSON.packet(text.encode())

    def test_a_namespaces_query_is_left_out(self) -> None:
        packet = JSON.packet(b'2/admin?token=x,7["a"]')
        assert (packet.namespace, packet.ack_id) == ("/admin", 7)

    def test_a_namespace_may_be_all_there_is(self) -> None:
        for text in (b"0/admin", b"0/admin,", b"1/admin?a=b"):
            packet = JSON.packet(text)
            assert (packet.namespace, bytes(packet.data)) == ("/admin", b"")

    def test_a_namespace_that_is_no_utf_8_is_malformed(self) -> None:
        with pytest.raises(Malformed):
            JSON.packet(b"0/\xff,")

    @pytest.mark.parametrize("text", ["1{}", "1[]", "1x", "1/admin,x"])
    def test_a_disconnect_with_data_is_malformed(self, text: str) -> None:
        with pytest.raises(Malformed):
            JSON.packet(text.encode())

    def test_an_id_has_16_digits_at_most(self) -> None:
        assert JSON.packet(b"2" + b"9" * 16 + b'["a"]').ack_id == 10**16 - 1
        for digits in (17, 5_000, 250_000):
            with pytest.raises(Malformed):
                JSON.arguments(JSON.packet(b"2" + b"9" * digits + b'["a"]'))

    @pytest.mark.parametrize("text", ["", "7", "9[]", "a", " 2[]", "-1", "\u0662[]", "{}", "[]"])
    def test_what_has_no_type_is_malformed(self, text: str) -> None:
        with pytest.raises(Malformed):
            JSON.packet(text.encode())

    @pytest.mark.parametrize(
        "text", [b"\xff\xfe", b"2\xff", b'2["a","\xff"]', b'2["\xed\xa0\x80"]']
    )
    def test_what_is_no_utf_8_is_malformed(self, text: bytes) -> None:
        with pytest.raises(Malformed):
            values(JSON, JSON.packet(text))

    @pytest.mark.parametrize("auth", ["", "{}", '{"token":"x","more":[{}]}', " {} "])
    def test_a_client_connects_with_an_object_or_nothing(self, auth: str) -> None:
        assert JSON.is_auth(JSON.packet(f"0{auth}".encode()).data)

    @pytest.mark.parametrize(
        "auth", ["[]", '"token"', "null", "true", "1.5", "{", "{}{}", '{"a":}', "[[[", "NaN"]
    )
    def test_it_connects_with_nothing_else(self, auth: str) -> None:
        assert not JSON.is_auth(JSON.packet(f"0{auth}".encode()).data)

    @pytest.mark.parametrize(
        "rest",
        [
            *("", "[", '["a"', '["a",]', '["a"]]', '["a"] x', "[,]", '["a" "b"]', "['a']", "nul"),
            *('["a",01]', '["a",1.2.3]', '["a",-]', '["a","\\x"]', '["a","\x01"]', '["a",NaN]'),
            *('["a","\\ud800"]', '["a",{"b":1,}]', '["a",{1:2}]', '["a",tru]', "\ufeff[]"),
        ],
    )
    def test_what_is_no_json_is_malformed_and_can_be_answered(self, rest: str) -> None:
        with pytest.raises(Malformed) as refused:
            JSON.arguments(JSON.packet(f"25{rest}".encode()))
        assert refused.value.ack_id == 5


class TestReadingBytes:
    @pytest.mark.parametrize(
        "packet",
        [
            [1, 2],
            5,
            "text",
            {},
            {"nsp": "/"},
            {"type": "2", "nsp": "/"},
            {"type": 2.0, "nsp": "/"},
            {"type": -1, "nsp": "/"},
            {"type": 5, "nsp": "/", "data": ["a"]},
            {"type": 7, "nsp": "/"},
            {"type": 2, "nsp": 5, "data": ["a"]},
            {"type": 2, "nsp": "/", "data": ["a"], "id": "5"},
            {"type": 2, "nsp": "/", "data": ["a"], "id": 5.0},
            {"type": 2, "nsp": "/", "data": ["a"], "id": [5]},
        ],
    )
    def test_what_is_no_packet_is_malformed(self, packet: object) -> None:
        with pytest.raises(Malformed):
            MSGPACK.packet(msgspec.msgpack.encode(packet))

    def test_text_is_no_packed_packet(self) -> None:
        with pytest.raises(Malformed):
            MSGPACK.packet(b'2["a"]')

    @pytest.mark.parametrize("auth", [{}, {"token": "x"}, {1: 2}, None, Ext(0, b"\0")])
    def test_a_client_connects_with_an_object_or_nothing(self, auth: object) -> None:
        """JavaScript's `undefined` has several shapes in msgpack."""
        for packet in ({"data": auth}, {}):
            data = msgspec.msgpack.encode({"type": 0, "nsp": "/", **packet})
            assert MSGPACK.is_auth(MSGPACK.packet(data).data)

    @pytest.mark.parametrize("auth", [5, "token", [], True, b"", Ext(1, b"\0")])
    def test_it_connects_with_nothing_else(self, auth: object) -> None:
        data = msgspec.msgpack.encode({"type": 0, "nsp": "/", "data": auth})
        assert not MSGPACK.is_auth(MSGPACK.packet(data).data)

    def test_a_cut_off_packet_is_malformed_wherever_it_is_cut(self) -> None:
        whole = written_by_socketio(MSGPACK, EVENT, data=["a", {"b": [1, "c"]}], id=5)
        for end in range(len(whole)):
            with pytest.raises(Malformed):
                MSGPACK.packet(whole[:end])
        with pytest.raises(Malformed):
            MSGPACK.packet(whole + b"\x00")

    def test_an_event_without_data_is_malformed_and_can_be_answered(self) -> None:
        packet = MSGPACK.packet(msgspec.msgpack.encode({"type": 2, "nsp": "/", "id": 5}))
        with pytest.raises(Malformed) as refused:
            MSGPACK.arguments(packet)
        assert refused.value.ack_id == 5

    @pytest.mark.parametrize(
        "payload", [b"\xa2\xff\xfe", b"\x81\x81\x01\x02\x03", b"\xc1", b"\x81\xa1a\xa1\x80"]
    )
    def test_what_no_value_can_be_made_of_is_malformed(self, payload: bytes) -> None:
        """Text that is not UTF-8, a map as a key, the byte that means nothing."""
        with pytest.raises(Malformed):
            MSGPACK.read(Raw(payload), object)

    def test_bytes_in_a_payload_are_bytes(self) -> None:
        packet = MSGPACK.packet(written_by_socketio(MSGPACK, EVENT, data=["a", b"\x00\x01"]))
        assert values(MSGPACK, packet) == ["a", b"\x00\x01"]


DEPTH = 100_000


class TestHostility:
    @pytest.mark.parametrize("opening", ["[", '{"a":', '["a",'])
    def test_brackets_without_end_are_malformed(self, opening: str) -> None:
        with pytest.raises(Malformed) as refused:
            JSON.arguments(JSON.packet(b"25" + opening.encode() * DEPTH))
        assert refused.value.ack_id == 5

    def test_brackets_that_all_close_are_malformed_too(self) -> None:
        with pytest.raises(Malformed):
            JSON.arguments(JSON.packet(b'25["a",' + b"[" * DEPTH + b"]" * DEPTH + b"]"))
        with pytest.raises(Malformed):
            JSON.read(Raw(b"[" * DEPTH + b"]" * DEPTH), object)

    @pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\xdd\x00\x00\x00\x01"])
    def test_packed_arrays_without_end_are_malformed(self, opening: bytes) -> None:
        head = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data"
        for end in (b"", b"\x01"):
            with pytest.raises(Malformed):
                MSGPACK.arguments(MSGPACK.packet(head + opening * DEPTH + end))

    @pytest.mark.parametrize(
        "size", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
    )
    def test_a_size_that_is_a_lie_is_malformed(self, size: bytes) -> None:
        with pytest.raises(Malformed):
            MSGPACK.packet(b"\x82\xa4type\x02\xa4data" + size)

    @pytest.mark.parametrize("seed", range(20))
    def test_random_text_is_a_packet_or_malformed(self, seed: int) -> None:
        chance = Random(seed)  # noqa: S311 - the same noise for the same seed
        alphabet = '0123456789-/?,:."\\[]{}()eE+truefalsn \n\0\u0663ü🚕'
        for _ in range(2_000):
            noise = "".join(chance.choices(alphabet, k=chance.randrange(40)))
            try_all(JSON, noise.encode())
            try_all(JSON, f'2["a",{noise}]'.encode())
            try_all(JSON, chance.randbytes(chance.randrange(40)))

    @pytest.mark.parametrize("seed", range(20))
    def test_random_bytes_are_a_packet_or_malformed(self, seed: int) -> None:
        chance = Random(seed)  # noqa: S311 - the same noise for the same seed
        head = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data"
        for _ in range(2_000):
            noise = chance.randbytes(chance.randrange(40))
            try_all(MSGPACK, noise)
            try_all(MSGPACK, head + b"\x92\xa1a" + noise)

    @pytest.mark.parametrize("seed", range(20))
    @pytest.mark.parametrize("parser", [JSON, MSGPACK], ids=["json", "msgpack"])
    def test_a_damaged_packet_is_a_packet_or_malformed(self, parser: Parser, seed: int) -> None:
        chance = Random(seed)  # noqa: S311 - the same damage for the same seed
        whole = written_by_socketio(parser, EVENT, data=["trip:update", PAYLOADS[1]], id=5)
        for _ in range(500):
            at = chance.randrange(len(whole))
            other = chr(chance.randrange(1, 0x250)).encode()
            try_all(parser, whole[:at] + other + whole[at + 1 :])
            try_all(parser, whole[:at] + chance.randbytes(1) + whole[at + 1 :])


def try_all(parser: Parser, data: bytes) -> None:
    """Read as far as it goes: to the values, or to what is malformed or not representable."""
    try:
        packet = parser.packet(data)
        assert 0 <= packet.kind <= 6
        for raw in parser.arguments(packet):
            parser.read(raw, object)
    except (Malformed, msgspec.ValidationError):
        pass


@pytest.mark.parametrize("parser", [JSON, MSGPACK], ids=["json", "msgpack"])
class TestWriting:
    @pytest.mark.parametrize("payload", PAYLOADS)
    def test_an_event_is_read_by_its_clients(self, parser: Parser, payload: object) -> None:
        packet = read_by_socketio(Encoded("trip:status", payload).frame(parser.binary))
        assert (packet.packet_type, packet.namespace or "/", packet.id) == (EVENT, "/", None)
        assert packet.data == ["trip:status", payload]

    def test_a_typed_payload_is_an_object(self, parser: Parser) -> None:
        packet = read_by_socketio(Encoded("a", Fact("t1", 5)).frame(parser.binary))
        assert packet.data == ["a", {"trip_id": "t1", "ts": 5}]

    @pytest.mark.parametrize("ack_id", [0, 7, 10**16 - 1])
    @pytest.mark.parametrize("payload", PAYLOADS)
    def test_an_answer_is_read_by_its_client(
        self, parser: Parser, payload: object, ack_id: int
    ) -> None:
        packet = read_by_socketio(parser.answer(ack_id, payload))
        assert (packet.packet_type, packet.id, packet.data) == (ACK, ack_id, [payload])

    @pytest.mark.parametrize("namespace", ["/", "/admin", "/ünï"])
    def test_a_connection_has_its_id(self, parser: Parser, namespace: str) -> None:
        packet = read_by_socketio(parser.connected("s1", namespace))
        assert (packet.packet_type, packet.namespace or "/") == (CONNECT, namespace)
        assert packet.data == {"sid": "s1"}

    @pytest.mark.parametrize("namespace", ["/", "/admin"])
    def test_a_refusal_says_why(self, parser: Parser, namespace: str) -> None:
        error = {"message": "no", "data": {"code": "unauthorized"}}
        packet = read_by_socketio(parser.refused(error, namespace))
        assert (packet.packet_type, packet.namespace or "/") == (CONNECT_ERROR, namespace)
        assert packet.data == error

    @pytest.mark.parametrize("namespace", ["/", "/admin"])
    def test_a_goodbye_is_read_by_its_client(self, parser: Parser, namespace: str) -> None:
        packet = read_by_socketio(parser.disconnected(namespace))
        assert (packet.packet_type, packet.namespace or "/") == (DISCONNECT, namespace)

    @pytest.mark.parametrize("namespace", ["/", "/admin"])
    @pytest.mark.parametrize("ack_id", [None, 0, 7])
    def test_whatever_is_emitted_is_read_by_its_client(
        self, parser: Parser, namespace: str, ack_id: int | None
    ) -> None:
        for given in [("a",), *(("a", *PAYLOADS[:end]) for end in range(len(PAYLOADS)))]:
            packet = read_by_socketio(*parser.emitted(namespace, given, ack_id))
            assert (packet.packet_type, packet.namespace or "/") == (EVENT, namespace)
            assert (packet.id, packet.data) == (ack_id, list(given))

    @pytest.mark.parametrize("namespace", ["/", "/admin"])
    def test_several_values_acknowledge_an_event(self, parser: Parser, namespace: str) -> None:
        for given in ((), (1,), (1, None, {"a": [2]})):
            packet = read_by_socketio(*parser.acknowledged(namespace, given, 7))
            assert (packet.packet_type, packet.namespace or "/") == (ACK, namespace)
            assert (packet.id, packet.data) == (7, list(given))

    @pytest.mark.parametrize("namespace", ["/", "/admin"])
    def test_bytes_go_and_come_where_they_were(self, parser: Parser, namespace: str) -> None:
        given = ("a", b"1", {"b": [b"", {"c": b"\xff\x00"}], "d": "e"}, bytearray(b"2"))
        expected = ["a", b"1", {"b": [b"", {"c": b"\xff\x00"}], "d": "e"}, b"2"]
        emitted = parser.emitted(namespace, given, 7)
        acknowledged = parser.acknowledged(namespace, given, 7)
        for frames, kinds in ((emitted, (EVENT, BINARY_EVENT)), (acknowledged, (ACK, BINARY_ACK))):
            read = read_by_socketio(*frames)
            assert (read.packet_type in kinds, read.data) == (True, expected)
            assert read_by_ours(parser, frames) == expected

    def test_bytes_that_socketio_writes_are_read(self, parser: Parser) -> None:
        given = ["a", b"1", {"b": [b"", {"c": b"\xff\x00"}], "d": "e"}]
        head, *attachments = pieces_by_socketio(parser, EVENT, data=given, id=9)
        packet = parser.packet(head)
        assert packet.attachments == len(attachments)
        assert parser.values(packet, attachments) == given

    def test_what_came_from_another_instance_is_the_same_event(self, parser: Parser) -> None:
        for payload in PAYLOADS:
            here = Encoded("trip:status", payload)
            there = Encoded.of_json("trip:status", here.json)
            assert read_by_socketio(there.frame(parser.binary)).data == ["trip:status", payload]
            if parser is JSON:
                assert there.frame(False).data == here.frame(False).data

    def test_what_came_as_a_packet_is_the_same_event(self, parser: Parser) -> None:
        for payload in PAYLOADS:
            here = Encoded("trip:status", payload)
            there = Encoded.of_packet("trip:status", here.frame(False).data)
            assert there.json == here.json
            assert read_by_socketio(there.frame(parser.binary)).data == ["trip:status", payload]

    def test_an_event_is_encoded_once_for_everybody(self, parser: Parser) -> None:
        event = Encoded("a", Fact("t1", 5))
        assert event.frame(parser.binary) is event.frame(parser.binary)

    def test_packed_and_text_say_the_same(self, parser: Parser) -> None:
        event = Encoded("a", Fact("t1", 5))
        own, other = event.frame(parser.binary), event.frame(not parser.binary)
        assert read_by_socketio(own).data == read_by_socketio(other).data


def read_by_ours(parser: Parser, frames: list[Frame]) -> list[Any]:
    head, *attachments = frames
    packet = parser.packet(head.data if parser.binary else head.data[1:])
    assert packet.attachments == len(attachments)
    return parser.values(packet, [attachment.data for attachment in attachments])


def test_a_packed_packet_has_the_shape_of_the_official_parser() -> None:
    packed = msgspec.msgpack.decode(Encoded("a", {"b": 1}).frame(MSGPACK.binary).data)
    assert packed == {"type": 2, "data": ["a", {"b": 1}], "nsp": "/"}
    assert msgspec.msgpack.decode(MSGPACK.answer(5, {}).data)["id"] == 5


class TestFrames:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 300_000])
    @pytest.mark.parametrize("binary", [True, False])
    def test_a_frame_is_final_unmasked_and_says_its_size(self, size: int, binary: bool) -> None:
        payload = b"x" * size
        frame = Frame(payload, binary=binary)
        head, rest = frame.websocket[:2], frame.websocket[2:]
        assert head[0] == 0x80 | (2 if binary else 1)
        assert not head[1] & 0x80
        if size <= 125:
            assert (head[1], rest) == (size, payload)
        elif size <= 65_535:
            assert head[1] == 126
            assert (struct.unpack("!H", rest[:2])[0], rest[2:]) == (size, payload)
        else:
            assert head[1] == 127
            assert (struct.unpack("!Q", rest[:8])[0], rest[8:]) == (size, payload)

    def test_a_text_frame_begins_with_the_engines_message_type(self) -> None:
        assert Encoded("a", {}).frame(JSON.binary).data == b'42["a",{}]'
        assert not Encoded("a", {}).frame(JSON.binary).binary
        assert Encoded("a", {}).frame(MSGPACK.binary).binary
