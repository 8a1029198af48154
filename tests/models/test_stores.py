"""What models.stores promises, on MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from models import collections
from models.errors import Internal, Unavailable
from models.identity import Identity, Role
from models.messages import Conversation, Draft, Kind, Message, Read
from models.mongo import MongoStores, SchemaError, connect
from models.points import Place, Point
from models.revocations import KEPT_MS, Revocation, RevokedToken, RevokedUser
from models.stores import PinGuard, Stores, TripQuery, TripRecord
from models.tracks import MINUTE_MS, Stint, TrackMinute
from models.trips import (
    Changed,
    Offer,
    Relation,
    Status,
    edited,
    moved,
    offered,
    requested,
    without_offer,
)
from tests.models import mongodb

NOW = 1_800_000_000_000
RIDER = Identity("rita", Role.RIDER, expires_at=NOW * 2)
DRIVER = Identity("dan", Role.DRIVER, expires_at=NOW * 2)
AGENT = Identity("ann", Role.AGENT, expires_at=NOW * 2)
HOSTILE_IDS = ['{"$ne":1}', "$where", "a/b", "a:b", "a.b.$", "Ünï→🚕", "x" * 128, "🚕" * 128, "%00"]
MINUTE = NOW - NOW % MINUTE_MS
PATIENCE = 8
"""Seconds until a refusal that is promised within 5 counts as missing, on a busy machine too."""

Opened = Callable[[], MongoStores]


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Opened]:
    """Connects another instance to the test's database."""
    async with instances(url) as opened:
        await opened().migrate()
        yield opened


@pytest.fixture
def stores(opened: Opened) -> Stores:
    return opened().stores


@asynccontextmanager
async def instances(url: str) -> AsyncIterator[Opened]:
    connections: list[MongoStores] = []

    def another() -> MongoStores:
        connections.append(connect(url))
        return connections[-1]

    yield another
    for connection in connections:
        await connection.close()


def new_record(
    trip_id: str = "t1",
    *,
    rider_id: str = RIDER.user_id,
    client_id: str | None = None,
    offer: Offer | None = None,
    metadata: dict[str, Any] | None = None,
) -> TripRecord:
    trip = requested(
        trip_id,
        rider_id,
        RIDER,
        now=NOW,
        pickup=Place(52.5, 13.0, "Platz der Luftbrücke 5"),
        dropoff=None,
        stops=(Place(-33.0, 151.0),),
        offer=offer,
        pin="0042",
        metadata=metadata or {},
    )
    return TripRecord(trip=trip, creator=RIDER.key, client_id=client_id or f"c-{trip_id}")


def accepted(record: TripRecord, driver_id: str = DRIVER.user_id) -> TripRecord:
    trip = moved(
        record.trip, Status.ACCEPTED, AGENT, Relation.STAFF, now=NOW + 1, driver_id=driver_id
    )
    return replace(record, trip=trip, chat_from=7)


def ended(record: TripRecord, chat_until: int) -> TripRecord:
    trip = moved(record.trip, Status.CANCELLED, RIDER, Relation.RIDER, now=NOW + 2, reason="late")
    return replace(record, trip=trip, chat_until=chat_until)


def draft(client_id: str = "m1", conversation_id: str = "t1", text: str = "hello") -> Draft:
    return Draft(conversation_id=conversation_id, client_id=client_id, text=text)


async def written(stores: Stores, count: int, conversation_id: str = "t1") -> list[Message]:
    return [
        (await stores.messages.append(draft(f"m{n}", conversation_id), "rita", NOW + n))[0]
        for n in range(1, count + 1)
    ]


async def all_of(stores: Stores, conversation_id: str = "t1") -> Sequence[Message]:
    return await stores.messages.between(conversation_id, 0, 1_000_000)


def ids(records: Sequence[TripRecord]) -> set[str]:
    return {record.trip.id for record in records}


