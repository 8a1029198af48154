"""What instances tell each other, as bytes: it arrives, and is told from anything else."""

import pytest

from realtime.envelopes import Envelope, Seen, location_head, packed, unpacked

LARGEST = 2**53 - 1
PACKET = b'42["trip:location",{"trip_id":"t1","lat":1.5,"lng":2,"ts":3,"seq":4}]'


@pytest.mark.parametrize("version", [0, LARGEST])
@pytest.mark.parametrize("event", ["trip:status", "chat:message", "", "ü"])
def test_a_fact_arrives_as_it_was_sent(event: str, version: int) -> None:
    envelope = Envelope(event, LARGEST, "dan", b'{"any":"json"}', version)
    assert unpacked(packed(envelope)) == envelope


@pytest.mark.parametrize("driver_id", ["d", "dan", "ü" * 128, "\U0001f695" * 128])
@pytest.mark.parametrize(("ts", "seen_at"), [(0, 0), (3, 1_800_000_000_000), (LARGEST, LARGEST)])
def test_a_location_arrives_as_it_was_sent(driver_id: str, ts: int, seen_at: int) -> None:
    message = location_head(driver_id, ts, seen_at) + PACKET
    assert unpacked(message) == Seen(driver_id, ts, seen_at, PACKET)


@pytest.mark.parametrize("message", [b"", b"\xc1", b"\xc1 short", b"\x90", b"text", b"\xff" * 99])
def test_anything_else_is_told_from_them(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"MessagePack|Expected|truncated|cut off"):
        unpacked(message)


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        PACKET[:-1],
        PACKET[1:],
        PACKET.replace(b"location", b"driver"),
        b"\xff",
    ],
)
def test_a_location_that_is_not_whole_is_none(rest: bytes) -> None:
    head = location_head("dan", 3, 4)
    with pytest.raises(ValueError, match="location"):
        unpacked(head + rest)
    with pytest.raises(ValueError, match="location"):
        unpacked(head[:-1])


def test_a_driver_whose_id_cannot_be_read_is_none() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        unpacked(location_head("dan", 3, 4).replace(b"dan", b"d\xffn") + PACKET)
