"""What somebody may try who wants to take the server down: each a round that ends by itself."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Final

from tests.conftest import fresh, mint
from tests.hostile.raw import (
    BINARY,
    CONTINUATION,
    HANDSHAKE,
    JSON,
    PING,
    POLLING,
    PONG,
    TEXT,
    UPGRADE,
    Closed,
    Http,
    Poller,
    Session,
    WebSocket,
    frame,
    request,
)

Attack = Callable[[str], Awaitable[None]]
"""Takes the server's address, and returns once the server has dealt with what was sent."""

AT_ONCE: Final = 50
"""Connections of an attack beside each other."""
HERE: Final = {"lat": 52.5, "lng": 13.4}


async def _session(url: str, role: str = "rider") -> Session:
    return await Session.open(url, role, fresh("mallory"))


async def _taken(session: Session) -> None:
    """Wait until everything that was sent has been dealt with."""
    session.socket.write(frame(PING, b"done"))
    while await session.socket.receive_frame() != (PONG, b"done"):
        pass
    session.close()


async def _all(attempts: int, attempt: Callable[[], Awaitable[None]]) -> None:
    """So many, some at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with gate:
            await attempt()

    await asyncio.gather(*(one() for _ in range(attempts)))


async def namespaces(url: str) -> None:
    session = await _session(url)
    for start in range(0, 10_000, 1_000):
        session.socket.send(*(f"40/{number}," for number in range(start, start + 1_000)))
        for _ in range(1_000):
            await session.socket.receive()
    await _taken(session)


async def commands(url: str) -> None:
    session = await _session(url)
    packet = session.codec.event(["chat:history", {"conversation_id": "c"}])
    session.socket.send(*[packet] * 10_000)
    await _taken(session)


async def locations(url: str) -> None:
    session = await _session(url, "driver")
    packet = session.codec.event(["driver:location", {**HERE, "ts": 1, "seq": 1}])
    session.socket.send(*[packet] * 20_000)
    await _taken(session)


async def pings(url: str) -> None:
    session = await _session(url)
    session.socket.write(frame(PING, b"x" * 125) * 10_000)
    await session.is_alive()  # pongs are left out while they are not read
    session.close()


async def fragments(url: str) -> None:
    """Messages in tens of thousands of pieces, most of them empty, and one that never ends."""
    session = await _session(url)
    pieces = frame(CONTINUATION, b"", fin=False) * 9 + frame(CONTINUATION, b" ", fin=False)
    session.socket.write(frame(TEXT, b'42["x"', fin=False) + pieces * 2_000)
    session.socket.write(frame(CONTINUATION, b"]"))
    session.socket.write(frame(BINARY, b"", fin=False) + pieces * 2_000)
    await _taken(session)


async def attachments(url: str) -> None:
    """Announced by everybody, and never sent."""

    async def announce() -> None:
        session = await _session(url)
        session.socket.send('4510-["x",{"_placeholder":true,"num":0}]', *[b"x" * 20_000] * 9)
        await _taken(session)

    await _all(AT_ONCE, announce)


async def nesting(url: str) -> None:
    async def nest() -> None:
        session = await _session(url)
        session.socket.send('42["x",' + '{"a":[' * 40_000)
        await session.ends()
        session.close()

    await _all(AT_ONCE, nest)


async def numbers(url: str) -> None:
    async def count() -> None:
        session = await _session(url)
        session.socket.send("42" + "9" * 250_000 + '["x"]')
        await session.ends()
        session.close()

    await _all(AT_ONCE, count)


async def bombs(url: str) -> None:
    """Compression is offered, not agreed to, and used all the same."""

    async def offer() -> None:
        socket = await WebSocket.open(url, **{"Sec-WebSocket-Extensions": "permessage-deflate"})
        await socket.receive()
        socket.write(struct.pack("!BBH", 0xC1, 0x80 | 126, 10_000) + bytes(4 + 10_000))
        assert await socket.rest() == ([], 1002)
        socket.close()

    await _all(2 * AT_ONCE, offer)


async def storm(url: str) -> None:
    """Connections that come and go at once: before the handshake's end, before and with a token."""
    token = mint("rider", fresh("mallory"))

    async def come_and_go() -> None:
        http = await Http.open(url)
        http.ask("GET", HANDSHAKE, UPGRADE)
        http.writer.transport.abort()
        socket = await WebSocket.open(url)
        socket.writer.transport.abort()
        socket = await WebSocket.open(url)
        socket.send(JSON.connect({"token": token}))
        await socket.receive()
        await socket.receive()
        socket.writer.transport.abort()

    await _all(300, come_and_go)