class TestTrips:
    async def test_a_trip_comes_back_as_it_was_stored(self, stores: Stores) -> None:
        record = new_record(
            offer=Offer("dan", NOW + 30_000),
            metadata={
                "fare": {"total": 5.0, "tip": 0, "currency": "€", "parts": [1.5, None, True, []]},
                "booked_at": NOW,
                "largest": 2**63 - 1,
                "least": -(2**63),
                "empty": {},
                "Größe 🚕": "\u200b\n",
            },
        )
        await stores.trips.create(record)
        assert await stores.trips.get("t1") == record

    async def test_every_entry_of_its_history_comes_back(self, stores: Stores) -> None:
        record = new_record()
        trip = offered(record.trip, Offer("dan"), AGENT, NOW + 1)
        trip = without_offer(trip, None, NOW + 2, "expired")
        trip = edited(
            trip, Changed(dropoff=Place(1.0, 2.0), metadata={"a": {"b": 2**40}}), AGENT, 1
        )
        trip = edited(trip, Changed(dropoff=None), RIDER, NOW + 4)
        trip = edited(trip, Changed(stops=()), RIDER, NOW + 5)
        record = ended(replace(record, trip=trip), chat_until=NOW + 10)
        await stores.trips.create(record)
        assert await stores.trips.get("t1") == record

    async def test_what_comes_back_can_be_encoded_for_clients(self, stores: Stores) -> None:
        record = new_record(metadata={"booked_at": NOW, "all": [NOW, {"deep": 2**60}]})
        await stores.trips.create(record)
        stored = await stores.trips.get("t1")
        assert msgspec.json.encode(stored) == msgspec.json.encode(record)
        assert msgspec.msgpack.encode(stored) == msgspec.msgpack.encode(record)

    async def test_whole_numbers_come_back_as_coordinates(self, stores: Stores) -> None:
        record = msgspec.convert(
            msgspec.json.decode(msgspec.json.encode(new_record()).replace(b"13.0", b"13")),
            TripRecord,
        )
        await stores.trips.create(record)
        stored = await stores.trips.get("t1")
        assert stored == record
        assert isinstance(stored.trip.pickup.lng, float)

    async def test_an_unknown_trip_is_none(self, stores: Stores) -> None:
        assert await stores.trips.get("t1") is None

    async def test_created_twice_it_is_the_first_one(self, stores: Stores) -> None:
        first = await stores.trips.create(new_record("t1", client_id="same"))
        second = await stores.trips.create(new_record("t2", client_id="same"))
        assert second == first
        assert await stores.trips.get("t2") is None

    async def test_created_twice_it_is_the_trip_as_it_is_now(self, stores: Stores) -> None:
        await stores.trips.create(new_record("t1", client_id="same"))
        now = accepted(new_record("t1", client_id="same"))
        await stores.trips.replace(now, 1)
        assert await stores.trips.create(new_record("t2", client_id="same")) == now

    async def test_created_by_many_at_once_it_is_one(self, opened: Opened) -> None:
        one, other = opened().stores, opened().stores
        created = await asyncio.gather(
            *(
                (one if n % 2 else other).trips.create(new_record(f"t{n}", client_id="same"))
                for n in range(10)
            )
        )
        assert len(ids(created)) == 1

    async def test_other_creators_may_use_the_same_client_id(self, stores: Stores) -> None:
        mine = await stores.trips.create(new_record("t1", client_id="same"))
        other = replace(new_record("t2", client_id="same"), creator="rider:another")
        assert await stores.trips.create(other) != mine

    async def test_a_change_replaces_the_version_it_was_made_from(self, stores: Stores) -> None:
        record = await stores.trips.create(new_record())
        changed = accepted(record)
        assert await stores.trips.replace(changed, 1)
        assert await stores.trips.get("t1") == changed

    async def test_a_change_of_an_older_version_is_refused(self, stores: Stores) -> None:
        record = await stores.trips.create(new_record())
        changed = accepted(record)
        await stores.trips.replace(changed, 1)
        assert not await stores.trips.replace(accepted(record, "another"), 1)
        assert await stores.trips.get("t1") == changed

    async def test_a_trip_that_is_not_there_is_not_replaced(self, stores: Stores) -> None:
        assert not await stores.trips.replace(new_record(), 1)
        assert await stores.trips.get("t1") is None

    async def test_of_twenty_writers_one_wins_each_version(self, opened: Opened) -> None:
        one, other = opened().stores, opened().stores
        record = await one.trips.create(new_record())
        for version in (1, 2, 3):
            changes = [
                replace(
                    record,
                    trip=edited(record.trip, Changed(metadata={"by": n}), AGENT, NOW + version),
                )
                for n in range(20)
            ]
            won = await asyncio.gather(
                *(
                    (one if n % 2 else other).trips.replace(change, version)
                    for n, change in enumerate(changes)
                )
            )
            assert won.count(True) == 1
            stored = await one.trips.get("t1")
            assert stored == changes[won.index(True)]
            record = stored

    async def test_its_rider_and_its_driver_follow_a_trip(self, stores: Stores) -> None:
        await stores.trips.create(new_record("other", rider_id="another"))
        record = await stores.trips.create(new_record())
        await stores.trips.replace(accepted(record), 1)
        assert await stores.trips.followed_by("rider:rita", NOW) == [accepted(record)]
        assert await stores.trips.followed_by("driver:dan", NOW) == [accepted(record)]
        assert await stores.trips.followed_by("rider:dan", NOW) == []

    async def test_an_offered_driver_follows_it_while_the_offer_stands(
        self, stores: Stores
    ) -> None:
        record = await stores.trips.create(new_record(offer=Offer("dan")))
        assert ids(await stores.trips.followed_by("driver:dan", NOW)) == {"t1"}
        declined = replace(record, trip=without_offer(record.trip, "dan", NOW))
        await stores.trips.replace(declined, 1)
        assert await stores.trips.followed_by("driver:dan", NOW) == []

    async def test_an_ended_trip_is_followed_until_its_chat_closes(self, stores: Stores) -> None:
        record = await stores.trips.create(new_record())
        await stores.trips.replace(ended(record, chat_until=NOW + 10), 1)
        assert ids(await stores.trips.followed_by("rider:rita", NOW + 9)) == {"t1"}
        assert await stores.trips.followed_by("rider:rita", NOW + 10) == []

    async def test_many_followed_trips_all_come(self, stores: Stores) -> None:
        await asyncio.gather(*(stores.trips.create(new_record(f"t{n}")) for n in range(150)))
        assert len(ids(await stores.trips.followed_by("rider:rita", NOW))) == 150

    async def test_expired_offers_come_the_longest_expired_first(self, stores: Stores) -> None:
        for trip_id, expires_at in {"c": 30, "a": 10, "d": 40, "b": 20}.items():
            await stores.trips.create(new_record(trip_id, offer=Offer("dan", NOW + expires_at)))
        await stores.trips.create(new_record("forever", offer=Offer("dan")))
        await stores.trips.create(new_record("none"))
        assert await stores.trips.with_expired_offer(NOW + 9, 10) == []
        assert await stores.trips.with_expired_offer(NOW + 30, 10) == ["a", "b", "c"]
        assert await stores.trips.with_expired_offer(NOW + 30, 2) == ["a", "b"]

    async def test_an_offer_that_was_answered_expires_no_more(self, stores: Stores) -> None:
        record = await stores.trips.create(new_record(offer=Offer("dan", NOW + 10)))
        await stores.trips.replace(accepted(record), 1)
        assert await stores.trips.with_expired_offer(NOW + 20, 10) == []

    async def test_what_changed_within_a_time_is_found_by_its_newest_change(
        self, stores: Stores
    ) -> None:
        first, second = new_record("t1"), new_record("t2")
        for record in (first, second):
            await stores.trips.create(record)
        await stores.trips.replace(accepted(first), 1)
        [changed] = await stores.trips.changed(NOW + 1, None)
        assert (changed.trip_id, changed.version) == ("t1", 2)
        assert set(changed.followers) == {"driver:dan", "rider:rita"}
        for since, until, expected in [
            (NOW, NOW + 1, {"t2"}),
            (NOW + 1, NOW + 2, {"t1"}),
            (NOW + 1, None, {"t1"}),
            (NOW + 2, None, set()),
            (NOW - 9, NOW, set()),
        ]:
            assert {each.trip_id for each in await stores.trips.changed(since, until)} == expected

    async def test_a_list_has_what_matches_the_newest_first(self, stores: Stores) -> None:
        for trip_id, rider_id in {"b": "rita", "a": "rita", "c": "rudi", "d": "rita"}.items():
            record = await stores.trips.create(new_record(trip_id, rider_id=rider_id))
            if trip_id == "b":
                await stores.trips.replace(accepted(record), 1)

        async def listed(before: str | None, limit: int, **given: Any) -> list[str]:
            found = await stores.trips.matching(TripQuery(**given), before, limit)
            return [record.trip.id for record in found]

        assert await listed(None, 10) == ["d", "c", "b", "a"]
        assert await listed(None, 10, rider_id="rita") == ["d", "b", "a"]
        assert await listed(None, 2, rider_id="rita") == ["d", "b"]
        assert await listed("b", 2, rider_id="rita") == ["a"]
        assert await listed(None, 10, rider_id="rita", status=Status.ACCEPTED) == ["b"]
        assert await listed(None, 10, driver_id="dan") == ["b"]
        assert await listed(None, 10, driver_id="dan", rider_id="rudi") == []

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    async def test_any_id_is_only_itself(self, stores: Stores, hostile: str) -> None:
        await stores.trips.create(new_record("plain"))
        record = new_record(hostile, rider_id=hostile, client_id=hostile)
        record = replace(record, creator=hostile)
        assert await stores.trips.get(hostile) is None
        assert await stores.trips.create(record) == record
        assert await stores.trips.create(record) == record
        assert await stores.trips.get(hostile) == record
        assert await stores.trips.followed_by(f"rider:{hostile}", NOW) == [record]


