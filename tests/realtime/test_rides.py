"""Commands of a connection: in order, each answered once whatever becomes of it; but locations."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web
from msgspec import Raw, Struct

from models.commands import MAX_POINTS, ChatHistory, DriverStatus, TripSubscribe
from models.errors import Conflict, Internal, RidewireError, Unavailable
from models.identity import Role
from models.stores import TripRecord
from realtime import dispatch, engine, sessions
from realtime.allowance import Allowance
from realtime.buckets import BURST_S, Rate
from realtime.connection import Connection
from realtime.draining import BACK_WITHIN_MS, send_away
from realtime.gateway import Gateway
from realtime.identities import Identities
from realtime.metrics import Metrics
from realtime.revocations import Revocations
from realtime.rides import MAX_PENDING_BYTES, Command, Locate, Rides, Then
from realtime.sessions import Sessions
from realtime.tasks import Tasks
from realtime.tokens import Secret, TokenRules, Tokens
from tests.apps import served
from tests.handlers.world import MemoryTrips, World
from tests.hostile.process import until
from tests.hostile.raw import Codec, Session, WebSocket
from tests.realtime.joining import following_of, without_redis

SECRET: Final = Secret("the secret of a test that is long enough to sign with")
PER_USER: Final = 3
PER_LINK: Final = 5
REPORTS: Final = Rate.of(50)
PENDING: Final = 20
"""Commands of a connection that may wait."""
ALLOWED: Final = 2 * PENDING
"""Commands at once."""
HERE: Final = {"lat": 52.5, "lng": 13.4}


class Silence:
    """The channels of an instance that is alone."""

    def subscribe(self, _channel: str) -> Awaitable[bool]:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    def unsubscribe(self, _channel: str) -> None:
        """Nobody listens."""


class SlowTrips(MemoryTrips):
    """Trips that are read when the test lets them, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.asked = 0
        """How often it was asked what somebody follows."""

    async def followed_by(self, key: str, now: int) -> Any:
        self.asked += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().followed_by(key, now)

    async def get(self, trip_id: str) -> TripRecord | None:
        await self.gate.wait()
        return await super().get(trip_id)


class Scripted:
    """Commands whose course the test decides."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gate = asyncio.Event()
        self.then: Then | None = None
        self.error: RidewireError | None = None

    async def wait(self, _connection: Connection, command: TripSubscribe) -> tuple[object, Any]:
        self.begun.append(command.trip_id)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {"ok": True, "trip_id": command.trip_id}, self.then

    async def fail(self, _connection: Connection, _command: ChatHistory) -> tuple[object, None]:
        raise LookupError("the server's own fault")

    async def refuse(self, _connection: Connection, _command: DriverStatus) -> tuple[object, None]:
        raise Conflict("not now", trip={})


class Stage(Struct, frozen=True):
    """A server with commands of the test's, on real sockets."""

    url: str
    world: World
    trips: SlowTrips
    scripted: Scripted
    tokens: Tokens
    metrics: Metrics
    sessions: Sessions
    rides: Rides
    reported: list[bytes]

    async def begin(
        self, role: str = "driver", user_id: str = "dan", device: str | None = None
    ) -> Session:
        """Connect, without waiting for `session:ready`."""
        codec = Codec("json")
        session = Session(await WebSocket.open(self.url), codec, user_id)
        await session.socket.receive()
        trips = ("t1",) if role == "viewer" else ()
        token = self.tokens.mint(Role(role), user_id, ttl_s=600, trips=trips)
        session.socket.send(codec.connect({"token": token, "device": device}))
        return session

    async def open(
        self, role: str = "driver", user_id: str = "dan", device: str | None = None
    ) -> Session:
        session = await self.begin(role, user_id, device)
        await session.hears("session:ready")
        return session

    def counted(self, event: str, outcome: str) -> float:
        labels = {"event": event, "outcome": outcome}
        name = "ridewire_commands_total"
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    trips, scripted, metrics, tasks = SlowTrips(), Scripted(), Metrics(), Tasks()
    world = World(trips)
    tokens = Tokens(TokenRules(secrets=(SECRET,)), world.clock)
    revocations = Revocations(world.stores, without_redis(world.clock), world.clock)
    await revocations.load()
    following = following_of(world, tasks, Silence())
    opened = Sessions(
        identities=Identities(tokens, revocations),
        following=following,
        publish=world.publish,
        clock=world.clock,
        metrics=metrics,
        per_user=PER_USER,
        per_link=PER_LINK,
        reports=REPORTS,
    )
    handlers = dispatch.Handlers(
        sessions=opened,
        following=following,
        drivers=world.drivers,
        locations=world.locations,
        trips=world.trips,
        chat=world.chat,
        metrics=metrics,
    )
    commands = {
        TripSubscribe.event: Command(TripSubscribe, scripted.wait),
        ChatHistory.event: Command(ChatHistory, scripted.fail),
        DriverStatus.event: Command(DriverStatus, scripted.refuse),
    }
    reported: list[bytes] = []
    allowed = Rate.of(ALLOWED / BURST_S, ticks=lambda: 0.0)
    rides = Rides(
        sessions=opened,
        commands=commands,
        locate=_noting(dispatch.locate(handlers), reported),
        allow=Allowance(allowed, allowed).spend,
        tasks=tasks,
        metrics=metrics,
        pending=PENDING,
    )
    gateway, app = Gateway(), web.Application()
    gateway.add(rides)
    gateway.attach(app)
    async with served(app) as url:
        yield Stage(url, world, trips, scripted, tokens, metrics, opened, rides, reported)
        scripted.gate.set()
        trips.gate.set()
        await tasks.stop()


