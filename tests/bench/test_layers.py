import re
from collections.abc import Sequence

import pytest

from bench.layers import EVENT_LOOP, METRICS, OTHER, OTHER_THREADS, layer_of, of_all, shares
from tests.docs.markdown import ROOT

LOOP = ["main (realtime/__main__.py:41)", "run (realtime/serving.py:68)", "uv_run (core.c:464)"]
RECEIVED = [
    *LOOP,
    "uv__read (stream.c:1154)",
    "WebSocket.data_received (realtime/websocket.py:161)",
    "WebSocketReader__feed_data (reader_c.c:12302)",
]
TAKEN = [
    *RECEIVED,
    "_Inbox.feed_data (realtime/websocket.py:1)",
    "Socket.text (realtime/engine.py:1)",
    "Gateway.message (realtime/gateway.py:1)",
    "locate.<locals>.direct (realtime/dispatch.py:1)",
]


@pytest.mark.parametrize(
    ("stack", "layer"),
    [
        (LOOP, EVENT_LOOP),
        ([*LOOP, "uv__stream_io (stream.c:1210)", "uv__read (stream.c:1154)"], EVENT_LOOP),
        ([*LOOP, "uv__read (stream.c:1154)", "read (libc.so.6)"], "kernel: reading"),
        ([*LOOP, "uv__io_poll (linux.c:1517)", "epoll_pwait (libc.so.6)"], "kernel: the rest"),
        (RECEIVED, "frame reader"),
        (TAKEN, "gateway"),
        ([*TAKEN, "plain_point (realtime/payloads.py:1)", "json_decode (_core.so)"], "parse"),
        ([*TAKEN, "LocationHandler.take (handlers/locations.py:1)"], "judge"),
        ([*TAKEN, "Filter.take (models/filter.py:1)", "PyFloat_FromDouble (x.c:1)"], "judge"),
        ([*TAKEN, "RedisDrivers.saw (realtime/drivers.py:1)"], "newest positions"),
        ([*TAKEN, "Hub.show (realtime/hub.py:1)"], "rooms"),
        ([*TAKEN, "location_head (realtime/envelopes.py:1)"], "rooms"),
        ([*TAKEN, "Hub.show (realtime/hub.py:1)", "Encoded.frame (realtime/wire.py:1)"], "encode"),
        ([*TAKEN, "Bus.publish (realtime/bus.py:1)"], "bus"),
        ([*TAKEN, "Socket.write (realtime/engine.py:1)"], "outbox"),
        ([*LOOP, "WebSocket.flush (realtime/websocket.py:1)", "write (loop.c:1)"], "sending"),
        (
            [*LOOP, "Connection._flush (realtime/redis_link.py:1)", "__libc_send (libc.so.6)"],
            "kernel: writing",
        ),
        ([*LOOP, "Relay.sent (realtime/relaying.py:1)", "perf_counter (time.c:1)"], METRICS),
        ([*LOOP, "run (realtime/drivers.py:1)", "f (redis/x.py:2)"], "newest positions"),
        ([*LOOP, "_regularly (realtime/app.py:1)", "find (motor/core.py:9)"], "store"),
        ([*LOOP, "_start (aiohttp/web_protocol.py:1)"], "handshake"),
        ([*TAKEN, "Tokens.verify (realtime/tokens.py:1)", "verify (jwt/x.py:1)"], "token check"),
        ([*TAKEN, "Sessions.accept (realtime/sessions.py:1)"], "sessions"),
        ([*LOOP, "RedisDrivers._is_put (realtime/drivers.py:1)"], "newest positions"),
        ([*LOOP, "Unsaved.take (realtime/unsaved.py:1)"], "newest positions"),
        ([*LOOP, "_entry (realtime/track_stream.py:1)", "decode (_core.so)"], "tracks"),
        ([*LOOP, "TrackKeeper._store (handlers/tracks.py:1)"], "tracks"),
        ([*LOOP, "_fixes (models/mongo/tracks.py:1)"], "tracks"),
        ([*LOOP, "motor (motor/core.py:1)", "tick (models/mongo/trips.py:1)"], "store"),
        ([*LOOP, "Wheel.turn (realtime/wheel.py:1)"], OTHER),
        ([*LOOP, "gc_collect_main (libpython3.11.so.1.0)"], "garbage collection"),
    ],
)  # fmt: skip
def test_the_innermost_frame_that_a_layer_claims_decides(stack: Sequence[str], layer: str) -> None:
    assert layer_of(stack) == layer


def lines_with(pattern: str, file: str) -> list[int]:
    source = (ROOT / file).read_text("utf-8").splitlines()
    return [number for number, line in enumerate(source, start=1) if re.search(pattern, line)]


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("realtime/dispatch.py", r"counts\[.*\] \+= 1"),
        ("realtime/hub.py", r"self\._published\[.*\] \+= 1"),
        ("realtime/bus.py", r"self\.published \+= 1"),
        ("realtime/websocket.py", r"self\._began = time"),
    ],
)
def test_the_lines_that_count_are_the_metrics_wherever_they_stand(file: str, counts: str) -> None:
    found = lines_with(counts, file)
    assert found
    for line in found:
        assert layer_of([*LOOP, f"whatever ({file}:{line})"]) == METRICS


def test_samples_are_shared_out() -> None:
    stacks = [(LOOP, 1), (RECEIVED, 2), ([*LOOP, "read (libc.so.6)"], 1)]
    assert shares(stacks) == {EVENT_LOOP: 0.25, "frame reader": 0.5, "kernel: reading": 0.25}


SAMPLED = {
    "kernel: reading": 0.1,
    "kernel: writing": 0.1,
    "kernel: the rest": 0.3,
    EVENT_LOOP: 0.2,
    "encode": 0.3,
}


def test_the_operating_system_says_how_much_was_the_kernel() -> None:
    found = of_all(SAMPLED, system=0.4, threads=0.0)
    assert found == pytest.approx(
        {
            "kernel: reading": 0.12,
            "kernel: writing": 0.12,
            "kernel: the rest": 0.16,
            EVENT_LOOP: 0.24,
            "encode": 0.36,
        }
    )


def test_what_samples_tell_of_the_kernel_is_never_more_than_it_used() -> None:
    found = of_all(SAMPLED, system=0.1, threads=0.0)
    kernel = [share for name, share in found.items() if name.startswith("kernel")]
    assert sum(kernel) == pytest.approx(0.1)
    assert sum(found.values()) == pytest.approx(1)


def test_other_threads_have_their_share() -> None:
    found = of_all(SAMPLED, system=0.4, threads=0.05)
    assert found[OTHER_THREADS] == 0.05
    assert found["encode"] == pytest.approx(0.36 * 0.95)
    assert sum(found.values()) == pytest.approx(1)