class TestPinGuards:
    async def test_a_trip_begins_without_wrong_pins(self, stores: Stores) -> None:
        assert await stores.trips.pin_guard("t1") == PinGuard()

    async def test_it_counts_up_and_is_reset(self, stores: Stores) -> None:
        steps = [PinGuard(), PinGuard(1), PinGuard(5, NOW), PinGuard(), PinGuard(1)]
        for old, new in pairwise(steps):
            assert await stores.trips.replace_pin_guard("t1", old, new)
            assert await stores.trips.pin_guard("t1") == new

    async def test_who_saw_an_older_one_is_refused(self, stores: Stores) -> None:
        await stores.trips.replace_pin_guard("t1", PinGuard(), PinGuard(1))
        assert not await stores.trips.replace_pin_guard("t1", PinGuard(), PinGuard(1))
        assert not await stores.trips.replace_pin_guard("t1", PinGuard(2), PinGuard(3))
        assert not await stores.trips.replace_pin_guard("t2", PinGuard(2), PinGuard(3))
        assert await stores.trips.pin_guard("t1") == PinGuard(1)

    async def test_of_many_guesses_at_once_each_is_counted_once(self, opened: Opened) -> None:
        one, other = opened().stores.trips, opened().stores.trips
        for wrong in range(3):
            won = await asyncio.gather(
                *(
                    (one if n % 2 else other).replace_pin_guard(
                        "t1", PinGuard(wrong), PinGuard(wrong + 1)
                    )
                    for n in range(10)
                )
            )
            assert won.count(True) == 1