def _noting(locate: Locate, reported: list[bytes]) -> Locate:
    """The same, with a note of what took the direct way; a `seq` of 13 is a fault in the server."""

    def report(connection: Connection, payload: Raw | None, is_answered: bool) -> object:
        if payload is not None and b'"seq":13' in bytes(payload):
            raise LookupError("the server's own fault")
        return locate.report(connection, payload, is_answered)

    def direct(connection: Connection, payload: bytes) -> bool:
        taken = locate.direct(connection, payload)
        if taken:
            reported.append(payload)
        return taken

    return Locate(report, direct, locate.wait)


def subscribe(number: int, more: str = "") -> str:
    return f'42{number}["trip:subscribe",{{"trip_id":"t{number}","more":"{more}"}}]'


def point(stage: Stage, seq: int) -> dict[str, Any]:
    return {**HERE, "ts": stage.world.clock() + seq, "seq": seq}


class TestOrder:
    async def test_commands_are_run_one_after_another(self, stage: Stage) -> None:
        session = await stage.open()
        session.socket.send(*(subscribe(number) for number in range(1, 4)))
        await until(lambda: bool(stage.scripted.begun))
        await session.ok("driver:location", point(stage, 1))
        assert stage.scripted.begun == ["t1"], "the next one has not waited for its turn"
        assert session.answers == {}
        stage.scripted.gate.set()
        for number in range(1, 4):
            assert (await session.answer(number))["trip_id"] == f"t{number}"
        assert stage.scripted.begun == ["t1", "t2", "t3"]
        session.close()

    async def test_many_commands_that_wait_for_nothing_leave_others_a_turn_after_each(
        self, stage: Stage
    ) -> None:
        turns, seen = 0, list[int]()

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        session = await stage.open()
        stage.scripted.gate.set()
        stage.scripted.then = lambda: seen.append(turns)
        counting = asyncio.create_task(count())
        session.socket.send(*(subscribe(number) for number in range(1, PENDING + 1)))
        await session.answer(PENDING)
        counting.cancel()
        assert len(seen) == len({*seen}) == PENDING
        session.close()

    async def test_connections_do_not_wait_for_each_other(self, stage: Stage) -> None:
        first, second = await stage.open(), await stage.open(user_id="eve")
        for session in (first, second):
            session.socket.send(subscribe(1))
        await until(lambda: len(stage.scripted.begun) == 2)
        stage.scripted.gate.set()
        for session in (first, second):
            await session.answer(1)
            session.close()

    async def test_commands_that_come_before_the_session_is_ready_are_run_after_it(
        self, stage: Stage
    ) -> None:
        stage.trips.gate.clear()
        stage.scripted.gate.set()
        session = await stage.begin()
        report = session.codec.event(["driver:location", point(stage, 1)], 2)
        session.socket.send(subscribe(1), report, subscribe(3))
        session.socket.send(session.codec.event(["driver:location", point(stage, 2)]))
        connection = await accepted(stage)
        await until(lambda: (len(connection.pending), len(connection.early)) == (2, 2))
        assert stage.scripted.begun == []
        stage.trips.gate.set()
        await session.answer(3)
        assert session.events[0][0] == "session:ready"
        assert session.answers[2] == {"ok": True, "accepted": 1, "rejected": []}
        await session.is_alive()
        sighting = await stage.world.drivers.newest("dan")
        assert sighting is not None
        assert sighting.point.seq == 2
        session.close()

    async def test_a_token_that_ends_while_the_session_begins_lets_nobody_in(
        self, stage: Stage
    ) -> None:
        stage.trips.gate.clear()
        session = await stage.begin()
        connection = await accepted(stage)
        session.socket.send(session.codec.event(["driver:location", point(stage, 1)]))
        await until(lambda: bool(connection.early))
        stage.world.clock.now = connection.identity.expires_at
        stage.trips.gate.set()
        assert (await session.ends())[0] == [{"code": "token_expired", "retry": False}]
        assert [name for name, *_ in session.events] == ["session:ended"]
        assert await stage.world.drivers.newest("dan") is None

    async def test_what_is_to_follow_follows_the_answer(self, stage: Stage) -> None:
        session = await stage.open()
        connection = await accepted(stage)
        stage.scripted.then = lambda: connection.end("revoked", retry=False)
        stage.scripted.gate.set()
        assert (await session.ok("trip:subscribe", {"trip_id": "t"}))["trip_id"] == "t"
        assert (await session.ends())[0] == [{"code": "revoked", "retry": False}]


