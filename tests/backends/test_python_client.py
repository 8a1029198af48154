"""The Python clients' methods, each against a real server."""

import asyncio
import pickle
from typing import Any

import httpx
import msgspec
import pytest
import ridewire
from ridewire import NearbyDriver, Place, tokens

from tests.backends.both import Backend
from tests.backends.conftest import MakeBackend
from tests.clients import WAIT_S
from tests.conftest import Cluster, Connect, fresh, now
from tests.rides import where
from tests.servers import SECRET

PICKUP = Place(52.5, 13.4, "Gate B")
DROPOFF = Place(52.52, 13.45)
MORE_THAN_A_PAGE = 53


class TestTrips:
    async def test_a_trip_is_created_with_all_that_was_given(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        rider, driver = fresh("rider"), fresh("driver")
        trip = await backend_at(cluster.first).create_trip(
            rider_id=rider,
            pickup=PICKUP,
            dropoff=DROPOFF,
            stops=[Place(52.51, 13.41)],
            driver_id=driver,
            expires_in_ms=60_000,
            pin="1234",
            metadata={"fare": {"cents": 1250}},
        )
        assert (trip.rider_id, trip.driver_id, trip.status) == (rider, None, "requested")
        assert (trip.pickup, trip.dropoff) == (PICKUP, DROPOFF)
        assert trip.stops == (Place(52.51, 13.41),)
        assert trip.offer.driver_id == driver
        assert trip.offer.expires_at >= trip.created_at + 60_000
        assert (trip.pin, trip.metadata) == ("1234", {"fare": {"cents": 1250}})
        assert [event.version for event in trip.events] == [1]

    async def test_a_client_id_of_ones_own_stands_for_one_trip(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        wish = {"rider_id": fresh("rider"), "pickup": PICKUP, "client_id": fresh("booking")}
        first = await backend_at(cluster.first).create_trip(**wish)
        assert await backend_at(cluster.second).create_trip(**wish) == first

    async def test_two_calls_without_a_client_id_are_two_trips(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        wish = {"rider_id": fresh("rider"), "pickup": PICKUP}
        trips = [await backend.create_trip(**wish) for _ in range(2)]
        assert trips[0].id != trips[1].id

    async def test_a_trip_is_offered_and_goes_its_way(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        driver = fresh("driver")
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        trip = await backend.offer_trip(trip.id, driver, expires_in_ms=60_000)
        assert (trip.offer.driver_id, trip.version) == (driver, 2)
        trip = await backend.update_trip(trip.id, "accepted", driver_id=driver, version=2)
        for status in ("arriving", "arrived", "in_progress", "completed"):
            trip = await backend.update_trip(trip.id, status)
        assert (trip.driver_id, trip.status, trip.version) == (driver, "completed", 7)
        assert await backend.get_trip(trip.id) == trip

    async def test_an_offer_of_a_trip_that_has_moved_on_is_a_conflict(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        moved = await backend.edit_trip(trip.id, dropoff=DROPOFF)
        with pytest.raises(ridewire.Conflict) as refused:
            await backend.offer_trip(trip.id, fresh("driver"), version=trip.version)
        assert refused.value.trip == moved

    async def test_a_rider_cancels_with_a_token_of_its_own(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        rider = fresh("rider")
        own = backend_at(cluster.first, tokens.mint(SECRET, role="rider", user_id=rider))
        trip = await own.create_trip(pickup=PICKUP)
        trip = await own.update_trip(trip.id, "cancelled", reason="found a bike")
        assert (trip.cancelled_by, trip.reason) == ("rider", "found a bike")
        assert trip.events[-1].by == rider

    async def test_an_edit_changes_what_is_given_and_nothing_else(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        trip = await backend.create_trip(
            rider_id=fresh("rider"), pickup=PICKUP, dropoff=DROPOFF, metadata={"a": 1}
        )
        trip = await backend.edit_trip(trip.id, stops=[PICKUP], version=1)
        assert (trip.stops, trip.dropoff, trip.metadata) == ((PICKUP,), DROPOFF, {"a": 1})
        trip = await backend.edit_trip(trip.id, dropoff=None, metadata={})
        assert (trip.stops, trip.dropoff, trip.metadata) == ((PICKUP,), None, {})
        assert trip.events[-1].changed == ridewire.Changed(dropoff=None, metadata={})
        assert trip.events[-1].changed.stops is ridewire.UNSET

    async def test_trips_are_listed_by_pages_the_newest_first(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        rider = fresh("rider")
        made = [(await backend.create_trip(rider_id=rider, pickup=PICKUP)).id for _ in range(3)]
        first = await backend.list_trips(rider_id=rider, limit=2)
        second = await backend.list_trips(rider_id=rider, limit=2, cursor=first.next_cursor)
        assert [trip.id for trip in first.items + second.items] == made[::-1]
        assert second.next_cursor is None

    async def test_trips_are_listed_by_driver_and_status(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        driver = fresh("driver")
        trips = [
            await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP) for _ in range(2)
        ]
        for trip in trips:
            await backend.update_trip(trip.id, "accepted", driver_id=driver)
        await backend.update_trip(trips[0].id, "arriving")
        found = await backend.list_trips(driver_id=driver, status="arriving")
        assert [trip.id for trip in found.items] == [trips[0].id]

    async def test_going_through_trips_reads_page_after_page(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        rider = fresh("rider")
        wish = {"rider_id": rider, "pickup": PICKUP}
        made = await asyncio.gather(*(backend.create_trip(**wish) for _ in range(MORE_THAN_A_PAGE)))
        found = await backend.all("iter_trips", rider_id=rider, status="requested")
        assert [trip.id for trip in found] == sorted((trip.id for trip in made), reverse=True)

    async def test_a_share_link_shows_the_trip_to_whoever_has_it(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        link = await backend.share_trip(trip.id, expires_in_ms=120_000)
        assert 0 < link.expires_at - trip.created_at <= 180_000
        async with httpx.AsyncClient() as anybody:
            seen = await anybody.get(
                f"{cluster.second}/v1/trips/{trip.id}",
                headers={"Authorization": f"Bearer {link.token}"},
            )
        assert seen.json()["status"] == "requested"


class TestConversations:
    async def test_a_conversation_is_opened_once_by_its_client_id(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        rider, ticket = fresh("rider"), fresh("ticket")
        chat = await backend.open_conversation([rider], title="Lost umbrella", client_id=ticket)
        assert (chat.participants, chat.title, chat.closed_at) == ((rider,), "Lost umbrella", None)
        again = await backend.open_conversation([rider], title="Lost umbrella", client_id=ticket)
        assert again == chat

    async def test_messages_of_each_kind_are_sent_and_listed(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        chat = await backend.open_conversation([fresh("rider")])
        image = {"url": "https://cdn.example/umbrella.jpg", "size": 48_000}
        sent = [
            await backend.send_message(chat.id, "Is it this one?"),
            await backend.send_message(chat.id, kind="image", data=image),
            await backend.send_message(chat.id, "Closed soon", kind="system"),
        ]
        assert [message.seq for message in sent] == [1, 2, 3]
        assert (sent[1].kind, sent[1].data) == ("image", image)
        assert (await backend.list_messages(chat.id)).items == tuple(sent)
        older = await backend.list_messages(chat.id, before_seq=3, limit=1)
        assert older.items == (sent[1],)
        oldest = await backend.list_messages(chat.id, limit=1, cursor=older.next_cursor)
        assert (oldest.items, oldest.next_cursor) == ((sent[0],), None)

    async def test_going_through_messages_reads_page_after_page_in_order(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        chat = await backend.open_conversation([fresh("rider")])
        await asyncio.gather(
            *(backend.send_message(chat.id, str(n)) for n in range(MORE_THAN_A_PAGE))
        )
        found = await backend.all("iter_messages", chat.id)
        assert [message.seq for message in found] == list(range(1, MORE_THAN_A_PAGE + 1))
        newer = await backend.all("iter_messages", chat.id, after_seq=MORE_THAN_A_PAGE - 1)
        assert [message.seq for message in newer] == [MORE_THAN_A_PAGE]


class TestDrivers:
    async def test_drivers_nearby_are_listed(
        self, cluster: Cluster, backend_at: MakeBackend, connect: Connect
    ) -> None:
        backend = backend_at(cluster.first)
        driver = await connect(cluster.second, "driver", fresh("driver"))
        await driver.ok("driver:status", {"status": "available"})
        seen = {"lat": -52.0, "lng": 1e-7, "ts": now(), "seq": 1, "heading": 90}
        await driver.ok("driver:location", seen)
        found: dict[str, NearbyDriver] = {}
        async with asyncio.timeout(WAIT_S):
            while driver.user_id not in found:
                near = await backend.list_nearby_drivers(-52.0, 1e-7, radius_m=10, limit=50)
                found = {each.driver_id: each for each in near.items}
        assert (found[driver.user_id].distance_m, found[driver.user_id].heading) == (0, 90)


class TestUsers:
    async def test_a_pushed_event_reaches_the_users_connections_of_the_role(
        self, cluster: Cluster, backend_at: MakeBackend, connect: Connect
    ) -> None:
        user = fresh("user")
        rider = await connect(cluster.first, "rider", user)
        driver = await connect(cluster.second, "driver", user)
        backend = backend_at(cluster.first)
        await backend.push_event(user, "bonus:won", {"cents": 500}, role="driver")
        await backend.push_event(user, "news")
        assert await driver.hears("bonus:won") == {"cents": 500}
        for client in (rider, driver):
            assert await client.hears("news") == {}
        assert rider.heard("bonus:won") == []

    async def test_ids_of_any_letters_find_their_way(
        self, cluster: Cluster, backend_at: MakeBackend, connect: Connect
    ) -> None:
        user = fresh("a/b?c%2F#ü..")
        rider = await connect(cluster.first, "rider", user)
        await backend_at(cluster.second).push_event(user, "news")
        await rider.hears("news")

    @pytest.mark.parametrize("given", ["", ".", ".."])
    async def test_what_would_make_another_path_is_no_id(
        self, cluster: Cluster, backend_at: MakeBackend, given: str
    ) -> None:
        with pytest.raises(ValueError, match="not an id"):
            await backend_at(cluster.first).revoke_user(given)

    async def test_a_revoked_user_is_cut_off_until_the_next_login(
        self, cluster: Cluster, backend_at: MakeBackend, connect: Connect
    ) -> None:
        user = fresh("rider")
        before = tokens.mint(SECRET, role="rider", user_id=user)
        rider = await connect(cluster.second, "rider", user)
        await backend_at(cluster.first).revoke_user(user)
        await rider.hears("session:ended", where(code="revoked"))
        await refuses(backend_at(cluster.first, before))
        after = tokens.mint(SECRET, role="rider", user_id=user)
        assert (await backend_at(cluster.first, after).list_trips()).items == ()

    async def test_a_revoked_token_leaves_the_users_others_alone(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        user, token_id = fresh("rider"), fresh("login")
        lost = tokens.mint(SECRET, role="rider", user_id=user, token_id=token_id)
        other = tokens.mint(SECRET, role="rider", user_id=user)
        await backend_at(cluster.first).revoke_token(token_id)
        await refuses(backend_at(cluster.second, lost))
        assert (await backend_at(cluster.first, other).list_trips()).items == ()


class TestRefusals:
    async def test_a_trip_that_is_not_there_is_not_found(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        with pytest.raises(ridewire.NotFound, match="no such trip") as refused:
            await backend_at(cluster.first).get_trip(fresh("trip"))
        error = refused.value
        assert (error.code, error.status, error.retry) == ("not_found", 404, False)
        assert f"(request {error.request_id})" in str(error)

    async def test_a_conflict_has_the_trip_as_it_is(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        trip = await backend.edit_trip(trip.id, dropoff=DROPOFF)
        with pytest.raises(ridewire.Conflict) as refused:
            await backend.update_trip(trip.id, "cancelled", version=1)
        assert refused.value.trip == trip

    async def test_an_illegal_transition_says_which_are_allowed(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        with pytest.raises(ridewire.IllegalTransition) as refused:
            await backend.update_trip(trip.id, "completed")
        assert set(refused.value.allowed) == {"accepted", "cancelled", "unfulfilled"}

    async def test_an_invalid_field_is_named(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        with pytest.raises(ridewire.Invalid) as refused:
            await backend_at(cluster.first).create_trip(rider_id="rita", pickup=Place(91, 0))
        assert refused.value.path == "pickup.lat"
        assert "90" in refused.value.expected

    async def test_what_has_ended_is_closed(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        await backend.update_trip(trip.id, "cancelled")
        with pytest.raises(ridewire.Closed):
            await backend.edit_trip(trip.id, dropoff=DROPOFF)

    async def test_a_wrong_pin_is_forbidden_and_many_are_limited(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(cluster.first)
        driver = fresh("driver")
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP, pin="1234")
        for status in ("accepted", "arrived"):
            await backend.update_trip(trip.id, status, driver_id=driver)
        own = backend_at(cluster.first, tokens.mint(SECRET, role="driver", user_id=driver))
        for _ in range(5):
            with pytest.raises(ridewire.Forbidden) as refused:
                await own.update_trip(trip.id, "in_progress", pin="0000")
            assert refused.value.path == "pin"
        with pytest.raises(ridewire.RateLimited) as limited:  # a minute is longer than it waits
            await own.update_trip(trip.id, "in_progress", pin="1234")
        assert 30 < (limited.value.retry_after or 0) <= 60

    async def test_a_token_of_another_server_is_unauthorized(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        foreign = tokens.minter("another-secret-that-is-long-enough-for-HS256")
        with pytest.raises(ridewire.Unauthorized):
            await backend_at(cluster.first, foreign).list_trips()

    async def test_a_refusal_can_be_handed_to_another_process(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        with pytest.raises(ridewire.NotFound) as refused:
            await backend_at(cluster.first).get_trip(fresh("trip"))
        there = pickle.loads(pickle.dumps(refused.value))  # noqa: S301 - made in this line
        assert str(there) == str(refused.value)
        assert vars(there) == vars(refused.value)


async def refuses(backend: Backend) -> None:
    """Wait until the server does not take its token any more."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await backend.list_trips(limit=1)
            except ridewire.Unauthorized:
                return


@pytest.mark.parametrize("url", ["localhost:8080", "ws://127.0.0.1:8080", "http://", "/v1"])
def test_what_is_no_servers_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="address of a server"):
        ridewire.Ridewire(url, token="any")


def test_what_a_newer_server_adds_is_ignored() -> None:
    place: dict[str, Any] = {"lat": 1.0, "lng": 2.0, "level": 3}
    assert msgspec.convert(place, Place) == Place(1.0, 2.0)
