"""Chat: what is stored once, who reads what, when a conversation takes no more."""

import asyncio
from itertools import product

import pytest
from msgspec.structs import replace

from handlers.chat import WRITABLE_MS
from models import rooms
from models.commands import ChatClose, ChatHistory, ChatOpen, MarkRead, ShowTyping, TripEdit
from models.errors import Closed, Forbidden, Invalid, NotFound
from models.facts import ChatClosed, ChatOpened, ChatReceipt, ChatTyping
from models.fields import new_id
from models.identity import Identity, Role
from models.messages import Draft, Kind, Message, Read
from models.stores import TripRecord
from models.trips import Trip
from tests.handlers.world import (
    ANN,
    DAN,
    DAY_MS,
    EVE,
    HERE,
    NOW,
    RITA,
    SERVICE,
    Told,
    World,
    agent,
    driver,
    rider,
)


@pytest.fixture
def world() -> World:
    return World()


async def texts(world: World, caller: Identity, conversation_id: str) -> list[str | None]:
    """What the caller reads of a conversation."""
    history = await world.chat.history(caller, ChatHistory(conversation_id))
    return [message.text for message in history.messages]


def messages_of(told: list[Told]) -> list[Message]:
    return [each.fact for each in told if isinstance(each.fact, Message)]


class TestSending:
    async def test_a_message_is_numbered_stored_and_told(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        world.clock.advance(5)
        message = await world.say(RITA, trip.id, "hello", client_id="c1")
        assert (message.seq, message.sender_id, message.client_id) == (1, "rita", "c1")
        assert (message.text, message.kind, message.sent_at) == ("hello", Kind.TEXT, NOW + 5)
        assert world.told == [Told(rooms.trip(trip.id), message, version=2)]

    async def test_a_retried_message_is_the_stored_one(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        first = await world.say(RITA, trip.id, "hello", client_id="c1")
        world.clock.advance(60_000)
        again = await world.say(RITA, trip.id, "hello?", client_id="c1")
        assert again == first
        assert {message.seq for message in messages_of(world.told)} == {1}
        assert await texts(world, RITA, trip.id) == ["hello"]

    async def test_retries_at_once_are_one_message(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        sent = await asyncio.gather(
            *(world.say(RITA, trip.id, "hello", client_id="c1") for _ in range(20))
        )
        assert len({message.id for message in sent}) == 1
        assert await world.stores.messages.newest_seq(trip.id) == 1

    async def test_senders_and_conversations_have_client_ids_of_their_own(
        self, world: World
    ) -> None:
        trip, other = await world.trip_in("accepted"), await world.trip_in("accepted")
        sent = [
            await world.say(RITA, trip.id, "a", client_id="c1"),
            await world.say(DAN, trip.id, "b", client_id="c1"),
            await world.say(RITA, other.id, "c", client_id="c1"),
        ]
        assert [(message.text, message.seq) for message in sent] == [("a", 1), ("b", 2), ("c", 1)]

    async def test_many_at_once_are_numbered_without_holes(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        sent = await asyncio.gather(*(world.say(RITA, trip.id, str(n)) for n in range(50)))
        assert sorted(message.seq for message in sent) == list(range(1, 51))
        assert sorted(message.seq for message in messages_of(world.told)) == list(range(1, 51))

    @pytest.mark.parametrize("caller", [RITA, DAN, ANN])
    async def test_system_messages_are_the_services(self, world: World, caller: Identity) -> None:
        trip = await world.trip_in("accepted")
        draft = Draft(conversation_id=trip.id, client_id="c1", kind=Kind.SYSTEM, text="hello")
        with pytest.raises(Forbidden) as refused:
            await world.chat.send(caller, draft)
        assert refused.value.details == {"path": "kind"}
        assert (await world.chat.send(SERVICE, draft)).message.kind is Kind.SYSTEM

    async def test_a_message_in_support_is_told_to_its_room(self, world: World) -> None:
        conversation = await world.support("rita")
        world.told.clear()
        message = await world.say(RITA, conversation.id, "my keys")
        assert world.told == [Told(rooms.chat(conversation.id), message)]

    async def test_a_refused_message_is_not_told(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        with pytest.raises(NotFound):
            await world.say(EVE, trip.id, "hello")
        assert world.told == []


class TestDrivers:
    async def test_a_driver_reads_what_was_written_since_it_accepted(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan")
        await world.say(RITA, trip.id, "before")
        await world.move(DAN, trip, "accepted")
        await world.say(RITA, trip.id, "after")
        assert await texts(world, DAN, trip.id) == ["after"]
        assert await texts(world, RITA, trip.id) == ["before", "after"]
        assert await texts(world, ANN, trip.id) == ["before", "after"]

    async def test_a_driver_that_staff_names_reads_from_then_on(self, world: World) -> None:
        trip = await world.new_trip()
        await world.say(RITA, trip.id, "before")
        await world.move(ANN, trip, "accepted", driver_id="dan")
        await world.say(RITA, trip.id, "after")
        assert await texts(world, DAN, trip.id) == ["after"]

    @pytest.mark.parametrize("step", ["arriving", "arrived", "in_progress", "completed"])
    async def test_going_on_hides_nothing(self, world: World, step: str) -> None:
        trip = await world.trip_in("accepted")
        await world.say(RITA, trip.id, "on the way?")
        for each in ("arriving", "arrived", "in_progress", "completed"):
            await world.move(DAN, trip, each)
            if each == step:
                break
        assert await texts(world, DAN, trip.id) == ["on the way?"]

    async def test_an_offered_driver_reads_and_writes_nothing(self, world: World) -> None:
        trip = await world.new_trip(driver_id="dan")
        with pytest.raises(Forbidden):
            await world.say(DAN, trip.id, "hello")
        with pytest.raises(Forbidden):
            await texts(world, DAN, trip.id)

    @pytest.mark.parametrize("by", [DAN, ANN])
    async def test_a_driver_taken_off_has_no_conversation_any_more(
        self, world: World, by: Identity
    ) -> None:
        trip = await world.trip_in("accepted")
        await world.say(DAN, trip.id, "hello", client_id="c1")
        await world.move(by, trip, "requested")
        for command in (
            Draft(conversation_id=trip.id, client_id="c1", text="hello"),
            ChatHistory(trip.id),
            MarkRead(trip.id, read_seq=1),
            ShowTyping(trip.id, typing=True),
        ):
            with pytest.raises(NotFound):
                await world.give(DAN, command)

    async def test_a_driver_that_comes_back_reads_only_since_then(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.say(RITA, trip.id, "first time")
        await world.move(DAN, trip, "requested")
        await world.say(RITA, trip.id, "meanwhile")
        await world.move(ANN, trip, "accepted", driver_id="dan")
        await world.say(RITA, trip.id, "second time")
        assert await texts(world, DAN, trip.id) == ["second time"]

    async def test_a_new_driver_reads_nothing_of_the_former_one(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.say(DAN, trip.id, "this is dan")
        await world.move(DAN, trip, "requested")
        await world.move(ANN, trip, "accepted", driver_id="eve")
        assert await texts(world, EVE, trip.id) == []
        await world.say(EVE, trip.id, "this is eve")
        assert await texts(world, EVE, trip.id) == ["this is eve"]

    async def test_edits_do_not_move_where_a_driver_reads_from(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.say(RITA, trip.id, "since you accepted")
        await world.trips.edit(RITA, TripEdit(trip_id=trip.id, dropoff=HERE))
        assert await texts(world, DAN, trip.id) == ["since you accepted"]


class TestTheRightToWrite:
    """It is read, and stands for a moment while no change of the trip is heard."""

    @staticmethod
    async def say(world: World, caller: Identity, trip: Trip, version: int | None) -> Message:
        draft = Draft(conversation_id=trip.id, client_id=new_id(), text="hello")
        return (await world.chat.send(caller, draft, version)).message

    async def test_a_driver_taken_off_writes_no_more_once_that_is_heard(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await self.say(world, DAN, trip, trip.version)
        await world.move(ANN, trip, "requested")
        for version in (trip.version + 1, None):
            with pytest.raises(NotFound):
                await self.say(world, DAN, trip, version)

    async def test_a_driver_taken_off_writes_no_more_after_a_moment_whatever_is_heard(
        self, world: World
    ) -> None:
        trip = await world.trip_in("accepted")
        await self.say(world, DAN, trip, trip.version)
        await world.move(ANN, trip, "requested")
        world.clock.advance(WRITABLE_MS - 1)
        assert (await self.say(world, DAN, trip, trip.version)).seq == 2
        world.clock.advance(1)
        with pytest.raises(NotFound):
            await self.say(world, DAN, trip, trip.version)

    @pytest.mark.parametrize("stranger", [EVE, rider("dan"), driver("rita")])
    async def test_nobody_has_anothers(self, world: World, stranger: Identity) -> None:
        trip = await world.trip_in("accepted")
        for party in (RITA, DAN):
            await self.say(world, party, trip, trip.version)
        with pytest.raises(NotFound):
            await self.say(world, stranger, trip, trip.version)

    async def test_a_conversation_that_was_closed_takes_no_more_whatever_is_heard(
        self, world: World
    ) -> None:
        conversation = await world.support("rita")
        draft = Draft(conversation_id=conversation.id, client_id="one", text="hello")
        await world.chat.send(RITA, draft, 1)
        await world.chat.close(ANN, ChatClose(conversation.id))
        with pytest.raises(Closed):
            await world.chat.send(RITA, replace(draft, client_id="two"), 1)

    async def test_a_trips_conversation_closes_in_time_whatever_was_read(
        self, world: World
    ) -> None:
        trip = await world.trip_in("completed")
        world.clock.advance(DAY_MS - 1)
        await self.say(world, RITA, trip, trip.version)
        world.clock.advance(1)
        with pytest.raises(Closed):
            await self.say(world, RITA, trip, trip.version)


class TestTheEnd:
    @pytest.fixture
    async def ended(self, world: World) -> Trip:
        trip = await world.trip_in("in_progress")
        await world.say(DAN, trip.id, "we are there", client_id="stored")
        ended = await world.move(DAN, trip, "completed")
        world.told.clear()
        return ended

    async def test_messages_are_taken_until_a_day_after_the_end(
        self, world: World, ended: Trip
    ) -> None:
        world.clock.advance(DAY_MS - 1)
        assert (await world.say(RITA, ended.id, "my umbrella")).seq == 2
        world.clock.advance(1)
        for caller in (RITA, DAN, ANN, SERVICE):
            with pytest.raises(Closed):
                await world.say(caller, ended.id, "too late")

    async def test_a_retried_message_is_answered_after_the_end_too(
        self, world: World, ended: Trip
    ) -> None:
        world.clock.advance(2 * DAY_MS)
        again = await world.say(DAN, ended.id, "we are there", client_id="stored")
        assert (again.seq, again.text) == (1, "we are there")
        with pytest.raises(Closed):
            await world.say(RITA, ended.id, "we are there", client_id="stored")
        assert await world.stores.messages.newest_seq(ended.id) == 1

    async def test_what_was_written_stays_readable(self, world: World, ended: Trip) -> None:
        world.clock.advance(2 * DAY_MS)
        assert await texts(world, RITA, ended.id) == ["we are there"]
        assert await texts(world, DAN, ended.id) == ["we are there"]

    async def test_nobody_types_after_the_end(self, world: World, ended: Trip) -> None:
        world.clock.advance(DAY_MS)
        with pytest.raises(Closed):
            await world.chat.show_typing(RITA, ShowTyping(ended.id, typing=True))
        assert world.told == []

    async def test_a_stranger_is_not_told_that_it_is_closed(
        self, world: World, ended: Trip
    ) -> None:
        world.clock.advance(DAY_MS)
        with pytest.raises(NotFound):
            await world.say(EVE, ended.id, "hello")


class TestReceipts:
    async def test_a_receipt_is_stored_and_told_to_the_others(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.write(trip.id, 3)
        marked = await world.chat.mark_read(DAN, MarkRead(trip.id, 3, 2), "connection-1")
        assert (marked.delivered_seq, marked.read_seq) == (3, 2)
        receipt = ChatReceipt(trip.id, "dan", 3, 2)
        assert world.told == [Told(rooms.trip(trip.id), receipt, "connection-1", 2)]
        assert await world.stores.receipts.of(trip.id) == {"dan": Read(3, 2)}

    async def test_the_numbers_only_grow(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.write(trip.id, 9)
        given = [(5, 3), (4, 1), (None, 4), (7, None), (0, 0), (9, 9), (1, None)]
        highest = Read()
        for delivered, read in given:
            marked = await world.chat.mark_read(DAN, MarkRead(trip.id, delivered, read), "c")
            highest = Read(
                max(highest.delivered_seq, delivered or 0, read or 0),
                max(highest.read_seq, read or 0),
            )
            assert Read(marked.delivered_seq, marked.read_seq) == highest

    @pytest.mark.parametrize("field", ["delivered_seq", "read_seq"])
    async def test_nobody_has_read_what_is_not_written(self, world: World, field: str) -> None:
        trip = await world.trip_in("accepted")
        await world.write(trip.id, 2)
        with pytest.raises(Invalid) as refused:
            await world.chat.mark_read(RITA, MarkRead(trip.id, **{field: 3}), "c")
        assert refused.value.details["path"] == field
        assert world.told == []
        assert await world.stores.receipts.of(trip.id) == {}

    async def test_each_party_has_its_own(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.write(trip.id, 2)
        await world.chat.mark_read(DAN, MarkRead(trip.id, read_seq=2), "c")
        marked = await world.chat.mark_read(RITA, MarkRead(trip.id, read_seq=1), "c")
        assert marked.read_seq == 1


class TestTyping:
    async def test_who_types_is_told_to_who_looks_at_the_trip(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.chat.show_typing(RITA, ShowTyping(trip.id, typing=True))
        typing = ChatTyping(trip.id, "rita", typing=True)
        assert world.told == [Told(rooms.live(trip.id), typing, "rider:rita", 2)]

    async def test_in_support_it_is_told_to_the_conversation(self, world: World) -> None:
        conversation = await world.support("rita")
        world.told.clear()
        await world.chat.show_typing(RITA, ShowTyping(conversation.id, typing=False))
        typing = ChatTyping(conversation.id, "rita", typing=False)
        assert world.told == [Told(rooms.chat(conversation.id), typing, "rider:rita")]


class TestSupport:
    async def test_everybody_who_takes_part_is_told_once(self, world: World) -> None:
        conversation = await world.support("rita", "dan", "rita")
        assert conversation.participants == ("rita", "dan")
        assert world.told == [
            Told(rooms.user("rita"), ChatOpened(conversation.id)),
            Told(rooms.user("dan"), ChatOpened(conversation.id)),
        ]

    async def test_opened_again_it_is_the_same_conversation(self, world: World) -> None:
        command = ChatOpen("c1", ("rita",), "keys")
        first = await world.chat.open(ANN, command)
        again = await world.chat.open(ANN, ChatOpen("c1", ("dan",)))
        assert again == first
        assert {each.room for each in world.told} == {rooms.user("rita")}
        assert (await world.chat.open(agent("anton"), command)) != first

    async def test_a_closed_one_is_not_opened_again(self, world: World) -> None:
        command = ChatOpen("c1", ("rita",))
        first = (await world.chat.open(ANN, command)).conversation
        await world.chat.close(ANN, ChatClose(first.id))
        world.told.clear()
        again = (await world.chat.open(ANN, command)).conversation
        assert (again.id, again.closed_at) == (first.id, NOW)
        assert world.told == []

    async def test_its_participants_write_in_any_role_but_a_viewers(self, world: World) -> None:
        conversation = await world.support("rita", "ann")
        for caller in (RITA, driver("rita"), ANN, agent("anton")):
            assert await world.say(caller, conversation.id, "hello")
        with pytest.raises(Forbidden):
            await world.give(
                Identity("rita", Role.VIEWER, NOW),
                Draft(conversation_id=conversation.id, client_id="c1", text="hello"),
            )

    async def test_what_is_closed_takes_no_more(self, world: World) -> None:
        conversation = await world.support("rita")
        await world.say(RITA, conversation.id, "hello", client_id="c1")
        world.told.clear()
        await world.chat.close(ANN, ChatClose(conversation.id))
        assert world.told == [Told(rooms.chat(conversation.id), ChatClosed(conversation.id))]
        with pytest.raises(Closed):
            await world.say(RITA, conversation.id, "one thing more")
        assert (await world.say(RITA, conversation.id, "hello", client_id="c1")).seq == 1
        assert await texts(world, RITA, conversation.id) == ["hello"]

    async def test_closing_again_moves_no_end(self, world: World) -> None:
        conversation = await world.support("rita")
        await world.chat.close(ANN, ChatClose(conversation.id))
        world.clock.advance(5)
        assert (await world.chat.close(ANN, ChatClose(conversation.id))).ok
        stored = await world.stores.conversations.get(conversation.id)
        assert stored is not None
        assert stored.closed_at == NOW

    async def test_what_is_not_there_is_not_closed(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.chat.close(ANN, ChatClose("nowhere"))


def expected_page(command: ChatHistory, readable: list[int]) -> tuple[list[int], bool]:
    """The seqs of a page and whether there are more, by looking at every readable one."""
    limit = command.limit
    if command.after_seq is not None:
        later = [seq for seq in readable if seq > command.after_seq]
        return later[:limit], len(later) > limit
    before = command.before_seq if command.before_seq is not None else 2**53
    earlier = [seq for seq in readable if seq < before]
    return earlier[-limit:], len(earlier) > limit


class TestHistory:
    async def test_who_is_taken_off_meanwhile_reads_nothing_of_what_came_after(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trip = await world.trip_in("accepted")
        await world.say(RITA, trip.id, "to dan")
        read = world.stores.trips.get

        async def read_slowly(trip_id: str) -> TripRecord | None:
            record = await read(trip_id)
            monkeypatch.undo()
            await world.move(ANN, trip, "requested")
            await world.say(RITA, trip.id, "to nobody")
            return record

        monkeypatch.setattr(world.stores.trips, "get", read_slowly)
        assert await texts(world, DAN, trip.id) == ["to dan"]

    @pytest.mark.parametrize(("before", "since"), list(product([0, 1, 4], [0, 1, 2, 7])))
    async def test_every_page_is_the_right_one(self, world: World, before: int, since: int) -> None:
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
        seqs = [*range(count + 3), 2**53 - 1]
        for caller, limit in product(readable, [*range(1, count + 3), 200]):
            for command in (
                ChatHistory(trip.id, limit=limit),
                *(ChatHistory(trip.id, before_seq=seq, limit=limit) for seq in seqs),
                *(ChatHistory(trip.id, after_seq=seq, limit=limit) for seq in seqs),
            ):
                page = await world.chat.history(caller, command)
                found = [message.seq for message in page.messages], page.has_more
                assert found == expected_page(command, readable[caller]), (caller.role, command)

    async def test_paging_back_brings_everything_once(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.write(trip.id, 23)
        command, seen, more = ChatHistory(trip.id, limit=5), list[int](), True
        while more:
            page = await world.chat.history(RITA, command)
            seen = [message.seq for message in page.messages] + seen
            command, more = replace(command, before_seq=seen[0]), page.has_more
        assert seen == list(range(1, 24))

    async def test_paging_on_brings_everything_once(self, world: World) -> None:
        trip = await world.trip_in("accepted")
        await world.write(trip.id, 23)
        command, seen, more = ChatHistory(trip.id, after_seq=0, limit=5), list[int](), True
        while more:
            page = await world.chat.history(RITA, command)
            seen += [message.seq for message in page.messages]
            command, more = replace(command, after_seq=seen[-1]), page.has_more
        assert seen == list(range(1, 24))

    async def test_an_empty_conversation_has_an_empty_history(self, world: World) -> None:
        conversation = await world.support("rita")
        page = await world.chat.history(RITA, ChatHistory(conversation.id))
        assert (list(page.messages), page.has_more) == ([], False)
