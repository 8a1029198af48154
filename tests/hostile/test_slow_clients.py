"""Clients that do not read: skipped, then cut off, within a bound, and nobody waits for them."""

import asyncio
import socket
from typing import Final
from urllib.parse import urlsplit

from realtime.engine import MAX_BEHIND
from tests.conftest import fresh, mint, now
from tests.hostile.process import logged, resident
from tests.hostile.raw import JSON, PING, Codec, Http, Poller, Session, WebSocket, frame
from tests.servers import Server

HERE: Final = {"lat": 52.5, "lng": 13.4}
MIB: Final = 1024 * 1024
SOME: Final = 8 * MIB
"""What a server process may grow by for reasons of its own: buffers of sockets, arenas."""
SMALL: Final = 4 * 1024
"""What the client's kernel may take in its place, as far as it lets itself be told."""
CHATS: Final = 16
TRIPS: Final = 20
POINTS: Final = 3_000
LONG: Final = {"text": "😀" * 2_000, "data": {"more": "x" * 4_000}}
"""12 KB as JSON."""
SLOW: Final = ([{"code": "slow_consumer", "retry": True}], 1000)


async def slow(server: Server) -> Session:
    """A rider; what it does not read waits at the server."""
    place = urlsplit(server.url)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    small.connect((place.hostname, place.port))
    http = Http(*await asyncio.open_connection(sock=small, limit=SMALL))
    session = Session(await WebSocket.upgrade(http), Codec("json"), fresh("slow"))
    await session.begin(mint("rider", session.user_id))
    return session


class Chats:
    """Conversations of a slow client and another one, in which staff writes until it is cut off."""

    def __init__(self, server: Server, slow: Session, other: Session, staff: Session) -> None:
        self.server = server
        self.slow = slow
        self.other = other
        self.staff = staff
        self.ids: list[str] = []
        self.written = 0

    async def open(self) -> None:
        participants = [self.slow.user_id, self.other.user_id]
        for number in range(CHATS):
            opening = {"client_id": f"c{number}", "participants": participants}
            self.ids.append((await self.staff.ok("chat:open", opening))["conversation"]["id"])

    async def write_until_cut_off(self) -> None:
        lines = len(self.server.output)
        words = ("connection closed", self.slow.user_id)
        while not any(all(w in line for w in words) for line in self.server.output[lines:]):
            assert self.written < 2_000, "the server keeps it all"
            await self._write_once_in_each()

    async def _write_once_in_each(self) -> None:
        draft = {"client_id": f"m{self.written}", **LONG}
        sent = [self.staff.emit("chat:send", {"conversation_id": i, **draft}) for i in self.ids]
        for ack_id in sent:
            assert (await self.staff.answer(ack_id))["ok"] is True
        self.written += CHATS
        while len(self.other.heard("chat:message")) < self.written:
            await self.other.take()

    def close(self) -> None:
        for session in (self.slow, self.other, self.staff):
            session.close()


async def chats_with(server: Server, slow: Session) -> Chats:
    other = await Session.open(server.url, "rider", fresh("rita"))
    staff = await Session.open(server.url, "service", fresh("staff"))
    chats = Chats(server, slow, other, staff)
    await chats.open()
    return chats


