"""The books of a ride: which messages and status events are missing, doubled, out of order."""

from models.facts import TripStatus
from models.messages import Kind, Message
from models.points import Place
from models.trips import Event, Offer, Status, Trip
from realtime.simulation.journal import Author
from realtime.simulation.record import Count, RideRecord

STATUSES = [
    Status.REQUESTED,
    Status.REQUESTED,
    Status.ACCEPTED,
    Status.ARRIVED,
    Status.IN_PROGRESS,
    Status.COMPLETED,
]
OFFER = Offer("dan")


def events(up_to: int) -> tuple[Event, ...]:
    """Version 2 is the offer."""
    return tuple(
        Event(
            version=version,
            status=status,
            driver_id="dan" if version > 2 else None,
            offer=OFFER if version == 2 else None,
            at=version,
            by="x",
        )
        for version, status in enumerate(STATUSES[:up_to], 1)
    )


def trip(version: int) -> Trip:
    newest = events(version)[-1]
    return Trip(
        id="t",
        rider_id="rita",
        driver_id=newest.driver_id,
        offer=newest.offer,
        status=newest.status,
        version=version,
        pickup=Place(0, 0),
        dropoff=None,
        stops=(),
        created_at=0,
        updated_at=0,
        events=events(version),
        metadata={},
    )


def status(version: int) -> TripStatus:
    return TripStatus.of("t", events(version)[-1])


def message(seq: int, sender: str, client_id: str = "") -> Message:
    return Message(
        id=f"m{seq}",
        conversation_id="t",
        seq=seq,
        sender_id=sender,
        client_id=client_id or f"c{seq}",
        kind=Kind.TEXT,
        text="hello",
        sent_at=0,
    )


class Chat:
    """A record with the messages that were answered to their senders."""

    def __init__(self, *senders: str) -> None:
        self.record = RideRecord("rita", "dan")
        for seq, sender in enumerate(senders, 1):
            self.record.drafted(Author(sender, f"c{seq}"), 0.0)
            self.record.stored(Author(sender, f"c{seq}"), seq)
            own = self.record.rider if sender == "rita" else self.record.driver
            own.know_message(message(seq, sender))


def finished(*, rider: list[int], driver: list[int]) -> Count:
    """A finished ride of which both sides heard these versions."""
    record = RideRecord("rita", "dan")
    record.stands_at(trip(6))
    for version in rider:
        record.rider.hear_status(status(version), 0.0)
    for version in driver:
        record.driver.hear_status(status(version), 0.0)
    return record.statuses


def test_all_is_well_when_both_sides_heard_everything_once_and_in_order() -> None:
    assert finished(rider=[1, 2, 3, 4, 5, 6], driver=[2, 3, 4, 5, 6]) == Count(sent=11, heard=11)


def test_a_driver_need_not_hear_what_was_before_its_offer() -> None:
    assert finished(rider=[1, 2, 3, 4, 5, 6], driver=[1, 2, 3, 4, 5, 6]).lost == 0
    assert finished(rider=[1, 2, 3, 4, 5, 6], driver=[3, 4, 5, 6]).lost == 1


def test_a_status_event_that_does_not_come_is_lost_and_the_next_one_out_of_order() -> None:
    count = finished(rider=[1, 2, 4, 5, 6], driver=[2, 3, 4, 5])
    assert (count.lost, count.out_of_order) == (2, 1)


def test_status_events_in_the_wrong_order_are_seen() -> None:
    count = finished(rider=[1, 2, 3, 5, 4, 6], driver=[2, 3, 4, 5, 6])
    assert (count.lost, count.doubled, count.out_of_order) == (0, 0, 2)


def test_a_status_event_that_comes_twice_is_doubled() -> None:
    count = finished(rider=[1, 2, 2, 3, 4, 5, 6], driver=[2, 3, 4, 5, 6, 4])
    assert (count.lost, count.doubled, count.out_of_order) == (0, 2, 0)


def test_what_a_snapshot_holds_is_heard_and_may_not_come_as_an_event() -> None:
    record = RideRecord("rita", "dan")
    record.rider.hear_status(status(1), 0.0)
    record.rider.read_trip(trip(4))
    record.rider.hear_status(status(5), 0.0)
    assert record.rider.versions.missing(1, 5) == 0
    assert (record.rider.versions.doubled, record.rider.versions.out_of_order) == (0, 0)
    record.rider.hear_status(status(4), 0.0)
    assert record.rider.versions.doubled == 1


def test_the_last_status_says_that_the_ride_is_over() -> None:
    record = RideRecord("rita", "dan")
    record.rider.hear_status(status(5), 0.0)
    assert not record.rider.over.is_set()
    record.rider.hear_status(status(6), 0.0)
    assert record.rider.over.is_set()


def test_messages_in_both_directions_are_heard() -> None:
    chat = Chat("rita", "dan")
    chat.record.driver.hear_message(message(1, "rita"), 0.5)
    chat.record.rider.hear_message(message(2, "dan"), 0.75)
    assert chat.record.messages == Count(sent=2, heard=2)
    assert chat.record.is_settled
    assert chat.record.message_latencies_s() == [0.5, 0.75]


def test_an_answered_message_that_the_other_side_never_hears_is_lost() -> None:
    chat = Chat("rita", "dan")
    chat.record.driver.hear_message(message(1, "rita"), 0.5)
    assert chat.record.messages == Count(sent=2, heard=1, lost=1)
    assert not chat.record.is_settled


def test_a_message_from_a_snapshot_is_heard() -> None:
    chat = Chat("rita", "rita")
    chat.record.driver.read_messages([message(1, "rita"), message(2, "rita")], 2)
    assert chat.record.messages == Count(sent=2, heard=2)


def test_a_message_that_comes_twice_is_doubled() -> None:
    chat = Chat("rita")
    chat.record.driver.hear_message(message(1, "rita"), 0.5)
    chat.record.driver.hear_message(message(1, "rita"), 0.6)
    assert chat.record.messages == Count(sent=1, heard=1, doubled=1)


def test_a_message_that_is_stored_twice_is_doubled() -> None:
    chat = Chat("dan")
    chat.record.rider.hear_message(message(1, "dan", "c1"), 0.5)
    chat.record.rider.hear_message(message(2, "dan", "c1"), 0.5)
    assert chat.record.messages.doubled == 1


def test_messages_in_the_wrong_order_are_seen() -> None:
    chat = Chat("rita", "rita")
    chat.record.driver.hear_message(message(2, "rita"), 0.5)
    chat.record.driver.hear_message(message(1, "rita"), 0.6)
    assert chat.record.messages == Count(sent=2, heard=2, out_of_order=1)


def test_a_number_that_no_message_has_is_a_lost_one() -> None:
    chat = Chat("rita")
    chat.record.driver.hear_message(message(1, "rita"), 0.5)
    chat.record.rider.hear_message(message(3, "dan"), 0.5)
    assert chat.record.messages.lost == 1