class TestMessages:
    async def test_a_message_comes_back_as_it_was_stored(self, stores: Stores) -> None:
        place = Draft(
            conversation_id="t1",
            client_id="m1",
            kind=Kind.LOCATION,
            data={"lat": 5.0, "lng": 5, "at": NOW, "note": "bei der Tür 🚪"},
        )
        message, is_new = await stores.messages.append(place, "rita", NOW)
        assert is_new
        assert (message.seq, message.sender_id, message.sent_at) == (1, "rita", NOW)
        assert await all_of(stores) == [message]
        assert await stores.messages.find(place, "rita") == message
        (stored,) = await all_of(stores)
        assert msgspec.json.encode(stored) == msgspec.json.encode(message)

    async def test_messages_are_numbered_within_their_conversation(self, stores: Stores) -> None:
        for conversation_id in ("a", "b"):
            messages = await written(stores, 3, conversation_id)
            assert [message.seq for message in messages] == [1, 2, 3]

    async def test_a_retried_message_is_stored_once(self, stores: Stores) -> None:
        first, _ = await stores.messages.append(draft(text="hello"), "rita", NOW)
        again = await stores.messages.append(draft(text="hello?"), "rita", NOW + 1)
        assert again == (first, False)
        assert await all_of(stores) == [first]

    async def test_a_retry_leaves_no_hole(self, stores: Stores) -> None:
        await written(stores, 2)
        await stores.messages.append(draft("m1"), "rita", NOW)
        third, _ = await stores.messages.append(draft("m3"), "rita", NOW)
        assert third.seq == 3

    async def test_retries_at_many_instances_at_once_are_one_message(self, opened: Opened) -> None:
        one, other = opened().stores.messages, opened().stores.messages
        results = await asyncio.gather(
            *((one if n % 2 else other).append(draft(), "rita", NOW) for n in range(10))
        )
        assert len({message.id for message, _ in results}) == 1
        assert [is_new for _, is_new in results].count(True) == 1

    async def test_senders_have_client_ids_of_their_own(self, stores: Stores) -> None:
        await stores.messages.append(draft("same"), "rita", NOW)
        message, is_new = await stores.messages.append(draft("same"), "dan", NOW)
        assert is_new
        assert message.seq == 2

    async def test_many_writers_on_two_instances_leave_no_hole(self, opened: Opened) -> None:
        one, other = opened().stores, opened().stores
        results = await asyncio.gather(
            *(
                (one if n % 2 else other).messages.append(draft(f"m{n}", text=str(n)), "rita", NOW)
                for n in range(50)
            )
        )
        assert sorted(message.seq for message, _ in results) == list(range(1, 51))
        assert [message.text for message, _ in results] == [str(n) for n in range(50)]
        assert all(is_new for _, is_new in results)
        by_seq = sorted((message for message, _ in results), key=lambda message: message.seq)
        assert await all_of(one) == by_seq

    async def test_conversations_written_at_once_stay_apart(self, opened: Opened) -> None:
        one, other = opened().stores, opened().stores
        await asyncio.gather(
            *(
                (one if n % 2 else other).messages.append(draft(f"m{n}", f"t{n % 10}"), "rita", NOW)
                for n in range(100)
            )
        )
        for n in range(10):
            messages = await all_of(one, f"t{n}")
            assert [message.seq for message in messages] == list(range(1, 11))
            assert {message.client_id for message in messages} == {
                f"m{m}" for m in range(n, 100, 10)
            }

    async def test_a_message_refused_among_others_harms_none(self, stores: Stores) -> None:
        await asyncio.gather(*(written(stores, 1, f"t{n}") for n in range(20)))
        results = await asyncio.gather(
            *(
                stores.messages.append(draft("m1" if n % 2 else "m2", f"t{n}"), "rita", NOW)
                for n in range(20)
            )
        )
        assert [is_new for _, is_new in results] == [n % 2 == 0 for n in range(20)]
        assert [message.seq for message, _ in results] == [1 if n % 2 else 2 for n in range(20)]

    async def test_an_instance_writes_on_after_what_others_wrote(self, opened: Opened) -> None:
        one, other = opened().stores, opened().stores
        for n in range(1, 7):
            stores = one if n % 2 else other
            message, _ = await stores.messages.append(draft(f"m{n}"), "rita", NOW)
            assert message.seq == n

    async def test_a_writer_that_gave_up_leaves_no_hole(self, stores: Stores) -> None:
        await written(stores, 1)
        attempts = [
            asyncio.create_task(stores.messages.append(draft(f"given-up{n}"), "rita", NOW))
            for n in range(5)
        ]
        await asyncio.sleep(0)
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        await stores.messages.append(draft("last"), "rita", NOW)
        messages = await all_of(stores)
        assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
        assert messages[-1].client_id == "last"

    async def test_a_page_is_bounded_on_both_ends(self, stores: Stores) -> None:
        messages = await written(stores, 6)
        assert await stores.messages.between("t1", 2, 4) == messages[2:4]
        assert await stores.messages.between("t1", 4, 4) == []
        assert await stores.messages.between("t1", 5, 3) == []
        assert await stores.messages.between("t1", 4, 100) == messages[4:]
        assert await stores.messages.between("t2", 0, 100) == []

    @pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 30])
    async def test_an_instance_that_knows_nothing_finds_the_newest(
        self, opened: Opened, count: int
    ) -> None:
        await written(opened().stores, count)
        assert await opened().stores.messages.newest_seq("t1") == count

    async def test_the_newest_is_what_others_wrote_meanwhile(self, opened: Opened) -> None:
        one, other = opened().stores, opened().stores
        await written(one, 2)
        assert await other.messages.newest_seq("t1") == 2
        await one.messages.append(draft("m3"), "rita", NOW)
        assert await other.messages.newest_seq("t1") == 3

    async def test_the_newest_of_many_conversations_come_at_once(self, opened: Opened) -> None:
        one, other = opened().stores, opened().stores
        for n in range(5):
            await written(one, n, f"t{n}")
        asked = [f"t{n}" for n in range(5)]
        expected = {"t1": 1, "t2": 2, "t3": 3, "t4": 4}
        assert await other.messages.newest_seqs(asked) == expected
        await one.messages.append(draft("new", "t0"), "rita", NOW)
        await one.messages.append(draft("new", "t4"), "rita", NOW)
        assert await other.messages.newest_seqs(asked) == expected | {"t0": 1, "t4": 5}
        assert await other.messages.newest_seqs([]) == {}

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    async def test_any_id_is_only_itself(self, stores: Stores, hostile: str) -> None:
        await written(stores, 2, "plain")
        message, is_new = await stores.messages.append(draft(hostile, hostile), hostile, NOW)
        assert (message.seq, is_new) == (1, True)
        assert await all_of(stores, hostile) == [message]
        again = await stores.messages.append(draft(hostile, hostile), hostile, NOW)
        assert again == (message, False)
        assert await stores.messages.newest_seqs([hostile]) == {hostile: 1}


class TestConversations:
    async def test_a_conversation_comes_back_as_it_was_stored(self, stores: Stores) -> None:
        conversation = support()
        assert await stores.conversations.create(conversation, "agent:ann", "c1") == conversation
        assert await stores.conversations.get("s1") == conversation
        assert await stores.conversations.get("s2") is None

    async def test_created_twice_it_is_the_first_one(self, stores: Stores) -> None:
        first = await stores.conversations.create(support("s1"), "agent:ann", "same")
        assert await stores.conversations.create(support("s2"), "agent:ann", "same") == first
        assert await stores.conversations.get("s2") is None

    async def test_its_participants_have_it_until_it_is_closed(self, stores: Stores) -> None:
        await stores.conversations.create(support("s1", ("rita", "dan")), "agent:ann", "c1")
        await stores.conversations.create(support("s2", ("rita",)), "agent:ann", "c2")
        found = await stores.conversations.open_with("rita")
        assert {conversation.id for conversation in found} == {"s1", "s2"}
        await stores.conversations.close("s2", NOW + 5)
        assert await stores.conversations.open_with("rita") == [support("s1", ("rita", "dan"))]
        assert await stores.conversations.open_with("nobody") == []

    async def test_those_that_were_opened_within_a_time_are_found_until_they_are_closed(
        self, stores: Stores
    ) -> None:
        for n in range(3):
            conversation = replace(support(f"s{n}", ("rita", "dan")), created_at=NOW + n)
            await stores.conversations.create(conversation, "agent:ann", f"c{n}")
        assert await stores.conversations.opened(NOW + 1, NOW + 2) == {"s1": ["rita", "dan"]}
        assert (await stores.conversations.opened(NOW + 1, None)).keys() == {"s1", "s2"}
        await stores.conversations.close("s1", NOW + 5)
        assert await stores.conversations.opened(NOW, NOW + 2) == {"s0": ["rita", "dan"]}

    async def test_closing_again_does_not_move_its_end(self, stores: Stores) -> None:
        await stores.conversations.create(support(), "agent:ann", "c1")
        await stores.conversations.close("s1", NOW + 5)
        await stores.conversations.close("s1", NOW + 9)
        assert await stores.conversations.get("s1") == replace(support(), closed_at=NOW + 5)

    async def test_closing_what_is_not_there_creates_nothing(self, stores: Stores) -> None:
        await stores.conversations.close("s1", NOW)
        assert await stores.conversations.get("s1") is None

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    async def test_any_id_is_only_itself(self, stores: Stores, hostile: str) -> None:
        conversation = support(hostile, (hostile, "rita"))
        await stores.conversations.create(conversation, "agent:ann", hostile)
        assert await stores.conversations.get(hostile) == conversation
        assert await stores.conversations.open_with(hostile) == [conversation]


