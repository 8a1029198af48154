"""What `trip:subscribe` answers: which messages, whose position, and in whose view."""

from itertools import product

import msgspec
import pytest

from handlers.answers import Snapshot
from models.commands import TripEdit, TripSubscribe
from models.errors import Closed, NotFound
from models.facts import Hearing, TripDriver
from models.identity import Identity
from models.messages import Read
from models.points import Point, Sighting
from models.trips import Relation, Trip, WatchedTrip
from tests.handlers.world import ANN, DAN, EVE, HERE, NOW, RITA, World, driver, viewer

PIN = "4711"
MINUTE_MS = 60_000


@pytest.fixture
def world() -> World:
    return World()


async def snapshot(
    world: World, caller: Identity, trip: Trip, after_seq: int | None = None
) -> Snapshot:
    return (await world.snapshots.of(caller, TripSubscribe(trip.id, after_seq))).snapshot


def seen(world: World, driver_id: str, *, ts: int | None = None, ago_ms: int = 0) -> Point:
    """A driver's newest point."""
    seen_at = world.clock() - ago_ms
    point = Point(52.5, 13.4, seen_at if ts is None else ts, 1)
    world.drivers.saw(Sighting(driver_id, point, "phone", seen_at))
    return point


def expected_window(after_seq: int | None, readable: list[int]) -> tuple[list[int], bool]:
    """By looking at every readable seq: the newest 50, or at most 200 after one."""
    if after_seq is None:
        return readable[-50:], len(readable) > 50
    later = [seq for seq in readable if seq > after_seq]
    return later[:200], len(later) > 200


