"""The table of commands: complete, and each command reaches its handler with what that needs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import msgspec
import pytest
from msgspec import Raw, Struct

from handlers import access
from handlers.answers import Answer, Located, Rejected, SessionRefreshed, Snapshot, StatusNoted
from handlers.locations import Reporter
from models import commands, rooms
from models.commands import MAX_POINTS, DriverAvailability, MarkRead, TripSubscribe, TripUnsubscribe
from models.errors import Forbidden, NotFound, RateLimited
from models.facts import ChatReceipt
from models.identity import Identity, Role
from models.messages import Draft
from models.points import Point
from realtime import dispatch, keys
from realtime.buckets import BURST_S, Bucket, Rate
from realtime.connection import Connection
from realtime.engine import Socket
from realtime.identities import Identities
from realtime.metrics import Metrics
from realtime.revocations import Revocations
from realtime.rides import Command
from realtime.sessions import Sessions
from realtime.tasks import Tasks
from realtime.tokens import Secret, TokenRules, Tokens
from realtime.wire import JSON, Frame
from tests.handlers.world import ANN, DAN, EVE, NOW, RITA, SERVICE, Told, World, viewer
from tests.realtime.joining import following_of, without_redis

SECRET = Secret("the secret of a test that is long enough to sign with")


class Channels:
    """Notes what an instance would listen to."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()

    def subscribe(self, channel: str) -> Awaitable[bool]:
        self.subscribed.add(channel)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    def unsubscribe(self, channel: str) -> None:
        self.subscribed.discard(channel)