class TestReceipts:
    async def test_they_only_grow(self, stores: Stores) -> None:
        advance = stores.receipts.advance
        assert await advance("t1", "rita", Read(3, 1)) == Read(3, 1)
        assert await advance("t1", "rita", Read(2, 2)) == Read(3, 2)
        assert await advance("t1", "rita", Read(5, 0)) == Read(5, 2)

    async def test_what_was_read_was_delivered(self, stores: Stores) -> None:
        assert await stores.receipts.advance("t1", "rita", Read(0, 4)) == Read(4, 4)

    async def test_many_at_once_end_at_the_highest(self, opened: Opened) -> None:
        one, other = opened().stores.receipts, opened().stores.receipts
        results = await asyncio.gather(
            *((one if n % 2 else other).advance("t1", "rita", Read(n, n // 2)) for n in range(40))
        )
        assert all(read.delivered_seq >= n for n, read in enumerate(results))
        assert await one.of("t1") == {"rita": Read(39, 19)}

    async def test_everybody_of_a_conversation_has_one(self, stores: Stores) -> None:
        await stores.receipts.advance("t1", "rita", Read(2, 1))
        await stores.receipts.advance("t1", "dan", Read(1, 1))
        await stores.receipts.advance("t2", "dan", Read(9, 9))
        assert await stores.receipts.of("t1") == {"rita": Read(2, 1), "dan": Read(1, 1)}
        assert await stores.receipts.of("t3") == {}

    async def test_one_participant_has_them_in_many_conversations(self, stores: Stores) -> None:
        for n in (1, 2, 3):
            await stores.receipts.advance(f"t{n}", "dan", Read(n, n))
        await stores.receipts.advance("t1", "rita", Read(7, 7))
        asked = ["t1", "t3", "unread"]
        assert await stores.receipts.of_user("dan", asked) == {"t1": Read(1, 1), "t3": Read(3, 3)}
        assert await stores.receipts.of_user("dan", []) == {}

    @pytest.mark.parametrize(
        ("one", "other"), [(("a:b", "c"), ("a", "b:c")), (("a/b", "c"), ("a", "b/c"))]
    )
    async def test_ids_that_look_alike_together_stay_apart(
        self, stores: Stores, one: tuple[str, str], other: tuple[str, str]
    ) -> None:
        await stores.receipts.advance(*one, Read(1, 1))
        assert await stores.receipts.advance(*other, Read(0, 0)) == Read(0, 0)

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    async def test_any_id_is_only_itself(self, stores: Stores, hostile: str) -> None:
        await stores.receipts.advance("plain", "rita", Read(9, 9))
        assert await stores.receipts.advance(hostile, hostile, Read(2, 1)) == Read(2, 1)
        assert await stores.receipts.of(hostile) == {hostile: Read(2, 1)}
        assert await stores.receipts.of_user(hostile, [hostile]) == {hostile: Read(2, 1)}


class TestRevocations:
    async def test_they_come_back_as_they_were_stored(self, stores: Stores) -> None:
        revocations: list[Revocation] = [RevokedToken("x", NOW), RevokedUser("x", NOW + 1)]
        for revocation in revocations:
            await stores.revocations.add(revocation)
        assert in_order(await stores.revocations.all()) == revocations

    async def test_a_new_database_has_none(self, stores: Stores) -> None:
        assert await stores.revocations.all() == []
        assert await stores.revocations.since(0) == []

    async def test_those_since_a_moment_are_found(self, stores: Stores) -> None:
        revocations = [RevokedToken(f"x{n}", NOW + n) for n in range(5)]
        for revocation in revocations:
            await stores.revocations.add(revocation)
        assert in_order(await stores.revocations.since(NOW + 3)) == revocations[3:]
        assert await stores.revocations.since(NOW + 5) == []
        assert in_order(await stores.revocations.since(-5)) == revocations

    @pytest.mark.parametrize("kind", [RevokedToken, RevokedUser])
    async def test_of_several_the_latest_counts(
        self, stores: Stores, kind: type[RevokedToken] | type[RevokedUser]
    ) -> None:
        for at in (NOW + 5, NOW, NOW + 9, NOW + 7):
            await stores.revocations.add(kind("x", at))
        assert await stores.revocations.all() == [kind("x", NOW + 9)]
        assert await stores.revocations.since(NOW + 9) == [kind("x", NOW + 9)]

    async def test_another_instance_finds_them_and_adds_its_own(self, opened: Opened) -> None:
        one, other = opened().stores.revocations, opened().stores.revocations
        await asyncio.gather(
            *((one if n % 2 else other).add(RevokedUser("rita", NOW + n)) for n in range(20)),
            *((one if n % 2 else other).add(RevokedToken(f"x{n}", NOW)) for n in range(20)),
        )
        found = await one.all()
        assert RevokedUser("rita", NOW + 19) in found
        assert len(found) == 21

    async def test_more_than_the_driver_reads_at_once_come_back(
        self, url: str, stores: Stores
    ) -> None:
        documents: list[dict[str, object]] = [
            {"_id": f"token x{n}", "type": "RevokedToken", "token_id": f"x{n}", "at": NOW + n}
            for n in range(2_500)
        ]
        with mongodb.client(url) as client:
            client.get_default_database()[collections.REVOCATIONS.name].insert_many(documents)
        expected = [RevokedToken(f"x{n}", NOW + n) for n in range(2_500)]
        assert in_order(await stores.revocations.all()) == expected

    async def test_the_store_forgets_them_when_no_token_can_be_left(
        self, url: str, stores: Stores
    ) -> None:
        for revocation in (RevokedToken("x", NOW), RevokedToken("x", NOW + 7)):
            await stores.revocations.add(revocation)
        with mongodb.client(url) as client:
            collection = client.get_default_database()[collections.REVOCATIONS.name]
            document = collection.find_one({})
            index = collection.index_information()["forget_at"]
        assert document is not None
        forget_at = datetime.fromtimestamp((NOW + KEPT_MS) // 1000, UTC) + timedelta(milliseconds=7)
        assert document["forget_at"] == forget_at.replace(tzinfo=None)
        assert (index["key"], index["expireAfterSeconds"]) == ([("forget_at", 1)], 0)

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    async def test_any_id_is_only_itself(self, stores: Stores, hostile: str) -> None:
        await stores.revocations.add(RevokedUser("plain", NOW))
        await stores.revocations.add(RevokedUser(hostile, NOW + 1))
        await stores.revocations.add(RevokedToken(hostile, NOW + 2))
        assert in_order(await stores.revocations.since(NOW + 1)) == [
            RevokedUser(hostile, NOW + 1),
            RevokedToken(hostile, NOW + 2),
        ]


def fixes(*times: int) -> list[Point]:
    """Points so many ms after a minute's beginning."""
    return [
        Point(52.5 + ts / 1e7, -13.123456789012345, MINUTE + ts, ts, heading=359.9, accuracy=4.5)
        for ts in times
    ]


class TestTracks:
    OF = TrackMinute("t1", "dan", MINUTE // MINUTE_MS)

    async def test_points_come_back_exactly_and_in_their_order(self, stores: Stores) -> None:
        await stores.tracks.add({self.OF: fixes(5_000, 7_000)})
        await stores.tracks.add({self.OF: fixes(1_000, 59_999)})
        assert await stores.tracks.read([self.OF]) == fixes(1_000, 5_000, 7_000, 59_999)

    async def test_storing_twice_is_storing_once(self, stores: Stores, url: str) -> None:
        for times in ((1, 2, 3), (1, 2, 3), (2, 3), (3, 4)):
            await stores.tracks.add({self.OF: fixes(*times)})
        assert await stores.tracks.read([self.OF]) == fixes(1, 2, 3, 4)
        with mongodb.client(url) as behind:
            document: Any = behind.get_default_database()[collections.TRACKS.name].find_one()
        assert len(document["chunks"]) == 3

    async def test_of_two_phones_that_measure_at_the_same_time_none_loses_a_point(
        self, stores: Stores
    ) -> None:
        (first,) = fixes(1)
        second = replace(first, seq=9, lat=1.0)
        alike = replace(first, heading=None)
        for point in (first, second, alike, first):
            await stores.tracks.add({self.OF: [point]})
        found = await stores.tracks.read([self.OF])
        assert (len(found), set(found)) == (3, {first, second, alike})

    async def test_what_mongodb_refuses_for_good_is_told_apart_from_its_absence(
        self, stores: Stores, url: str
    ) -> None:
        other = TrackMinute("t2", "dan", self.OF.minute)
        with mongodb.client(url) as behind:
            stored = behind.get_default_database()[collections.TRACKS.name]
            stored.insert_one({"_id": collections.track_key(self.OF), "chunks": "none"})
        with pytest.raises(Internal):
            await stores.tracks.add({self.OF: fixes(1), other: fixes(1)})
        assert await stores.tracks.read([other]) == fixes(1)

    async def test_what_is_not_there_is_no_point(self, stores: Stores) -> None:
        other = TrackMinute("t1", "eve", self.OF.minute)
        await stores.tracks.add({self.OF: fixes(1)})
        assert await stores.tracks.read([other]) == []

    async def test_two_instances_store_the_same_minute_at_once(self, opened: Opened) -> None:
        instances = [opened().stores.tracks for _ in range(4)]
        minutes = [TrackMinute("t1", each, self.OF.minute) for each in HOSTILE_IDS]
        await asyncio.gather(
            *(
                each.add(dict.fromkeys(minutes, fixes(number)))
                for number, each in enumerate(instances)
            )
        )
        for minute in minutes:
            assert await instances[0].read([minute]) == fixes(0, 1, 2, 3)

    async def test_the_store_drops_them_by_itself_after_the_days_of_the_setting(
        self, url: str
    ) -> None:
        connection = connect(url, track_days=3)
        await connection.migrate()
        await connection.stores.tracks.add({self.OF: fixes(1)})
        await connection.close()
        with mongodb.client(url) as behind:
            stored = behind.get_default_database()[collections.TRACKS.name]
            document: Any = stored.find_one()
            assert stored.index_information()["forget_at"]["expireAfterSeconds"] == 0
        end_of_minute = datetime.fromtimestamp((MINUTE + MINUTE_MS) / 1_000, UTC)
        assert document["forget_at"].replace(tzinfo=UTC) == end_of_minute + timedelta(days=3)


class TestServed:
    async def test_what_a_driver_serves_is_found_and_what_it_was_taken_off(
        self, stores: Stores
    ) -> None:
        running, handed_on = accepted(new_record("t1")), accepted(new_record("t2"))
        given_back = moved(handed_on.trip, Status.REQUESTED, AGENT, Relation.STAFF, now=NOW + 5)
        await stores.trips.create(running)
        await stores.trips.create(replace(handed_on, trip=given_back))
        await stores.trips.create(new_record("t3", offer=Offer("dan")))
        found = {trip.trip_id: trip.stints for trip in await stores.trips.served_by(["dan"], NOW)}
        assert found["t1"] == [Stint("dan", NOW + 1)]
        assert found["t2"] == [Stint("dan", NOW + 1, NOW + 6)]
        assert not found.get("t3")
        assert await stores.trips.served_by(["eve"], NOW) == []

    async def test_what_ended_before_is_left_out(self, stores: Stores) -> None:
        await stores.trips.create(ended(accepted(new_record()), chat_until=NOW + 2))
        assert len(await stores.trips.served_by(["dan"], NOW + 2)) == 1
        assert await stores.trips.served_by(["dan"], NOW + 3) == []

    async def test_a_running_trip_that_an_older_release_wrote_is_found(
        self, stores: Stores, url: str
    ) -> None:
        await stores.trips.create(accepted(new_record()))
        with mongodb.client(url) as behind:
            trips = behind.get_default_database()[collections.TRIPS.name]
            trips.update_one({"_id": "t1"}, {"$unset": {"served": ""}})
        (found,) = await stores.trips.served_by(["dan"], NOW)
        assert found.stints == [Stint("dan", NOW + 1)]
        assert await stores.trips.served_lately(NOW) == [found]

    async def test_what_changed_since_then_is_found_unless_nobody_served_it(
        self, stores: Stores
    ) -> None:
        await stores.trips.create(accepted(new_record("t1")))
        await stores.trips.create(new_record("t2"))
        (found,) = await stores.trips.served_lately(NOW + 1)
        assert (found.trip_id, found.stints) == ("t1", [Stint("dan", NOW + 1)])
        assert await stores.trips.served_lately(NOW + 2) == []

    async def test_who_was_taken_off_is_not_told_to_follow(self, stores: Stores) -> None:
        trip = moved(
            accepted(new_record()).trip, Status.REQUESTED, AGENT, Relation.STAFF, now=NOW + 5
        )
        await stores.trips.create(replace(new_record(), trip=trip))
        (change,) = await stores.trips.changed(NOW, None)
        assert change.followers == ["rider:rita"]

    async def test_of_two_distances_the_longer_counts_and_is_no_change(
        self, stores: Stores
    ) -> None:
        record = await stores.trips.create(ended(accepted(new_record()), chat_until=NOW + 2))
        for metres in (70, 90, 80):
            await stores.trips.set_distance("t1", metres)
        stored = await stores.trips.get("t1")
        assert stored == replace(record, trip=replace(record.trip, distance_m=90))


class TestSchema:
    async def test_many_instances_may_migrate_at_once(self, url: str) -> None:
        async with instances(url) as opened:
            await asyncio.gather(*(opened().migrate() for _ in range(5)))
            await opened().migrate()
        assert stored_version(url) == collections.SCHEMA_VERSION

    async def test_every_index_is_there(self, url: str, stores: Stores) -> None:
        with mongodb.client(url) as client:
            database = client.get_default_database()
            for collection in collections.INDEXED:
                found = set(database[collection.name].index_information())
                assert found >= {index.name for index in collection.indexes}

    async def test_an_index_that_is_new_in_the_code_is_created(
        self, url: str, opened: Opened
    ) -> None:
        last = collections.INDEXED[-1]
        with mongodb.client(url) as client:
            database = client.get_default_database()
            database.drop_collection(last.name)
            await opened().migrate()
            assert last.name not in database.list_collection_names()
            schema = database[collections.SCHEMA.name]
            for before in ({"$unset": {"indexes": 1}}, {"$set": {"indexes": "others"}}):
                database.drop_collection(last.name)
                schema.update_one({}, before)
                await opened().migrate()
                found = set(database[last.name].index_information())
                assert found >= {index.name for index in last.indexes}
        assert stored_version(url) == collections.SCHEMA_VERSION

    async def test_a_newer_schema_is_refused(self, url: str, opened: Opened) -> None:
        with mongodb.client(url) as client:
            schema = client.get_default_database()[collections.SCHEMA.name]
            schema.update_one({}, {"$inc": {"version": 1}})
        with pytest.raises(SchemaError, match=f"version {collections.SCHEMA_VERSION + 1}"):
            await opened().migrate()
        assert stored_version(url) == collections.SCHEMA_VERSION + 1

    async def test_what_an_index_refuses_is_told(self, url: str) -> None:
        with mongodb.client(url) as client:
            trips = client.get_default_database()[collections.TRIPS.name]
            trips.insert_many([{"creator": "rider:rita", "client_id": "same"} for _ in range(2)])
        async with instances(url) as opened:
            with pytest.raises(SchemaError, match=collections.TRIPS.name):
                await opened().migrate()
        assert stored_version(url) is None

    @pytest.mark.parametrize(
        ("collection", "where"),
        [
            (collections.TRIPS, {"followers": "rider:rita", "chat_until": {"$gt": NOW}}),
            (collections.TRIPS, {"trip.updated_at": {"$gte": NOW, "$lt": NOW + 1}}),
            (collections.TRIPS, {"offer_expires_at": {"$lte": NOW}}),
            (collections.TRIPS, {"creator": "rider:rita", "client_id": "c1"}),
            (collections.MESSAGES, {"_id": {"$in": ["a", "b"]}}),
            (
                collections.MESSAGES,
                {"conversation_id": "t1", "sender_id": "rita", "client_id": "m1"},
            ),
            (collections.CONVERSATIONS, {"participants": "rita", "open": True}),
            (collections.RECEIPTS, {"conversation_id": "t1"}),
            (collections.RECEIPTS, {"_id": {"$in": ["a", "b"]}}),
            (collections.REVOCATIONS, {"at": {"$gte": NOW}}),
            (collections.REVOCATIONS, {"_id": "user rita"}),
        ],
    )
    async def test_what_is_asked_often_is_served_by_an_index(
        self,
        url: str,
        stores: Stores,
        collection: collections.Collection,
        where: dict[str, object],
    ) -> None:
        with mongodb.client(url) as client:
            found = client.get_default_database()[collection.name].find(where)
            plan = str(found.explain()["queryPlanner"])
        assert "IXSCAN" in plan
        assert "COLLSCAN" not in plan


class TestConnection:
    async def test_a_store_that_is_there_answers_a_ping(self, opened: Opened) -> None:
        await opened().ping()

    @pytest.mark.parametrize(
        "url", ["mongodb://u:p@ss@host", "mongodb://u:ss/w@host", "http://host", "mongodb://"]
    )
    def test_an_unusable_url_is_told_without_its_password(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"mongodb://|must be escaped") as refused:
            connect(url)
        assert "ss" not in str(refused.value).replace("password", "")

    async def test_without_a_store_everything_is_unavailable(self) -> None:
        async with instances("mongodb://127.0.0.1:1/?retryWrites=false") as opened:
            await everything_is_unavailable(opened())

    async def test_a_url_does_not_weaken_what_is_promised(self, url: str, opened: Opened) -> None:
        weak = mongodb.with_options(url, "w=0&readPreference=secondary")
        async with instances(weak) as weakened:
            stores = weakened().stores
            first = await stores.trips.create(new_record("t1", client_id="same"))
            assert await stores.trips.create(new_record("t2", client_id="same")) == first
            assert await opened().stores.trips.get("t1") == first

    async def test_a_message_whose_answer_was_lost_is_found(self, url: str, stores: Stores) -> None:
        async with mongodb.LossyProxy(url) as proxy, instances(proxy.url) as opened:
            lossy = opened().stores
            await written(lossy, 1)
            proxy.lose_next_answer()
            message, is_new = await lossy.messages.append(draft("m2"), "rita", NOW)
            assert proxy.lost == 1
            assert (message.seq, is_new) == (2, True)
            assert (await all_of(stores))[1:] == [message]
            assert (await lossy.messages.append(draft("m3"), "rita", NOW))[0].seq == 3

    async def test_a_trip_whose_answer_was_lost_is_found(self, url: str, stores: Stores) -> None:
        async with mongodb.LossyProxy(url) as proxy, instances(proxy.url) as opened:
            lossy = opened()
            await lossy.ping()
            proxy.lose_next_answer()
            assert await lossy.stores.trips.create(new_record()) == new_record()
            assert proxy.lost == 1
            assert await stores.trips.get("t1") == new_record()

    async def test_a_frozen_store_is_unavailable_and_works_again_afterwards(
        self, tmp_path: Path
    ) -> None:
        with mongodb.server(tmp_path) as server:
            async with instances(server.url) as opened:
                connection = opened()
                await connection.migrate()
                await written(connection.stores, 2)
                server.freeze()
                await everything_is_unavailable(connection)
                server.thaw()
                await answered(connection.ping)
                await connection.stores.messages.append(draft("after"), "rita", NOW)
                messages = await all_of(connection.stores)
                assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
                assert {"m1", "m2", "after"} <= {message.client_id for message in messages}

    async def test_connections_to_a_frozen_store_can_be_closed(self, tmp_path: Path) -> None:
        with mongodb.server(tmp_path) as server:
            async with instances(server.url) as opened:
                connection = opened()
                await connection.migrate()
                server.freeze()
                async with asyncio.timeout(PATIENCE):
                    await connection.close()

    async def test_a_killed_store_loses_nothing_that_was_acknowledged(self, tmp_path: Path) -> None:
        with mongodb.server(tmp_path) as server:
            async with instances(server.url) as opened:
                connection = opened()
                await connection.migrate()
                acknowledged: list[Message] = []
                enough = asyncio.Event()
                writers = [
                    asyncio.create_task(
                        keep_writing(connection.stores, f"t{n}", acknowledged, enough)
                    )
                    for n in range(4)
                ]
                await enough.wait()
                server.kill()
                await asyncio.gather(*writers)
                server.restart()
                await answered(connection.ping)
                stored = [
                    message
                    for n in range(4)
                    for message in await all_of(connection.stores, f"t{n}")
                ]
                assert {message.id for message in acknowledged} <= {
                    message.id for message in stored
                }
                for message in acknowledged:
                    again = await connection.stores.messages.append(
                        draft(message.client_id, message.conversation_id), "rita", NOW
                    )
                    assert again == (message, False)


def support(conversation_id: str = "s1", participants: tuple[str, ...] = ("rita",)) -> Conversation:
    return Conversation(
        id=conversation_id,
        participants=participants,
        created_at=NOW,
        created_by="ann",
        title="Schlüssel vergessen 🔑",
    )


def in_order(revocations: Sequence[Revocation]) -> list[Revocation]:
    return sorted(revocations, key=lambda revocation: revocation.at)


def stored_version(url: str) -> object:
    with mongodb.client(url) as client:
        document = client.get_default_database()[collections.SCHEMA.name].find_one({})
    return document and document["version"]


async def everything_is_unavailable(connection: MongoStores) -> None:
    """Also when much more is asked at once than there are threads for."""
    stores = connection.stores
    asked = [
        connection.ping(),
        stores.trips.create(new_record()),
        stores.trips.get("t1"),
        stores.trips.replace(new_record(), 1),
        stores.trips.followed_by("rider:rita", NOW),
        stores.trips.with_expired_offer(NOW, 10),
        stores.trips.replace_pin_guard("t1", PinGuard(), PinGuard(1)),
        stores.messages.newest_seqs(["t1", "t2"]),
        stores.messages.between("t1", 0, 10),
        stores.conversations.create(support(), "agent:ann", "c1"),
        stores.conversations.open_with("rita"),
        stores.receipts.advance("t1", "rita", Read(1, 1)),
        stores.receipts.of("t1"),
        stores.revocations.add(RevokedToken("x", NOW)),
        stores.revocations.since(NOW),
        *(stores.messages.append(draft(f"x{n}", f"t{n}"), "rita", NOW) for n in range(20)),
        *(stores.trips.get(f"t{n}") for n in range(20)),
    ]
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}


async def answered(ping: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await ping()
            except Unavailable:
                continue
            else:
                return


async def keep_writing(
    stores: Stores, conversation_id: str, acknowledged: list[Message], enough: asyncio.Event
) -> None:
    """Until the store answers no more."""
    for n in range(100_000):
        try:
            message, _ = await stores.messages.append(draft(f"m{n}", conversation_id), "rita", NOW)
        except Unavailable:
            return
        acknowledged.append(message)
        if len(acknowledged) >= 100:
            enough.set()