async def posts(url: str) -> None:
    """Of strangers, to sessions that there are not, and more than may be answered."""
    poller = await Poller.open(url)
    nobody = f"{POLLING}&sid=nobody"

    async def post() -> None:
        assert (await request(url, "POST", nobody, {}, b"40")).status == 400

    others = asyncio.ensure_future(_all(300, post))
    for _ in range(300):
        await poller.post("40/x,")
    await others


async def bodies(url: str) -> None:
    """Many of one session at once, of which little comes."""

    async def begin() -> None:
        poller = await Poller.open(url)
        waiting = [await Http.open(url) for _ in range(10)]
        for http in waiting:
            http.ask("POST", poller.target, {"Content-Length": "200000"}, b"4" * 10_000)
        answers = [asyncio.ensure_future(http.response()) for http in waiting]
        for answer in islice(asyncio.as_completed(answers), len(waiting) - 1):
            await answer  # all but one are refused at once
        for http, answered in zip(waiting, answers, strict=True):
            answered.cancel()
            http.writer.transport.abort()

    await _all(AT_ONCE, begin)


async def masks(url: str) -> None:
    """That are missing, or not those of what follows."""

    async def write() -> None:
        session = await _session(url)
        session.socket.write(frame(TEXT, b'42["x"]', masked=False) * 1_000)
        session.socket.write((b"\x81\x87\x55\xaa\x00\xff" + b'42["x"]') * 1_000)
        await session.socket.rest()
        session.close()

    await _all(AT_ONCE, write)


async def joinings(url: str) -> None:
    """With a good token, over the same connection, again and again."""
    token = mint("rider", fresh("mallory"))

    async def join() -> None:
        socket = await WebSocket.open(url)
        await socket.receive()
        socket.send(*[JSON.connect({"token": token}), "41"] * 100)
        await socket.rest()
        socket.close()

    await _all(AT_ONCE // 5, join)


async def handshakes(url: str) -> None:
    """That are begun and not finished, by WebSocket and by polling."""
    waiting = [await Http.open(url) for _ in range(AT_ONCE * 4)]
    for http in waiting:
        http.writer.write(b"GET /socket.io/?EIO=4 HTTP/1.1\r\nX-Slow: ")
    for _ in range(AT_ONCE * 4):
        await Poller.open(url)
    for http in waiting:
        http.close()


async def garbage(url: str) -> None:
    """Tokens that are none, on as many connections."""

    async def guess() -> None:
        socket = await WebSocket.open(url)
        await socket.receive()
        socket.send(*[JSON.connect({"token": "e30." + "x" * 8_000 + ".x"})] * 20)
        for _ in range(20):
            await socket.receive()
        socket.close()

    await _all(AT_ONCE, guess)


async def deafness(url: str) -> None:
    """Asks for much, and never reads."""
    session = await _session(url)
    try:
        for _ in range(100):
            session.socket.send(f"40/{'x' * 100_000},")
            await session.socket.writer.drain()
    except (ConnectionError, Closed):
        pass
    session.socket.writer.transport.abort()


ATTACKS: Final[Mapping[str, Attack]] = {
    "namespaces by the thousand": namespaces,
    "a flood of commands": commands,
    "a flood of locations": locations,
    "a flood of pings": pings,
    "frames in thousands of pieces": fragments,
    "attachments that never come": attachments,
    "deep nesting": nesting,
    "huge acknowledgement ids": numbers,
    "compressed frames": bombs,
    "connections that come and go": storm,
    "a flood of polling requests": posts,
    "bodies that do not come": bodies,
    "wrong masks": masks,
    "joining again and again": joinings,
    "handshakes that are not finished": handshakes,
    "guessed tokens": garbage,
    "a client that never reads": deafness,
}
