"""The load generator: each load against our server, and what a server may do wrong is seen."""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise

import jwt
import msgspec
import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from bench.load import paced, relay
from bench.load.awaited import Awaited
from bench.load.client import Client, Refused
from bench.load.course import Course
from bench.load.frames import expected_location, is_location
from bench.load.record import Record, percentile
from bench.load.together import each, until
from bench.servers import UNBOUNDED
from bench.shapes import Outcome, Scenario, Target, Task
from models.points import Point
from realtime.embedded import EmbeddedStores
from tests.servers import ROOT, SECRET, Server

# --- every load, against the real server ---


@pytest.fixture(scope="module")
async def servers(stores: EmbeddedStores) -> AsyncIterator[tuple[Server, Server]]:
    settings = {"REDIS_URL": str(stores.redis_url), "MONGODB_URL": str(stores.mongodb_url)}
    settings |= UNBOUNDED
    both = await Server.start(settings), await Server.start(settings)
    yield both
    for server in both:
        await server.stop()


def target(*servers: Server) -> Target:
    urls = tuple(server.url for server in servers)
    pids = tuple(server.process.pid for server in servers)
    return Target(urls, pids, has_trips=True, secret=SECRET)


async def generate(task: Task) -> Outcome:
    """What the generator, a process of its own, says of a load."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.load"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(msgspec.json.encode(task))
    assert process.returncode == 0
    return msgspec.json.decode(said, type=Outcome)


def assert_all_is_well(outcome: Outcome) -> None:
    assert (outcome.missing, outcome.wrong) == (0, 0), outcome.note
    assert outcome.events > 0
    assert outcome.seconds > 0
    assert all(cpu_s > 0 for cpu_s in outcome.cpu_s)
    assert 0 < outcome.generator_busy <= 1.1


@pytest.mark.parametrize(
    ("scenario", "clients", "rate"),
    [
        (Scenario.RELAY, 3, 0),
        (Scenario.PACED_RELAY, 3, 200),
        (Scenario.FAN_OUT, 20, 0),
        (Scenario.CITY, 80, 0),
        (Scenario.CHAT, 3, 0),
        (Scenario.READ_TRIPS, 3, 0),
        (Scenario.READ_TRIPS, 3, 50),
        (Scenario.CREATE_TRIPS, 3, 0),
        (Scenario.CREATE_TRIPS, 3, 20),
    ],
)
async def test_a_load_that_lasts_delivers_what_it_sends(
    servers: tuple[Server, Server], scenario: Scenario, clients: int, rate: float
) -> None:
    task = Task(scenario, target(servers[0]), clients, seconds=0.4, warm_up_s=0.1, rate=rate)
    outcome = await generate(task)
    assert_all_is_well(outcome)
    assert outcome.p50_ms is not None
    assert outcome.p99_ms is not None
    assert 0 < outcome.p50_ms <= outcome.p99_ms


async def test_drivers_and_riders_may_be_on_two_instances(servers: tuple[Server, Server]) -> None:
    task = Task(Scenario.RELAY, target(*servers), clients=3, seconds=0.5, warm_up_s=0.2)
    outcome = await generate(task)
    assert_all_is_well(outcome)
    assert len(outcome.cpu_s) == 2


async def test_connections_are_counted(servers: tuple[Server, Server]) -> None:
    outcome = await generate(Task(Scenario.CONNECT, target(servers[0]), clients=40, seconds=0))
    assert_all_is_well(outcome)
    assert outcome.events == 40


async def test_idle_connections_have_their_memory_measured(servers: tuple[Server, Server]) -> None:
    outcome = await generate(Task(Scenario.IDLE, target(servers[0]), clients=40, seconds=0.2))
    assert (outcome.events, outcome.missing, outcome.wrong) == (40, 0, 0), outcome.note
    assert 0 < outcome.rss_before < outcome.rss_after + 1024 * 1024


async def test_what_it_costs_to_read_the_metrics_is_measured(
    servers: tuple[Server, Server],
) -> None:
    outcome = await generate(Task(Scenario.IDLE, target(servers[0]), clients=1, seconds=0.2))
    assert outcome.scrape_ms is not None
    assert outcome.scrape_ms < 1_000


async def test_a_crowd_that_leaves_at_once_is_gone_at_the_server(
    servers: tuple[Server, Server],
) -> None:
    task = Task(Scenario.LEAVE, target(servers[0]), clients=40, seconds=0, warm_up_s=0.1)
    outcome = await generate(task)
    assert_all_is_well(outcome)
    assert outcome.events == 40
    assert outcome.largest_gap_ms is not None
    assert outcome.largest_gap_ms > 0


async def test_a_client_that_leaves_closes_its_websocket() -> None:
    heard: list[WSMsgType] = []

    class Listening(SmallServer):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            heard.append(frame.msg_type)
            if frame.msg_type is WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
            else:
                super().on_ws_frame(transport, frame)

    server = await ws_create_server(lambda _request: Listening(), "127.0.0.1", 0)
    token = jwt.encode({"sub": "somebody", "trips": []}, SECRET, algorithm="HS256")
    record = Record()
    client = await Client.connect(url_of(server), token, record)
    client.leave()
    assert await until(lambda: WSMsgType.CLOSE in heard, within_s=10)
    server.close()
    assert record.missing == 0


async def test_a_client_with_a_false_token_is_refused(servers: tuple[Server, Server]) -> None:
    with pytest.raises(Refused, match="unauthorized"):
        await Client.connect(servers[0].url, "no.token.atall", Record())


# --- what a server may do wrong ---

Deliver = Callable[[str, dict[str, object]], Iterable[tuple[str, bytes]]]
"""What a server makes of a trip's point: packets, and the trips whose riders get them."""