class TestMessages:
    @pytest.mark.parametrize("before", [0, 30])
    @pytest.mark.parametrize("since", [0, 1, 49, 50, 51, 199, 200, 201, 251])
    async def test_every_window_is_the_right_one(
        self, world: World, before: int, since: int
    ) -> None:
        trip = await world.trip_in("requested")
        await world.write(trip.id, before)
        await world.move(ANN, trip, "accepted", driver_id="dan")
        await world.write(trip.id, since)
        count = before + since
        readable = {
            RITA: list(range(1, count + 1)),
            ANN: list(range(1, count + 1)),
            DAN: list(range(before + 1, count + 1)),
        }
        afters = [None, 0, 1, before, max(count - 201, 0), max(count - 200, 0), count, count + 5]
        for caller, after_seq in product(readable, afters):
            shown = await snapshot(world, caller, trip, after_seq)
            window = [message.seq for message in shown.messages], shown.has_more
            assert window == expected_window(after_seq, readable[caller]), (caller.role, after_seq)
            assert shown.last_seq == count

    async def test_it_says_how_far_everybody_has_read(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.write(trip.id, 3)
        await world.stores.receipts.advance(trip.id, "dan", Read(3, 2))
        for caller in (RITA, DAN, ANN):
            assert (await snapshot(world, caller, trip)).read == {"dan": Read(3, 2)}

    @pytest.mark.parametrize("after_seq", [None, 0, 2])
    @pytest.mark.parametrize("name", ["a viewer", "an offered driver"])
    async def test_who_does_not_talk_sees_no_chat(
        self, world: World, name: str, after_seq: int | None
    ) -> None:
        trip = await world.new_trip(driver_id="dan")
        await world.write(trip.id, 3)
        await world.stores.receipts.advance(trip.id, "rita", Read(3, 3))
        caller = viewer("vera", trip.id) if name == "a viewer" else DAN
        shown = await snapshot(world, caller, trip, after_seq)
        assert (list(shown.messages), shown.last_seq, shown.read) == ([], 0, {})
        assert not shown.has_more


class TestViews:
    @pytest.mark.parametrize(("caller", "sees"), [(RITA, True), (ANN, True), (DAN, False)])
    async def test_the_pin_is_never_a_drivers_to_see(
        self, world: World, caller: Identity, sees: bool
    ) -> None:
        trip = await world.trip_in("arrived", pin=PIN)
        shown = msgspec.json.encode(await snapshot(world, caller, trip))
        assert (PIN.encode() in shown) is sees

    async def test_an_offered_driver_sees_the_trip_without_pin(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan", pin=PIN)
        shown = await snapshot(world, DAN, trip)
        assert shown.trip == trip.for_driver()
        assert PIN.encode() not in msgspec.json.encode(shown)

    async def test_a_viewer_sees_what_a_link_shows_and_no_more(self, world: World) -> None:
        trip = await world.trip_in("accepted", pin=PIN)
        await world.say(RITA, trip.id, "a secret")
        seen(world, "dan")
        shown = await snapshot(world, viewer("vera", trip.id), trip)
        assert isinstance(shown.trip, WatchedTrip)
        encoded = msgspec.json.encode(shown)
        for secret in (PIN, "rita", "dan", "a secret"):
            assert secret.encode() not in encoded
        assert shown.location is not None
        assert shown.driver is not None

    async def test_it_has_the_documented_fields(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        fields = msgspec.json.decode(msgspec.json.encode(await snapshot(world, RITA, trip)))
        assert set(fields) == {
            *("ok", "trip", "location", "driver", "messages", "last_seq", "read", "has_more")
        }
        assert fields["ok"] is True
        assert fields["location"] is None

    async def test_it_says_what_the_caller_is_to_the_trip(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        for caller, relation in [
            (RITA, Relation.RIDER),
            (DAN, Relation.DRIVER),
            (ANN, Relation.STAFF),
            (viewer("vera", trip.id), Relation.VIEWER),
        ]:
            view = await world.snapshots.of(caller, TripSubscribe(trip.id))
            assert view.relation is relation

    async def test_strangers_and_those_taken_off_see_nothing(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.move(DAN, trip, "requested")
        for caller in (DAN, EVE, viewer("vera", "another")):
            with pytest.raises(NotFound):
                await snapshot(world, caller, trip)
        with pytest.raises(NotFound):
            await world.snapshots.of(ANN, TripSubscribe("nowhere"))


class TestPositions:
    @pytest.mark.parametrize("status", ["accepted", "arriving", "arrived", "in_progress"])
    async def test_a_served_trip_shows_where_its_driver_is(self, world: World, status: str) -> None:
        trip = await world.trip_in(status)
        point = seen(world, "dan", ago_ms=1_000)
        shown = await snapshot(world, RITA, trip)
        assert shown.location == point
        assert shown.driver == TripDriver(trip.id, Hearing.LIVE, NOW - 1_000)

    @pytest.mark.parametrize("status", ["requested", "completed", "cancelled", "unfulfilled"])
    async def test_before_and_after_it_shows_nobody(self, world: World, status: str) -> None:
        trip = await world.trip_in(status)
        seen(world, "dan")
        for caller in (RITA, ANN):
            shown = await snapshot(world, caller, trip)
            assert (shown.location, shown.driver) == (None, None)

    async def test_a_viewers_link_shows_a_trip_until_it_ends(self, world: World) -> None:
        trip = await world.trip_in("in_progress")
        vera = viewer("vera", trip.id)
        await snapshot(world, vera, trip)
        await world.move(ANN, trip, "completed")
        with pytest.raises(Closed):
            await snapshot(world, vera, trip)

    async def test_a_former_drivers_position_is_not_shown(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        seen(world, "dan")
        await world.move(DAN, trip, "requested")
        await world.move(ANN, trip, "accepted", driver_id="eve")
        shown = await snapshot(world, RITA, trip)
        assert shown.location is None
        assert shown.driver == TripDriver(trip.id, Hearing.LIVE, None)

    async def test_an_offered_driver_is_not_shown(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan")
        seen(world, "dan")
        for caller in (RITA, DAN, ANN):
            assert (await snapshot(world, caller, trip)).location is None

    @pytest.mark.parametrize(
        ("ago_ms", "hearing"),
        [(9_999, "live"), (10_000, "stale"), (59_999, "stale"), (60_000, "offline")],
    )
    async def test_it_says_how_well_the_driver_is_heard(
        self, world: World, ago_ms: int, hearing: str
    ) -> None:
        trip = await world.trip_in("accepted")
        seen(world, "dan", ago_ms=ago_ms)
        shown = await snapshot(world, RITA, trip)
        assert shown.driver == TripDriver(trip.id, Hearing(hearing), NOW - ago_ms)

    @pytest.mark.parametrize(
        ("silent_ms", "hearing"),
        [(0, "live"), (9_999, "live"), (10_000, "stale"), (60_000, "offline")],
    )
    async def test_a_driver_that_was_never_heard_is_waited_for_since_it_accepted(
        self, world: World, silent_ms: int, hearing: str
    ) -> None:
        trip = await world.new_trip()
        world.clock.advance(MINUTE_MS)
        await world.move(ANN, trip, "accepted", driver_id="dan")
        world.clock.advance(silent_ms)
        shown = await snapshot(world, RITA, trip)
        assert shown.driver == TripDriver(trip.id, Hearing(hearing), None)

    async def test_a_position_from_long_before_the_trip_is_none_of_its_riders_business(
        self, world: World
    ) -> None:
        seen(world, "dan", ts=NOW - MINUTE_MS - 1)
        trip = await world.trip_in("accepted")
        assert (await snapshot(world, RITA, trip)).location is None
        approaching = seen(world, "dan", ts=NOW - MINUTE_MS)
        assert (await snapshot(world, RITA, trip)).location == approaching

    async def test_a_position_stays_while_the_trip_goes_on(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        point = seen(world, "dan")
        world.clock.advance(10 * MINUTE_MS)
        await world.move(DAN, trip, "arriving")
        shown = await snapshot(world, RITA, trip)
        assert shown.location == point
        assert shown.driver == TripDriver(trip.id, Hearing.OFFLINE, NOW)

    async def test_a_position_stays_when_the_trip_is_edited(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        point = seen(world, "dan")
        world.clock.advance(2 * MINUTE_MS)
        await world.trips.edit(RITA, TripEdit(trip_id=trip.id, dropoff=HERE))
        shown = await snapshot(world, RITA, trip)
        assert shown.location == point
        assert shown.driver == TripDriver(trip.id, Hearing.OFFLINE, NOW)

    async def test_of_two_drivers_it_shows_the_trips(self, world: World) -> None:
        trip = await world.trip_in("accepted", driver_id="eve")
        seen(world, "dan")
        point = seen(world, "eve", ago_ms=5)
        assert (await snapshot(world, RITA, trip)).location == point
        assert (await snapshot(world, driver("eve"), trip)).location == point