class Ear:
    """Stands where a socket stands."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def write(self, frame: Frame, passing: bool = False) -> bool:
        del passing
        self.frames.append(frame.data)
        return True


FLOOD = 10
"""Reports at once, and then one a second."""


class Server:
    """Everything behind the gateway, on a world of handlers."""

    def __init__(self, world: World, tasks: Tasks) -> None:
        self.world = world
        self.channels = Channels()
        self.tokens = Tokens(TokenRules(secrets=(SECRET,)), world.clock)
        self.revocations = Revocations(world.stores, without_redis(world.clock), world.clock)
        self.metrics = Metrics()
        self.ticks = 0.0
        self.reports = Rate.of(FLOOD / BURST_S, ticks=lambda: self.ticks)
        self.following = following_of(world, tasks, self.channels)
        handlers = dispatch.Handlers(
            sessions=Sessions(
                identities=Identities(self.tokens, self.revocations),
                following=self.following,
                publish=world.publish,
                clock=world.clock,
                metrics=self.metrics,
                per_user=10,
                per_link=10,
                reports=self.reports,
            ),
            following=self.following,
            drivers=world.drivers,
            locations=world.locations,
            trips=world.trips,
            chat=world.chat,
            metrics=self.metrics,
        )
        self.commands = dispatch.commands(handlers)
        self.locate = dispatch.locate(handlers)

    def connect(self, identity: Identity) -> Connection:
        socket = cast("Socket", Ear())
        connection = Connection(
            socket, JSON, identity, "phone", "test/1", reports=Bucket(self.reports)
        )
        if identity.role is Role.DRIVER:
            connection.reporter = Reporter(identity.user_id, "phone", None)
        return connection

    async def run(self, connection: Connection, payload: Struct) -> Any:
        """Give a command; what it answers, once what was to follow has followed."""
        answer, then = await self._command_of(payload).run(connection, payload)
        if then is not None:
            then()
        return answer

    def counted(self, outcome: str) -> float:
        return (
            self.metrics.registry.get_sample_value("ridewire_points_total", {"outcome": outcome})
            or 0.0
        )

    def _command_of(self, payload: Struct) -> Command:
        event: str = payload.event  # type: ignore[attr-defined]
        return self.commands[event]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    tasks = Tasks()
    server = Server(World(), tasks)
    await server.revocations.load()
    yield server
    await tasks.stop()


class TestTable:
    async def test_every_command_that_somebody_may_give_is_there(self, server: Server) -> None:
        assert {*server.commands, commands.DRIVER_LOCATION} == set(access.COMMANDS)

    async def test_each_event_has_the_payload_of_its_name(self, server: Server) -> None:
        for event, command in server.commands.items():
            assert command.payload.event == event

    async def test_each_payload_is_one_that_clients_can_send(self, server: Server) -> None:
        schemas = msgspec.json.schema_components(
            [command.payload for command in server.commands.values()]
        )
        assert len(schemas[0]) == len(server.commands)


class TestTrips:
    async def test_a_trip_is_created_by_who_asks(self, server: Server) -> None:
        rita = server.connect(RITA)
        create = msgspec.convert(
            {"client_id": "c1", "pickup": {"lat": 1, "lng": 2}}, commands.TripCreate
        )
        answer = await server.run(rita, create)
        assert (answer.ok, answer.trip.rider_id) == (True, "rita")

    async def test_a_subscriber_looks_once_it_has_its_answer(self, server: Server) -> None:
        trip = await server.world.trip_in("accepted")
        rita = server.connect(RITA)
        subscribe = server.commands["trip:subscribe"]
        answer, then = await subscribe.run(rita, TripSubscribe(trip.id))
        assert isinstance(answer, Snapshot)
        assert server.following.watched == {}
        assert then is not None
        then()
        assert rita in server.following.watched[rooms.live(trip.id)].watchers
        assert server.channels.subscribed == {
            keys.channel(rooms.trip(trip.id)),
            keys.channel(rooms.live(trip.id)),
        }

    async def test_who_may_not_subscribe_leaves_nothing_behind(self, server: Server) -> None:
        trip = await server.world.trip_in("accepted")
        eve = server.connect(EVE)
        with pytest.raises(NotFound):
            await server.run(eve, TripSubscribe(trip.id))
        assert (server.following.feeds, eve.members) == ({}, {})
        assert server.channels.subscribed == set()

    async def test_a_subscription_ends(self, server: Server) -> None:
        trip = await server.world.trip_in("accepted")
        ann = server.connect(ANN)
        await server.run(ann, TripSubscribe(trip.id))
        assert await server.run(ann, TripUnsubscribe(trip.id)) == Answer()
        assert (server.following.watched, server.following.feeds) == ({}, {})
        assert server.channels.subscribed == set()

    async def test_ending_none_is_no_mistake(self, server: Server) -> None:
        assert await server.run(server.connect(ANN), TripUnsubscribe("nowhere")) == Answer()


class TestChat:
    async def test_a_connection_has_its_message_as_its_answer(self, server: Server) -> None:
        trip = await server.world.trip_in("accepted")
        rita, tablet = server.connect(RITA), server.connect(RITA)
        answer = await server.run(
            rita, Draft(conversation_id=trip.id, client_id="m1", text="hello")
        )
        assert rita.owns(answer.message)
        assert not tablet.owns(answer.message)
        assert not server.connect(DAN).owns(answer.message)

    async def test_a_message_that_was_refused_is_nobodys_own(self, server: Server) -> None:
        trip = await server.world.trip_in("accepted")
        eve = server.connect(EVE)
        draft = Draft(conversation_id=trip.id, client_id="m1", text="hello")
        with pytest.raises(NotFound):
            await server.run(eve, draft)
        stored, _ = await server.world.stores.messages.append(draft, "eve", NOW)
        assert not eve.owns(stored)

    async def test_a_receipt_says_which_connection_it_is_from(self, server: Server) -> None:
        trip = await server.world.trip_in("accepted")
        await server.world.write(trip.id, 1)
        dan = server.connect(DAN)
        await server.run(dan, MarkRead(trip.id, read_seq=1))
        receipt = ChatReceipt(trip.id, "dan", 1, 1)
        assert server.world.told == [Told(rooms.trip(trip.id), receipt, dan.id, trip.version)]


class TestSessions:
    async def test_a_session_goes_on_with_a_new_token(self, server: Server) -> None:
        rita = server.connect(RITA)
        token = server.tokens.mint(Role.RIDER, "rita", ttl_s=900)
        answer = await server.run(rita, commands.SessionRefresh(token))
        assert answer == SessionRefreshed(expires_at=NOW + 900_000)
        assert rita.identity.expires_at == NOW + 900_000
        assert (rita.expiring, rita.ended) == (False, False)

    async def test_it_does_not_go_on_with_another_users(self, server: Server) -> None:
        rita = server.connect(RITA)
        token = server.tokens.mint(Role.RIDER, "ruth", ttl_s=900)
        with pytest.raises(Forbidden):
            await server.run(rita, commands.SessionRefresh(token))
        assert rita.identity == RITA

    async def test_a_driver_says_what_it_does(self, server: Server) -> None:
        status = DriverAvailability.AVAILABLE
        answer = await server.run(server.connect(DAN), commands.DriverStatus(status))
        assert answer == StatusNoted(status=status)
        assert await server.world.drivers.status("dan") is status


class TestLocations:
    def point(self, **fields: Any) -> dict[str, Any]:
        return {"lat": 52.5, "lng": 13.4, "ts": NOW, "seq": 1, **fields}

    def points(self, *fields: dict[str, Any]) -> Raw:
        return Raw(msgspec.json.encode([self.point(**each) for each in fields]))

    def directly(self, server: Server, driver: Connection, fields: dict[str, Any]) -> bool:
        """Report one point as it comes from a packet; whether it was taken at all."""
        if not driver.ready.done():
            driver.ready.set_result(None)
        return server.locate.direct(driver, msgspec.json.encode(self.point(**fields)))

    def reported(self, server: Server, driver: Connection, fields: dict[str, Any]) -> bool:
        located = server.locate.report(driver, self.points(fields), False)
        assert isinstance(located, Located)
        return located.accepted == 1

    async def test_points_go_to_the_trips_that_the_driver_serves(self, server: Server) -> None:
        trips = [await server.world.trip_in("accepted") for _ in range(2)]
        dan = server.connect(DAN)
        for trip in trips:
            await server.run(dan, TripSubscribe(trip.id))
        server.world.told.clear()
        located = server.locate.report(dan, self.points({}), False)
        assert located == Located(accepted=1, rejected=[])
        assert {told.room for told in server.world.told} == {rooms.live(t.id) for t in trips}
        assert dan.reporter is not None
        assert dan.reporter.newest == Point(52.5, 13.4, NOW, 1)

    async def test_a_point_that_comes_directly_goes_the_same_way(self, server: Server) -> None:
        trip = await server.world.trip_in("accepted")
        dan = server.connect(DAN)
        await server.run(dan, TripSubscribe(trip.id))
        told = []
        for take in (self.directly, self.reported):
            server.world.told.clear()
            dan.reporter = Reporter("dan", "phone", None)
            assert take(server, dan, {"heading": 90.0, "speed": 3, "more": "than is known"})
            told.append(list(server.world.told))
        assert told[0] == told[1] != []
        assert server.counted("accepted") == 2

    async def test_a_flood_of_points_is_dropped_unread_until_there_is_room_again(
        self, server: Server
    ) -> None:
        dan = server.connect(DAN)
        for seq in range(1, FLOOD + 3):
            assert self.directly(server, dan, {"seq": seq, "ts": NOW + seq})
        assert server.locate.direct(dan, b"not even read")
        assert (server.counted("accepted"), server.counted("rate_limited")) == (FLOOD, 3)
        with pytest.raises(RateLimited) as limited:
            self.reported(server, dan, {})
        assert limited.value.retry_after_ms == 1_000 * BURST_S / FLOOD
        server.ticks += 1
        assert self.directly(server, dan, {"seq": 100, "ts": NOW + 100})
        assert dan.reporter is not None
        assert dan.reporter.newest is not None
        assert dan.reporter.newest.seq == 100
        assert server.counted("accepted") == FLOOD + 1

    async def test_a_list_counts_by_its_size_and_is_always_taken_while_there_is_room(
        self, server: Server
    ) -> None:
        dan = server.connect(DAN)
        points = self.points(*({"seq": seq} for seq in range(MAX_POINTS)))
        for _ in range(2):
            located = server.locate.report(dan, points, False)
            assert isinstance(located, Located)
            assert located.accepted + len(located.rejected) == MAX_POINTS
        with pytest.raises(RateLimited) as limited:
            server.locate.report(dan, self.points({}), False)
        assert limited.value.retry_after_ms < 1_000 * BURST_S

    async def test_a_direct_point_that_is_no_news_is_counted_and_shown_to_nobody(
        self, server: Server
    ) -> None:
        trip = await server.world.trip_in("accepted")
        dan = server.connect(DAN)
        await server.run(dan, TripSubscribe(trip.id))
        assert self.directly(server, dan, {})
        server.world.told.clear()
        assert self.directly(server, dan, {})
        assert self.directly(server, dan, {"ts": 5, "seq": 2})
        assert server.world.told == []
        assert [server.counted(code) for code in ("accepted", "duplicate", "stale")] == [1, 1, 1]

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"latitude":52.5,"longitude":13.4,"ts":5,"seq":1}',
            b'[{"lat":52.5,"lng":13.4,"ts":5,"seq":1}]',
            b'{"lat":91,"lng":13.4,"ts":5,"seq":1}',
            b'{"lat":52.5,"lng":13.4,"ts":5}',
            b'{"lat":52.5,"lng":13.4,"ts":5,"seq":1},{}',
            b'{"lat":52.5,"lng":13.4,"ts":5,"seq":1',
            b"[" * 100_000,
            b"",
        ],
    )
    async def test_what_is_not_one_good_point_is_left_to_the_other_way(
        self, server: Server, payload: bytes
    ) -> None:
        dan = server.connect(DAN)
        dan.ready.set_result(None)
        left = dan.reports.left
        assert not server.locate.direct(dan, payload)
        assert dan.reports.left == left
        assert dan.reporter is not None
        assert dan.reporter.newest is None

    async def test_a_point_of_many_bytes_counts_as_several_either_way(self, server: Server) -> None:
        dan = server.connect(DAN)
        dan.ready.set_result(None)
        padded = msgspec.json.encode({**self.point(), "padding": "x" * dispatch.BYTES_PER_REPORT})
        left = dan.reports.left
        assert not server.locate.direct(dan, padded)
        server.locate.report(dan, msgspec.Raw(padded), False)
        assert dan.reports.left == left - 2

    async def test_nobody_but_a_driver_whose_session_is_ready_has_the_direct_way(
        self, server: Server
    ) -> None:
        good = msgspec.json.encode(self.point())
        early, rita = server.connect(DAN), server.connect(RITA)
        rita.ready.set_result(None)
        assert not server.locate.direct(early, good)
        assert not server.locate.direct(rita, good)
        early.ready.set_result(None)
        assert server.locate.direct(early, good)

    @pytest.mark.parametrize("identity", [RITA, ANN, SERVICE, viewer("vera", "t1")], ids=str)
    async def test_nobody_but_a_driver_may_report_once_the_session_is_open(
        self, server: Server, identity: Identity
    ) -> None:
        connection = server.connect(identity)
        await server.following.open(connection)
        connection.ready.set_result(None)
        assert not server.locate.direct(connection, msgspec.json.encode(self.point()))
        assert await server.world.drivers.newest(identity.user_id) is None

    async def test_what_becomes_of_points_is_counted(self, server: Server) -> None:
        dan = server.connect(DAN)
        located = server.locate.report(
            dan,
            self.points({}, {"ts": NOW + 1, "seq": 2}, {"lat": 91, "seq": 3}, {"ts": 5, "seq": 4}),
            False,
        )
        assert isinstance(located, Located)
        assert located.accepted == 2
        assert located.rejected == [Rejected(3, "invalid"), Rejected(4, "stale")]
        counts = [server.counted(outcome) for outcome in ("accepted", "invalid", "stale")]
        assert counts == [2, 1, 1]

    async def test_a_single_point_is_a_point(self, server: Server) -> None:
        payload = Raw(b'{"latitude":52.5,"longitude":13.4,"ts":5,"seq":1}')
        located = server.locate.report(server.connect(DAN), payload, False)
        assert located == Located(accepted=1, rejected=[])