def location(trip_id: str, point: dict[str, object]) -> bytes:
    return b"42" + msgspec.json.encode(["trip:location", {"trip_id": trip_id, **point}])


class SmallServer(WSListener):
    """Enough of a server to relay locations, rightly or not."""

    riders: defaultdict[str, list[WSTransport]]
    deliver: Deliver

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.write(b'0{"sid":"1","upgrades":[],"pingInterval":25000,"pingTimeout":20000}')

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        packet = frame.get_payload_as_bytes()
        if packet.startswith(b"40"):
            token = msgspec.json.decode(packet[2:])["token"]
            self.trips = jwt.decode(token, SECRET, ["HS256"])["trips"]
            self.write(b'40{"sid":"1"}')
            self.write(b'42["session:ready",{}]')
        elif packet.startswith(b"42"):
            start = packet.index(b"[")
            event, payload = msgspec.json.decode(packet[start:])
            self.take(event, payload, packet[2:start])

    def take(self, event: str, payload: dict[str, object], ack_id: bytes) -> None:
        if event == "trip:subscribe":
            self.riders[self.trips[0]].append(self.transport)
            self.write(b'43%b[{"ok":true}]' % ack_id)
        elif event == "driver:location":
            for trip_id, packet in self.deliver(self.trips[0], payload):
                for rider in self.riders[trip_id]:
                    rider.send(WSMsgType.TEXT, packet)

    def write(self, packet: bytes) -> None:
        self.transport.send(WSMsgType.TEXT, packet)


@asynccontextmanager
async def small_server(deliver: Deliver) -> AsyncIterator[Target]:
    """One that makes this of every point."""
    riders: defaultdict[str, list[WSTransport]] = defaultdict(list)

    def listener(_request: WSUpgradeRequest) -> SmallServer:
        client = SmallServer()
        client.riders, client.deliver = riders, deliver
        return client

    server = await ws_create_server(listener, "127.0.0.1", 0)
    try:
        yield Target((url_of(server),), (os.getpid(),), has_trips=False, secret=SECRET)
    finally:
        server.close()


def url_of(server: asyncio.Server) -> str:
    return "http://{}:{}".format(*server.sockets[0].getsockname())