class TestLimits:
    async def test_more_commands_than_may_wait_are_refused_for_now(self, stage: Stage) -> None:
        session = await stage.open()
        session.socket.send(subscribe(1))
        await until(lambda: bool(stage.scripted.begun))
        session.socket.send(*(subscribe(number) for number in range(2, PENDING + 3)))
        refused = await session.answer(PENDING + 2)
        assert refused["error"]["code"] == "rate_limited"
        assert (refused["error"]["retry"], refused["error"]["retry_after_ms"]) == (True, 1_000)
        stage.scripted.gate.set()
        for number in range(1, PENDING + 2):
            assert (await session.answer(number))["ok"] is True
        session.close()

    async def test_larger_commands_than_may_wait_are_refused_for_now(self, stage: Stage) -> None:
        session = await stage.open()
        large = "x" * 200_000
        session.socket.send(subscribe(1))
        await until(lambda: bool(stage.scripted.begun))
        fits = 1 + MAX_PENDING_BYTES // 200_000
        session.socket.send(*(subscribe(number, large) for number in range(2, fits + 2)))
        assert (await session.answer(fits + 1))["error"]["code"] == "rate_limited"
        session.socket.send(subscribe(100))
        stage.scripted.gate.set()
        for number in (*range(1, fits + 1), 100):
            assert (await session.answer(number))["ok"] is True
        session.socket.send(*(subscribe(number, large) for number in range(200, 203)))
        assert (await session.answer(202))["ok"] is True, "what was run waits no more"
        session.close()

    async def test_a_user_who_gives_too_many_commands_is_refused_for_now_on_every_connection(
        self, stage: Stage
    ) -> None:
        stage.scripted.gate.set()
        phone, watch = await stage.open(), await stage.open()
        for number in range(1, ALLOWED + 1):
            phone.socket.send(subscribe(number))
            assert (await phone.answer(number))["ok"] is True
        for session in (phone, watch):
            error = (await session.call("trip:subscribe", {"trip_id": "t"}))["error"]
            assert (error["code"], error["retry"]) == ("rate_limited", True)
            assert 0 < error["retry_after_ms"] <= 1_000
        assert stage.counted("trip:subscribe", "rate_limited") == 2
        assert (await phone.ok("driver:location", point(stage, 1)))["accepted"] == 1
        other = await stage.open(user_id="eve")
        await other.ok("trip:subscribe", {"trip_id": "t"})
        for session in (phone, watch, other):
            session.close()

    async def test_as_many_points_as_at_any_time_may_come_before_the_session_is_ready(
        self, stage: Stage
    ) -> None:
        """And they are no commands: the session's own may all wait besides."""
        stage.trips.gate.clear()
        stage.scripted.gate.set()
        session = await stage.begin()
        most = int(REPORTS.most)
        for number in range(1, most + 1):
            session.socket.send(
                session.codec.event(["driver:location", point(stage, 2_000 + number)])
            )
        error = (await session.call("driver:location", point(stage, 2_001 + most)))["error"]
        assert (error["code"], error["retry"]) == ("rate_limited", True)
        session.socket.send(*(subscribe(number) for number in range(1, PENDING + 1)))
        stage.trips.gate.set()
        for number in range(1, PENDING + 1):
            assert (await session.answer(number))["ok"] is True
        sighting = await stage.world.drivers.newest("dan")
        assert sighting is not None
        assert sighting.point.seq == 2_000 + most
        session.close()

    async def test_a_batch_of_the_most_points_may_come_before_the_session_is_ready(
        self, stage: Stage
    ) -> None:
        stage.trips.gate.clear()
        session = await stage.begin()
        batch = [point(stage, 2_000 + number) for number in range(MAX_POINTS)]
        answered = session.emit("driver:location", batch)
        connection = await accepted(stage)
        await until(lambda: bool(connection.early))
        stage.trips.gate.set()
        assert (await session.answer(answered))["accepted"] == MAX_POINTS
        session.close()

    async def test_a_token_of_the_handshake_is_not_kept_once_it_was_checked(
        self, stage: Stage
    ) -> None:
        token = stage.tokens.mint(Role.DRIVER, "dan", ttl_s=600)
        socket = await WebSocket.open(stage.url, Authorization=f"Bearer {token}")
        await socket.receive()
        socket.send("40")
        connection = await accepted(stage)
        assert connection.socket.authorization == ""
        socket.close()

    async def test_a_user_has_so_many_devices_connected_and_no_more(self, stage: Stage) -> None:
        sessions = [await stage.open(device=f"phone-{n}") for n in range(PER_USER)]
        refused = await stage.begin()
        kind, _, error = refused.codec.read(await refused.socket.receive())
        assert (kind, error["data"]["code"]) == (4, "too_many_connections")
        sessions.append(await stage.open(user_id="eve"))
        sessions.append(await stage.open("rider"))
        sessions.pop(0).close()
        await until(lambda: len(list(stage.sessions.all())) == PER_USER + 1)
        sessions.append(await stage.open())
        for session in (*sessions, refused):
            session.close()

    async def test_the_oldest_connection_without_a_device_makes_room(self, stage: Stage) -> None:
        phone = await stage.open(device="phone")
        oldest, older, *newest = [await stage.open() for _ in range(PER_USER - 1)]
        newest += [await stage.open(), await stage.open(device="tablet")]
        for replaced in (oldest, older):
            ended, _ = await replaced.ends()
            assert ended == [{"code": "replaced", "retry": False}]
        for session in (phone, *newest):
            await session.is_alive()
            session.close()

    async def test_one_that_answers_no_ping_makes_room_before_older_ones(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        silent_s = engine.SILENT_S
        monkeypatch.setattr(engine, "SILENT_S", -60)  # the ping below is early
        sessions = [await stage.open() for _ in range(PER_USER)]
        silent = list(stage.sessions.all())[1].socket
        silent.beat(silent.due)
        assert await sessions[1].socket.receive() == "2"
        is_silent = silent.is_silent
        with monkeypatch.context() as usual:
            usual.setattr(engine, "SILENT_S", silent_s)
            was_silent_at_once = silent.is_silent
        assert is_silent
        assert not was_silent_at_once, "a phone has time to answer"
        sessions.append(await stage.open())
        ended, _ = await sessions.pop(1).ends()
        assert ended == [{"code": "replaced", "retry": False}]
        for session in sessions:
            await session.is_alive()
            session.close()

    async def test_who_takes_the_place_of_a_connection_is_let_in(self, stage: Stage) -> None:
        sessions = [await stage.open(device=f"phone-{n}") for n in range(PER_USER)]
        sessions.append(await stage.open(device="phone-1"))
        refused = await stage.begin(device="tablet")
        _, _, error = refused.codec.read(await refused.socket.receive())
        assert error["data"]["code"] == "too_many_connections"
        for session in (*sessions, refused):
            session.close()

    async def test_a_share_link_has_room_for_more_than_one_user_has(self, stage: Stage) -> None:
        sessions = [await stage.open("viewer", "share:t1") for _ in range(PER_LINK)]
        refused = await stage.begin("viewer", "share:t1")
        _, _, error = refused.codec.read(await refused.socket.receive())
        assert error["data"]["code"] == "too_many_connections"
        for session in (*sessions, refused):
            session.close()

    async def test_staff_has_any_number_of_connections(self, stage: Stage) -> None:
        sessions = [await stage.open("service") for _ in range(PER_USER + 1)]
        for session in sessions:
            session.close()


class TestFailures:
    async def test_a_fault_of_the_server_is_logged_and_answered_and_the_next_command_runs(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = await stage.open()
        stage.scripted.gate.set()
        with caplog.at_level(logging.ERROR):
            error = (await session.call("chat:history", {"conversation_id": "c"}))["error"]
        assert (error["code"], error["message"]) == ("internal", "the server failed")
        assert "the server's own fault" in caplog.text
        [line] = [vars(record) for record in caplog.records if record.name == "realtime.rides"]
        [connection] = stage.sessions.all()
        assert line["connection"] == connection.id
        assert (line["event"], line["conversation"], line["trip"]) == ("chat:history", "c", None)
        await session.ok("trip:subscribe", {"trip_id": "t"})
        session.close()

    @pytest.mark.parametrize(
        ("error", "has_traceback"), [(Unavailable("away"), False), (Internal("no"), True)]
    )
    async def test_what_a_store_did_not_do_is_logged_with_what_it_was_about(
        self,
        stage: Stage,
        caplog: pytest.LogCaptureFixture,
        error: RidewireError,
        has_traceback: bool,
    ) -> None:
        session = await stage.open()
        stage.scripted.error = error
        stage.scripted.gate.set()
        await session.call("trip:subscribe", {"trip_id": "t1"})
        [line] = [vars(record) for record in caplog.records if record.name == "realtime.rides"]
        assert (line["event"], line["trip"], line["conversation"]) == ("trip:subscribe", "t1", None)
        assert bool(line["exc_info"]) is has_traceback
        session.close()

    async def test_a_payload_that_says_nothing_sane_of_itself_is_not_in_the_log(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = await stage.open()
        stage.scripted.error = Unavailable("away")
        stage.scripted.gate.set()
        forged = "t1 2026-01-31T12:00:00.000Z INFO realtime.app: paid"
        await session.call("trip:subscribe", {"trip_id": "t1", "conversation_id": forged})
        [line] = [vars(record) for record in caplog.records if record.name == "realtime.rides"]
        assert (line["trip"], line["conversation"]) == (None, None)
        session.close()

    async def test_refused_connections_are_logged(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        stranger = await WebSocket.open(stage.url)
        await stranger.receive()
        with caplog.at_level(logging.INFO):
            stranger.send('40{"token":"a.secret.token"}')
            await stranger.receive()
        [line] = [vars(record) for record in caplog.records if record.msg == "connection refused"]
        assert (line["code"], line["remote"]) == ("unauthorized", "127.0.0.1")
        assert "secret" not in str(line)
        stranger.close()

    async def test_so_is_one_at_a_location(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = await stage.open()
        with caplog.at_level(logging.ERROR):
            error = (await session.call("driver:location", point(stage, 13)))["error"]
        assert error["code"] == "internal"
        assert "the server's own fault" in caplog.text
        await session.ok("driver:location", point(stage, 14))
        session.close()

    async def test_a_refusal_has_its_code_its_message_and_what_belongs_to_it(
        self, stage: Stage
    ) -> None:
        session = await stage.open()
        answer = await session.call("driver:status", {"status": "busy"})
        expected = {"code": "conflict", "message": "not now", "retry": False, "trip": {}}
        assert answer == {"ok": False, "error": expected}
        session.close()

    async def test_commands_are_counted_by_event_and_outcome(self, stage: Stage) -> None:
        session = await stage.open()
        stage.scripted.gate.set()
        await session.ok("trip:subscribe", {"trip_id": "t"})
        await session.call("trip:subscribe", {"trip_id": "a b"})
        await session.call("chat:history", {"conversation_id": "c"})
        await session.call("driver:status", {"status": "busy"})
        for name in ("one", "another"):
            await session.call(name, {})
        await until(lambda: stage.counted("unknown", "unknown_event") == 2.0)
        assert stage.counted("trip:subscribe", "ok") == 1.0
        assert stage.counted("trip:subscribe", "invalid") == 1.0
        assert stage.counted("chat:history", "internal") == 1.0
        assert stage.counted("driver:status", "conflict") == 1.0
        session.close()

    @pytest.mark.parametrize(
        ("error", "logged"), [(Unavailable("away"), False), (LookupError("a fault"), True)]
    )
    async def test_a_session_that_cannot_be_opened_ends_for_now(
        self,
        stage: Stage,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        logged: bool,
    ) -> None:
        monkeypatch.setattr(sessions, "OPENED_WITHIN_S", 0.5)
        stage.trips.error = error
        with caplog.at_level(logging.WARNING):
            session = await stage.begin()
            ended, code = await session.ends()
        assert code == 1000
        assert [(end["code"], end["retry"]) for end in ended] == [("busy", True)]
        assert 500 <= ended[0]["retry_in_ms"] < 1_500
        assert ("Traceback" in caplog.text) is logged

    async def test_a_session_waits_for_a_store_that_is_away(self, stage: Stage) -> None:
        stage.trips.error = Unavailable("away")
        session = await stage.begin()
        await until(lambda: stage.trips.asked > 1)
        stage.trips.error = None
        await session.hears("session:ready")
        assert stage.sessions.opening == 0
        session.close()


class TestLocations:
    async def test_a_location_waits_for_no_command(self, stage: Stage) -> None:
        session = await stage.open()
        session.socket.send(subscribe(1))
        answer = await session.ok("driver:location", point(stage, 1))
        assert (answer["accepted"], session.answers) == (1, {})
        session.close()

    async def test_one_sent_before_the_session_was_ready_waits_for_no_command_either(
        self, stage: Stage
    ) -> None:
        stage.trips.gate.clear()
        session = await stage.begin()
        session.socket.send(subscribe(1))
        report = asyncio.create_task(session.ok("driver:location", point(stage, 1)))
        await asyncio.sleep(0)  # it is sent
        stage.trips.gate.set()
        assert (await report)["accepted"] == 1
        assert session.answers == {}
        session.close()

    async def test_one_that_asks_for_no_answer_has_the_direct_way(self, stage: Stage) -> None:
        session = await stage.open()
        for seq in range(1, 4):
            session.socket.send(session.codec.event(["driver:location", point(stage, seq)]))
        await until(lambda: len(stage.reported) == 3)
        assert [msgspec.json.decode(data)["seq"] for data in stage.reported] == [1, 2, 3]
        session.close()

    @pytest.mark.parametrize("role", ["rider", "agent", "service", "viewer"])
    async def test_nobody_but_a_driver_reports_with_or_without_an_answer(
        self, stage: Stage, role: str
    ) -> None:
        session = await stage.open(role, "dan")
        session.socket.send(session.codec.event(["driver:location", point(stage, 1)]))
        answer = await session.call("driver:location", point(stage, 2))
        assert answer["error"]["code"] == "forbidden"
        assert stage.reported == []
        assert await stage.world.drivers.newest("dan") is None
        session.close()

    async def test_a_location_of_who_has_not_said_who_it_is_ends_the_connection(
        self, stage: Stage
    ) -> None:
        stranger = await WebSocket.open(stage.url)
        stranger.send("40/nowhere,", '42["driver:location",{"lat":1,"lng":2,"ts":3,"seq":4}]')
        messages, code = await stranger.rest()
        assert (len(messages), code) == (2, 1008)
        assert stage.reported == []


class TestEnds:
    async def test_draining_sends_everybody_away_at_spread_out_times(self, stage: Stage) -> None:
        sessions = [await stage.open(user_id=f"dan{number}") for number in range(10)]
        await send_away(stage.sessions.all(), 1.0)
        waits = set()
        for session in sessions:
            ended, code = await session.ends()
            assert code == 1000
            assert [(end["code"], end["retry"]) for end in ended] == [("draining", True)]
            waits.add(ended[0]["retry_in_ms"])
        assert len(waits) > 1
        assert all(0 <= wait < BACK_WITHIN_MS for wait in waits)

    async def test_who_has_a_command_under_way_is_answered_before_it_is_sent_away(
        self, stage: Stage
    ) -> None:
        busy, idle = await stage.open(user_id="dan"), await stage.open(user_id="eve")
        busy.socket.send(subscribe(1))
        await until(lambda: bool(stage.scripted.begun))
        leaving = asyncio.create_task(send_away(stage.sessions.all(), 60.0))
        await idle.ends()
        assert busy.heard("session:ended") == []
        stage.scripted.gate.set()
        ended, _ = await busy.ends()
        assert [end["code"] for end in ended] == ["draining"]
        await leaving

    async def test_who_is_never_done_is_sent_away_in_the_end(self, stage: Stage) -> None:
        busy = await stage.open()
        busy.socket.send(subscribe(1))
        await until(lambda: bool(stage.scripted.begun))
        await send_away(stage.sessions.all(), 0.1)
        ended, _ = await busy.ends()
        assert [end["code"] for end in ended] == ["draining"]

    async def test_who_leaves_and_comes_again_on_its_transport_hears_nothing_of_before(
        self, stage: Stage
    ) -> None:
        session = await stage.open()
        session.socket.send(subscribe(1), subscribe(2))
        await until(lambda: bool(stage.scripted.begun))
        session.socket.send(session.codec.goodbye())
        token = stage.tokens.mint(Role.DRIVER, "eve", ttl_s=600)
        session.socket.send(session.codec.connect({"token": token}))
        session.events.clear()
        ready = await session.hears("session:ready")
        assert ready["user_id"] == "eve"
        stage.scripted.gate.set()
        await session.ok("trip:subscribe", {"trip_id": "mine"})
        await until(lambda: len(stage.scripted.begun) >= 2)
        await session.is_alive()
        assert session.answers == {}, "an answer to a session that has ended"
        session.close()

    async def test_refused_connections_are_counted_by_code(self, stage: Stage) -> None:
        stranger = await WebSocket.open(stage.url)
        await stranger.receive()
        stranger.send("40{}", '40{"token":"x","protocol":2}')
        for _ in range(2):
            await stranger.receive()
        counts = [
            stage.metrics.registry.get_sample_value(
                "ridewire_refused_connections_total", {"code": code}
            )
            for code in ("unauthorized", "unsupported_client")
        ]
        assert counts == [1.0, 1.0]
        stranger.close()


async def accepted(stage: Stage) -> Connection:
    """The only connection there is."""
    await until(lambda: bool(stage.sessions.all()))
    return next(iter(stage.sessions.all()))
