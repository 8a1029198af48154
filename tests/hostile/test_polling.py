"""Long-polling and the handshake, as no client would: always an answer, and never a 500."""

import gzip
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from realtime.embedded import EmbeddedStores
from realtime.engine import MAX_PACKETS, Limits
from tests.conftest import fresh, mint, now
from tests.hostile.process import logged, resident
from tests.hostile.raw import (
    HANDSHAKE,
    JSON,
    POLLING,
    UPGRADE,
    Http,
    Poller,
    Session,
    WebSocket,
    request,
)
from tests.servers import Server

MIB: Final = 1024 * 1024
MAX_FRAME: Final = Limits().max_payload
POLICY_VIOLATION: Final = 1008
REASON: Final = b'42["session:ended",{"code":"invalid","retry":true}]'


OPEN: Final[dict[str, tuple[str, str, dict[str, str], int]]] = {
    "no version": ("GET", "/socket.io/?transport=polling", {}, 400),
    "version 3": ("GET", "/socket.io/?EIO=3&transport=polling", {}, 400),
    "two versions": ("GET", "/socket.io/?EIO=4&EIO=3&transport=polling", {}, 400),
    "unknown transport": ("GET", "/socket.io/?EIO=4&transport=smoke", {}, 400),
    "no transport": ("GET", "/socket.io/?EIO=4", {}, 400),
    "operator as transport": ("GET", "/socket.io/?EIO=4&transport[$ne]=x", {}, 400),
    "unknown session": ("GET", POLLING + "&sid=none", {}, 400),
    "NUL as session": ("GET", POLLING + "&sid=%00%ff", {}, 400),
    "long session": ("GET", POLLING + "&sid=" + "x" * 7_000, {}, 400),
    "post without a session": ("POST", POLLING, {}, 400),
    "post to an unknown session": ("POST", POLLING + "&sid=none", {}, 400),
    "put": ("PUT", POLLING, {}, 400),
    "delete": ("DELETE", POLLING, {}, 400),
    "patch": ("PATCH", POLLING, {}, 400),
    "trace": ("TRACE", POLLING, {}, 400),
    "head": ("HEAD", POLLING, {}, 400),
    "options": ("OPTIONS", POLLING, {}, 200),
    "letters for JSONP": ("GET", POLLING + "&j=alert(1)", {}, 400),
    "huge JSONP": ("GET", POLLING + "&j=" + "9" * 5_000, {}, 400),
    "broken percent signs": ("GET", "/socket.io/?EIO=4&transport=polling&%zz=%&%=%f", {}, 200),
    "many parameters": ("GET", POLLING + "&a" * 3_000, {}, 200),
    "no slash": ("GET", "/socket.io?EIO=4&transport=polling", {}, 404),
    "upwards": ("GET", "/socket.io/../../etc/passwd", {}, 404),
    "WebSocket without its headers": ("GET", HANDSHAKE, {}, 400),
    "WebSocket without Connection": ("GET", HANDSHAKE, {"Upgrade": "websocket"}, 400),
    "WebSocket without Upgrade": ("GET", HANDSHAKE, {"Connection": "Upgrade"}, 400),
    "WebSocket without a key": (
        "GET",
        HANDSHAKE,
        {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        400,
    ),
    "WebSocket with a short key": ("GET", HANDSHAKE, {**UPGRADE, "Sec-WebSocket-Key": "x"}, 400),
    "WebSocket of another version": (
        "GET",
        HANDSHAKE,
        {**UPGRADE, "Sec-WebSocket-Version": "99"},
        400,
    ),
    "another upgrade": ("GET", HANDSHAKE, {**UPGRADE, "Upgrade": "h2c"}, 400),
    "WebSocket by post": ("POST", HANDSHAKE, UPGRADE, 400),
    "upgrade of what polls": ("GET", POLLING, UPGRADE, 200),
    "authorization that is no text": ("GET", POLLING, {"Authorization": "Bearer \udcff"}, 200),
    "echoed header": ("GET", POLLING, {"Access-Control-Request-Headers": "\udcff"}, 200),
    "unknown expectation": ("GET", POLLING, {"Expect": "the worst"}, 417),
}


@pytest.mark.parametrize(("method", "target", "headers", "status"), OPEN.values(), ids=OPEN)
async def test_a_strange_handshake_gets_an_answer(
    server: Server, method: str, target: str, headers: dict[str, str], status: int
) -> None:
    assert (await request(server.url, method, target, headers)).status == status


NO_HTTP: Final = {
    "zeros": bytes(100) + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown version": b"GET / HTTP/9.9\r\n\r\n",
    "no target": b"GET\r\n\r\n",
    "broken target": b"GET http://[:: HTTP/1.1\r\nHost: x\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "long target": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "letters for a length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
    "huge length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 50 + b"\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "both lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_a_bad_request(server: Server, data: bytes) -> None:
    http = await Http.open(server.url)
    http.writer.write(data)
    assert (await http.head()).status == 400
    http.close()


GARBAGE: Final[dict[str, bytes]] = {
    "nothing": b"",
    "no packet": b"\x1e",
    "no packet between others": b"3\x1e\x1e3",
    "unknown packet": b"9",
    "open": b"0{}",
    "ping": b"2",
    "probe": b"2probe",
    "JSONP": b"d=4",
    "no base64": b"b!!!!",
    "half base64": b"bAAA",
    "base64 that is no text": "bé".encode(),
    "no UTF-8": b"\xff\xfe",
    "too large": b"4" + b"x" * MAX_FRAME,
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
async def test_a_stranger_who_posts_garbage_is_refused_and_forgotten(
    server: Server, body: bytes
) -> None:
    stranger = await Poller.open(server.url)
    assert (await stranger.post(body)).status == 400
    assert (await stranger.post("3")).status == 400
    assert (await stranger.poll()).status == 400


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
async def test_a_session_that_posts_garbage_ends_and_is_told_why(
    server: Server, body: bytes
) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    assert (await poller.post(body)).status == 400
    assert (await poller.poll()).body == REASON
    assert (await poller.post("3")).status == 400
    assert (await poller.poll()).status == 400
    await logged(server, "connection closed", poller.user_id)


UNREADABLE: Final[dict[str, str | bytes]] = {
    "half an event": "42{",
    "no packet": "4",
    "unknown packet": "47",
    "refusal": "44",
    "binary without announcement": "bAAAA",
    "no count": '45["x"]',
    "brackets": "42" + "[" * 90_000,
    "no UTF-8": b"4\xff\xfe",
    "no UTF-8 in a name": b'42["\xff"]',
    "another namespace": '42/admin,["x"]',
    "event named connect": '42["connect"]',
}


@pytest.mark.parametrize("packet", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_waiting_poll_brings_the_reason_for_the_end(
    server: Server, packet: str | bytes
) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    poll = await poller.waiting()
    assert (await poller.post(packet)).status == 200
    assert (await poll.response()).body == REASON
    assert (await poller.poll()).status == 400


async def test_an_event_before_connect_ends_the_session(server: Server) -> None:
    stranger = await Poller.open(server.url)
    assert (await stranger.post('42["x"]')).status == 200
    assert (await stranger.poll()).status == 400


@pytest.mark.parametrize("packet", ["40[]", "40null", "47", "41"])
async def test_what_a_stranger_may_not_say_ends_the_session(server: Server, packet: str) -> None:
    stranger = await Poller.open(server.url)
    assert (await stranger.post(packet)).status == 200
    assert (await stranger.poll()).status == 400


async def test_who_leaves_the_namespace_may_come_again_on_the_same_session(
    server: Server,
) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    assert (await poller.post("41")).status == 200
    await logged(server, "connection closed", poller.user_id)
    connect = JSON.connect({"token": mint("rider", fresh("mallory"))})
    assert (await poller.post(connect)).status == 200
    heard: list[str] = []
    while not any("session:ready" in packet for packet in heard):
        heard += await poller.packets()
    await _is_alive(poller)


async def test_binary_data_is_taken_with_its_event(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    event = '452-7["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    assert (await poller.post(f"{event}\x1ebAAAA\x1eb")).status == 200
    assert "unknown_event" in (await poller.packets())[0]
    await _is_alive(poller)


async def test_a_goodbye_ends_the_waiting_poll(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    poll = await poller.waiting()
    assert (await poller.post("1")).status == 200
    assert (await poll.response()).body == b"6"
    assert (await poller.poll()).status == 400
    assert (await poller.post("3")).status == 400
    await logged(server, "connection closed", poller.user_id)


async def test_of_two_polls_at_once_neither_swallows_the_others_packets(server: Server) -> None:
    """The session ends: nobody knows which of the two is still read."""
    poller = await Poller.authenticated(server.url, "rider")
    poll = await poller.waiting()
    assert (await poller.poll()).status == 400
    assert (await poll.response()).body == b"1"
    assert (await poller.poll()).status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": "0"}, 400),
        ({"Content-Length": str(MAX_FRAME + 1)}, 400),
        ({"Content-Length": str(10 * MIB)}, 400),
        ({"Transfer-Encoding": "chunked"}, 400),
        ({"Content-Length": "4", "Content-Type": "application/json; charset=klingon"}, 200),
    ],
    ids=str,
)
async def test_a_body_of_another_kind_is_refused(
    server: Server, headers: dict[str, str], status: int
) -> None:
    poller = await Poller.open(server.url)
    body = b"4\r\n40{}\r\n0\r\n\r\n" if "Transfer-Encoding" in headers else b"40{}"
    assert (await poller.post(body, **headers)).status == status


async def test_a_compressed_body_is_not_unpacked(server: Server) -> None:
    poller = await Poller.open(server.url)
    bomb = gzip.compress(b"3\x1e" * 10_000_000)
    assert len(bomb) < MAX_FRAME
    before = resident(server)
    assert (await poller.post(bomb, **{"Content-Encoding": "gzip"})).status == 400
    assert resident(server) - before < 5 * MIB


async def test_a_body_that_is_cut_off_ends_the_session(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    http = await Http.open(server.url)
    http.ask("POST", poller.target, {"Content-Length": "100"}, b"42")
    await http.writer.drain()
    http.writer.transport.abort()
    await logged(server, "connection closed", poller.user_id)
    assert (await poller.poll()).status == 400


async def test_a_chunk_that_breaks_later_ends_the_session(server: Server) -> None:
    poller = await Poller.open(server.url)
    http = await Http.open(server.url)
    http.ask("POST", poller.target, {"Transfer-Encoding": "chunked"}, b"1\r\n4\r\n")
    assert (await http.response()).status == 400
    http.writer.write(b"zz\r\n")
    assert (await poller.poll()).status == 400
    http.close()


async def test_the_largest_body_is_taken(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    start, end = '421["x","', '"]'
    middle = "a" * (MAX_FRAME - len(start + end))
    assert (await poller.post(start + middle + end)).status == 200
    assert "unknown_event" in (await poller.packets())[0]


async def test_a_thousand_packets_in_one_body_are_all_taken(server: Server) -> None:
    """As a client sends them that has buffered while it was offline."""
    poller = await Poller.authenticated(server.url, "driver")
    start = now()
    points = [{"lat": 52.5, "lng": 13.4, "ts": start + i, "seq": i} for i in range(1_000)]
    packets = [JSON.event(["driver:location", p], i) for i, p in enumerate(points)]
    assert (await poller.post("\x1e".join(map(str, packets)))).status == 200
    answers: dict[int | None, Any] = {}
    while len(answers) < 1_000:
        for packet in await poller.packets():
            _, ack_id, data = JSON.read(packet)
            assert ack_id not in answers
            answers[ack_id] = data[0]
    assert all(answer["accepted"] == 1 for answer in answers.values())


async def test_a_body_of_too_many_packets_ends_the_session(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "driver")
    assert (await poller.post("\x1e".join(["3"] * (MAX_PACKETS + 1)))).status == 400


async def test_a_thousand_commands_in_one_body_are_all_answered(server: Server) -> None:
    """Those that may not even wait are refused for now."""
    poller = await Poller.authenticated(server.url, "rider")
    packets = [JSON.event(["trip:subscribe", {"trip_id": "t"}], i) for i in range(1_000)]
    assert (await poller.post("\x1e".join(map(str, packets)))).status == 200
    codes: dict[int | None, str] = {}
    while len(codes) < 1_000:
        for packet in await poller.packets():
            _, ack_id, data = JSON.read(packet)
            assert ack_id not in codes
            codes[ack_id] = data[0]["error"]["code"]
    assert set(codes.values()) == {"not_found", "rate_limited"}


async def test_who_posts_and_never_polls_is_cut_off(server: Server) -> None:
    """A stranger whose refusals pile up: their size is bounded, not only their number."""
    stranger = await Poller.open(server.url)
    before = resident(server)
    packet = "40/" + "x" * (MAX_FRAME - 4) + ","
    statuses = [(await stranger.post(packet)).status for _ in range(60)]
    assert statuses[:4] == [200] * 4
    assert statuses[-1] == 400
    assert resident(server) - before < 10 * MIB


async def test_what_was_polled_for_is_not_kept_while_the_connection_stays(server: Server) -> None:
    rider = await Poller.authenticated(server.url, "rider")
    before = resident(server)
    connections = []
    for _ in range(40):
        for _ in range(3):
            assert (await rider.post("40/" + "x" * (MAX_FRAME - 4) + ",")).status == 200
        connections.append(await Http.open(server.url))
        connections[-1].ask("GET", rider.target, {})
        assert len((await connections[-1].response()).body) > 2 * MAX_FRAME
    assert resident(server) - before < 10 * MIB
    for connection in connections:
        connection.close()


async def test_a_slow_poller_gets_the_reason_with_its_next_poll(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    unknown = "\x1e".join(f'42{i}["x"]' for i in range(3_000))
    assert (await poller.post(unknown)).status == 200
    assert (await poller.packets())[
        -1
    ] == '42["session:ended",{"code":"slow_consumer","retry":true}]'
    assert (await poller.poll()).status == 400


async def test_what_has_upgraded_is_asked_by_http_no_more(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    socket = await _upgraded(poller)
    assert (await poller.poll()).status == 400
    assert (await poller.post('421["x"]')).status == 400
    await _is_refused(poller)
    socket.send('421["x"]')
    assert "unknown_event" in str(await socket.receive())
    socket.close()


async def test_a_second_websocket_during_the_upgrade_is_refused(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    first = await WebSocket.open(server.url, f"{HANDSHAKE}&sid={poller.sid}")
    await _is_refused(poller)
    first.send("2probe")
    assert await first.receive() == "3probe"
    first.send("5", '421["x"]')
    assert "unknown_event" in str(await first.receive())
    first.close()


@pytest.mark.parametrize("probe", [["2"], ["40"], ["5"], [b"2probe"], ["2probe", "40"], [""]])
async def test_an_upgrade_that_fails_leaves_the_session_on_polling(
    server: Server, probe: list[str | bytes]
) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    socket = await WebSocket.open(server.url, f"{HANDSHAKE}&sid={poller.sid}")
    socket.send(*probe)
    _, code = await socket.rest()
    assert code == 1000
    await _is_alive(poller)


async def test_an_upgrade_that_breaks_off_leaves_the_session_on_polling(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    socket = await WebSocket.open(server.url, f"{HANDSHAKE}&sid={poller.sid}")
    socket.send("2probe")
    socket.writer.transport.abort()
    await _is_alive(poller)


async def test_a_poll_that_waits_while_the_upgrade_is_hurried_is_ended(server: Server) -> None:
    """A client that does not wait for the answer to its probe."""
    poller = await Poller.authenticated(server.url, "rider")
    poll = await poller.waiting()
    socket = await WebSocket.open(server.url, f"{HANDSHAKE}&sid={poller.sid}")
    socket.send("2probe", "5", '421["x"]')
    assert await socket.receive() == "3probe"
    assert "unknown_event" in str(await socket.receive())
    assert (await poll.response()).body == b"6"
    socket.close()


async def test_after_an_upgrade_that_failed_another_one_may_succeed(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    failed = await request(
        server.url, "GET", f"{HANDSHAKE}&sid={poller.sid}", {**UPGRADE, "Sec-WebSocket-Key": "x"}
    )
    assert failed.status == 400
    given_up = await WebSocket.open(server.url, f"{HANDSHAKE}&sid={poller.sid}")
    given_up.send("40")
    assert await given_up.rest() == ([], 1000)
    socket = await _upgraded(poller)
    given_up.close()
    socket.send('421["x"]')
    assert "unknown_event" in str(await socket.receive())
    await _is_refused(poller)
    socket.close()


async def test_what_waits_for_a_poll_is_not_lost_in_an_upgrade(server: Server) -> None:
    poller = await Poller.authenticated(server.url, "rider")
    unknown = "\x1e".join(f'42{number}["x"]' for number in range(100))
    assert (await poller.post(unknown)).status == 200
    socket = await WebSocket.open(server.url, f"{HANDSHAKE}&sid={poller.sid}")
    socket.send("2probe", "5")
    assert await socket.receive() == "3probe"
    answers = [JSON.read(await socket.receive())[1] for _ in range(100)]
    assert answers == list(range(100))
    socket.close()


async def test_the_websocket_of_an_unknown_session_is_refused(server: Server) -> None:
    assert (await request(server.url, "GET", f"{HANDSHAKE}&sid=none", UPGRADE)).status == 400


async def test_jsonp_is_escaped(server: Server) -> None:
    answer = await request(server.url, "GET", POLLING + "&j=7")
    assert answer.body.startswith(b'___eio[7]("0{\\"sid')
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.fixture(scope="module")
async def guarded(stores: EmbeddedStores) -> AsyncIterator[Server]:
    """A server that pages of one foreign origin may use."""
    settings = {
        "REDIS_URL": str(stores.redis_url),
        "MONGODB_URL": str(stores.mongodb_url),
        "ALLOWED_ORIGINS": "https://app.example",
    }
    started = await Server.start(settings)
    yield started
    await started.stop()


FOREIGN: Final = ("https://evil.example", "null", "https://app.example.evil.example", "\udcff")


@pytest.mark.parametrize("origin", [*FOREIGN, "https://app.example"])
async def test_pages_of_other_origins_are_refused(server: Server, origin: str) -> None:
    assert await _statuses(server, origin) == {400}


async def test_pages_of_the_servers_own_origin_are_served(server: Server) -> None:
    assert await _statuses(server, "http://127.0.0.1") == {200, 101}


@pytest.mark.parametrize("origin", [*FOREIGN, "http://127.0.0.1", "HTTPS://APP.EXAMPLE/"])
async def test_other_origins_than_those_allowed_are_refused(guarded: Server, origin: str) -> None:
    assert await _statuses(guarded, origin) == {400}


async def test_an_allowed_origin_is_served_and_told_so(guarded: Server) -> None:
    assert await _statuses(guarded, "https://app.example") == {200, 101}
    answer = await request(guarded.url, "OPTIONS", POLLING, {"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("origin", ["ws://127.0.0.1", "wss://rides.example"])
async def test_what_no_browser_sends_is_an_apps_and_served(guarded: Server, origin: str) -> None:
    """The Swift client's WebSocket names its server so."""
    assert await _statuses(guarded, origin) == {200, 101}
    poller = await Poller.open(guarded.url)
    http = await Http.open(guarded.url)
    http.ask("GET", f"{HANDSHAKE}&sid={poller.sid}", {**UPGRADE, "Origin": origin})
    assert (await http.head()).status == 101
    http.close()


async def test_programs_have_no_origin_and_are_served(guarded: Server) -> None:
    session = await Session.open(guarded.url, "rider", fresh("rita"))
    await session.is_alive()
    session.close()


async def _statuses(server: Server, origin: str) -> set[int]:
    """How a page of this origin is answered on both transports."""
    polling = await request(server.url, "GET", POLLING, {"Origin": origin})
    http = await Http.open(server.url)
    http.ask("GET", HANDSHAKE, {**UPGRADE, "Origin": origin})
    upgrade = await http.head()
    http.close()
    return {polling.status, upgrade.status}


async def _upgraded(poller: Poller) -> WebSocket:
    socket = await WebSocket.open(poller.url, f"{HANDSHAKE}&sid={poller.sid}")
    socket.send("2probe")
    assert await socket.receive() == "3probe"
    socket.send("5", '420["x"]')
    assert "unknown_event" in str(await socket.receive())
    return socket


async def _is_refused(poller: Poller) -> None:
    """A further WebSocket of a session is closed as one: clients take that for an answer."""
    second = await WebSocket.open(poller.url, f"{HANDSHAKE}&sid={poller.sid}")
    assert await second.rest() == ([], POLICY_VIOLATION)
    await second.is_over()


async def _is_alive(poller: Poller) -> None:
    """It answers. While it was probed, it told the polls that nothing came for them ("6")."""
    assert (await poller.post('421["x"]')).status == 200
    heard: list[str] = []
    while set(heard) <= {"6"}:
        heard = await poller.packets()
    assert "unknown_event" in heard[-1]