async def test_who_does_not_read_messages_is_cut_off_and_told_so(server: Server) -> None:
    chats = await chats_with(server, await slow(server))
    before = resident(server)
    await chats.write_until_cut_off()
    assert resident(server) - before < MAX_BEHIND + SOME
    assert await chats.slow.ends() == SLOW
    for chat_id in chats.ids:
        heard = [m for m in chats.other.heard("chat:message") if m["conversation_id"] == chat_id]
        assert [m["seq"] for m in heard] == list(range(1, chats.written // CHATS + 1))
    chats.close()


async def test_who_asks_and_does_not_read_the_answers_is_cut_off(server: Server) -> None:
    """What a client asks for counts as much as what it is told."""
    rider = await slow(server)
    before, lines = resident(server), len(server.output)
    rider.socket.send(*[f"40/{'x' * 100_000},"] * 100)
    await logged(server, "connection closed", rider.user_id, after=lines)
    assert resident(server) - before < MAX_BEHIND + SOME
    assert await rider.ends() == SLOW


async def test_who_pings_and_does_not_read_the_pongs_costs_no_memory(server: Server) -> None:
    rider = await slow(server)
    pings = frame(PING, b"x" * 125) * 1_000
    for _ in range(50):
        rider.socket.write(pings)
        await rider.socket.writer.drain()
    before = resident(server)
    for _ in range(200):
        rider.socket.write(pings)
        await rider.socket.writer.drain()
    assert resident(server) - before < SOME
    rider.socket.writer.transport.abort()


async def test_who_does_not_read_locations_misses_some_and_gets_the_newest(
    server: Server,
) -> None:
    rider = await slow(server)
    driver = await Session.open(server.url, "driver", fresh("dan"))
    trips = await trips_of(server, rider, driver)
    before, start = resident(server), now() - POINTS
    for seq in range(1, POINTS + 1):
        ack_id = driver.emit("driver:location", {**HERE, "ts": start + seq, "seq": seq})
        if seq % 100 == 0:
            assert (await driver.answer(ack_id))["accepted"] == 1
    assert resident(server) - before < SOME
    heard: dict[str, list[int]] = {trip_id: [0] for trip_id in trips}
    while any(seqs[-1] < POINTS for seqs in heard.values()):
        await rider.take()
        event, location = rider.events.pop()
        if event == "trip:location":
            heard[location["trip_id"]].append(location["seq"])
        assert event != "session:ended"
    for seqs in heard.values():
        assert seqs == sorted(set(seqs))
        assert len(seqs) < POINTS, "the kernel took it all: nothing was tested"
    rider.close()
    driver.close()


async def test_who_polls_rarely_misses_some_and_gets_the_newest_once(server: Server) -> None:
    rider = await Poller.authenticated(server.url, "rider")
    driver = await Session.open(server.url, "driver", fresh("dan"))
    trips = await served(server, rider.user_id, driver)
    for trip_id in trips:
        assert (
            await rider.post(JSON.event(["trip:subscribe", {"trip_id": trip_id}], 1))
        ).status == 200
    heard: dict[str, list[int]] = {trip_id: [] for trip_id in trips}
    answered = 0
    while answered < TRIPS:
        answered += sum(packet.startswith("431[") for packet in await rider.packets())
    start = now() - POINTS
    for seq in range(1, POINTS + 1):
        ack_id = driver.emit("driver:location", {**HERE, "ts": start + seq, "seq": seq})
    assert (await driver.answer(ack_id))["accepted"] == 1
    while any(not seqs or seqs[-1] < POINTS for seqs in heard.values()):
        for packet in await rider.packets():
            _, _, data = JSON.read(packet)
            if data[0] == "trip:location":
                heard[data[1]["trip_id"]].append(data[1]["seq"])
    for seqs in heard.values():
        assert seqs == sorted(set(seqs))
        assert len(seqs) < POINTS
    driver.close()


async def trips_of(server: Server, rider: Session, driver: Session) -> list[str]:
    """Trips that the driver serves at once and the rider looks at."""
    trips = await served(server, rider.user_id, driver)
    for trip_id in trips:
        await rider.ok("trip:subscribe", {"trip_id": trip_id})
    return trips


async def served(server: Server, rider_id: str, driver: Session) -> list[str]:
    """Trips of a rider that the driver serves at once."""
    staff = await Session.open(server.url, "service", fresh("staff"))
    trips = []
    for number in range(TRIPS):
        request = {"client_id": f"r{number}", "rider_id": rider_id, "pickup": HERE}
        trips.append((await staff.ok("trip:create", request))["trip"]["id"])
        accepted = {"trip_id": trips[-1], "status": "accepted", "driver_id": driver.user_id}
        await staff.ok("trip:update", accepted)
    while len(driver.heard("trip:status")) < TRIPS:
        await driver.take()
    staff.close()
    return trips