def as_it_should(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
    yield trip_id, location(trip_id, point)


def written_otherwise(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
    payload = msgspec.json.encode({**point, "trip_id": trip_id}).replace(b":", b" : ")
    yield trip_id, b'42["trip:location" , %b]' % payload


def moved(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
    yield trip_id, location(trip_id, {**point, "lat": 52.0})


def one_millisecond_late(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
    ts = point["ts"]
    assert isinstance(ts, int)
    yield trip_id, location(trip_id, {**point, "ts": ts + 1})


def without_speed(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
    yield trip_id, location(trip_id, {k: v for k, v in point.items() if k != "speed"})


def twice(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
    yield from (*as_it_should(trip_id, point), *as_it_should(trip_id, point))


def to_another_rider(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
    other = trip_id[:-1] + ("1" if trip_id.endswith("0") else "0")
    yield other, location(trip_id, point)


def only_the_first(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
    if point["seq"] == 1:
        yield from as_it_should(trip_id, point)


async def relayed(deliver: Deliver) -> Outcome:
    async with small_server(deliver) as where:
        task = Task(Scenario.RELAY, where, clients=2, seconds=0.1, warm_up_s=0.1)
        return await relay.run(task)


@pytest.fixture
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is not waited for."""
    for scenario in (relay, paced):
        monkeypatch.setattr(scenario, "STRAGGLERS_S", 0.05)


@pytest.mark.parametrize("deliver", [as_it_should, written_otherwise])
async def test_a_right_delivery_counts_however_its_json_is_written(deliver: Deliver) -> None:
    outcome = await relayed(deliver)
    assert (outcome.missing, outcome.wrong) == (0, 0), outcome.note
    assert outcome.events > 0


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize(
    "deliver", [moved, one_millisecond_late, without_speed, twice, to_another_rider]
)
async def test_a_wrong_delivery_is_seen(deliver: Deliver) -> None:
    assert (await relayed(deliver)).wrong > 0


@pytest.mark.usefixtures("_no_patience")
async def test_a_missing_delivery_is_seen() -> None:
    assert (await relayed(only_the_first)).missing == 2


@pytest.mark.usefixtures("_no_patience")
async def test_what_overtakes_shows_what_is_lost() -> None:
    def every_other(trip_id: str, point: dict[str, object]) -> Iterable[tuple[str, bytes]]:
        seq = point["seq"]
        assert isinstance(seq, int)
        return as_it_should(trip_id, point) if seq % 2 else ()

    async with small_server(every_other) as where:
        task = Task(Scenario.PACED_RELAY, where, 2, seconds=0.2, warm_up_s=0.1, rate=200)
        outcome = await paced.run(task)
    assert outcome.missing > 0
    assert outcome.wrong == 0


async def test_a_connection_that_the_server_ends_is_seen() -> None:
    connected: list[SmallServer] = []

    def ending(_request: WSUpgradeRequest) -> SmallServer:
        connected.append(SmallServer())
        return connected[-1]

    server = await ws_create_server(ending, "127.0.0.1", 0)
    record = Record()
    token = jwt.encode({"sub": "somebody", "trips": []}, SECRET, algorithm="HS256")
    client = await Client.connect(url_of(server), token, record)
    connected[0].transport.disconnect()
    assert await until(lambda: client.is_gone, within_s=10)
    server.close()
    assert record.missing == 1


# --- the parts that judge ---


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def awaited(record: Record) -> Awaited[int, int]:
    return Awaited("number", record, lambda received, expected: received == expected)


def test_deliveries_in_order_tell_when_they_were_sent(awaited: Awaited[int, int]) -> None:
    awaited.expect(1, 10.0)
    awaited.expect(2, 20.0)
    assert awaited.arrived(1) == 10.0
    assert awaited.missing == 1
    assert awaited.arrived(2) == 20.0
    assert awaited.missing == 0


def test_a_delivery_that_comes_again_is_wrong(awaited: Awaited[int, int], record: Record) -> None:
    awaited.expect(1, 10.0)
    awaited.expect(2, 20.0)
    awaited.arrived(1)
    assert awaited.arrived(1) is None
    assert record.wrong == 1
    assert awaited.missing == 1


def test_what_was_under_way_during_an_absence_need_not_arrive(
    awaited: Awaited[int, int], record: Record
) -> None:
    awaited.expect(1, 10.0)
    awaited.leave()
    awaited.expect(2, 20.0)
    assert awaited.missing == 0
    awaited.come_back()
    awaited.expect(3, 30.0)
    assert awaited.missing == 1
    assert awaited.arrived(2) is None, "it may come, and is no delivery that counts"
    assert awaited.arrived(3) == 30.0
    assert (record.missing, record.wrong) == (0, 0)


def test_even_during_an_absence_what_comes_has_to_be_right(
    awaited: Awaited[int, int], record: Record
) -> None:
    awaited.leave()
    awaited.expect(1, 10.0)
    awaited.arrived(7)
    assert record.wrong == 1


def test_a_course_is_one_that_a_car_can_drive() -> None:
    course = Course(12_345)
    read = msgspec.json.Decoder(Point).decode
    points = [read(b"{" + course.next().removesuffix(b"]")) for _ in range(3_000)]
    for before, after in pairwise(points):
        assert after.seq == before.seq + 1
        assert after.ts > before.ts
        metres = (after.lat - before.lat) * 111_195
        assert after.lng == before.lng
        assert metres <= (after.ts - before.ts) / 1000 * 12


def test_a_course_is_written_as_every_json_writer_does() -> None:
    head = expected_location("trip-1")
    packet = head + Course(7).next()
    event, payload = msgspec.json.decode(packet[2:])
    assert b"42" + msgspec.json.encode([event, payload]) == packet
    assert is_location(packet, packet)


def test_percentiles_are_of_what_was_measured() -> None:
    delays = [0.001 * n for n in range(1, 101)]
    assert percentile(delays, 50) == pytest.approx(50)
    assert percentile(delays, 99) == pytest.approx(99)
    assert percentile([0.002], 99) == pytest.approx(2)
    assert percentile([], 50) is None


async def test_of_many_things_at_once_the_first_failure_is_told() -> None:
    async def refuse(number: int) -> None:
        raise Refused(f"number {number}")

    with pytest.raises(Refused, match="number 0"):
        await each(range(3), refuse)
