"""The books of one ride: what was sent on it, and by them, what each side has to have heard."""

from msgspec import Struct

from models.fields import Id
from models.trips import Trip
from realtime.simulation.journal import Author, Journal
from realtime.simulation.relay import Relay


class Count(Struct, frozen=True):
    """What became of one kind of event."""

    sent: int = 0
    heard: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.sent + other.sent,
            self.heard + other.heard,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.out_of_order + other.out_of_order,
        )


class Draft(Struct):
    """A message that was sent: when (s), and its seq once that was answered."""

    sent_at: float
    seq: int | None = None


class RideRecord:
    def __init__(self, rider_id: Id, driver_id: Id) -> None:
        self.relay = Relay()
        self.rider = Journal()
        """What the rider's app heard, and the driver's."""
        self.driver = Journal()
        self.is_finished = False
        self._rider_id = rider_id
        self._driver_id = driver_id
        self._drafts: dict[Author, Draft] = {}
        self._offered_with: int | None = None
        self._newest_version = 0

    def stands_at(self, trip: Trip) -> None:
        """An answer says how far the trip is: the parties have to hear of all of that."""
        self._newest_version = max(self._newest_version, trip.version)
        for event in reversed(trip.events):
            if event.offer is not None and event.offer.driver_id == self._driver_id:
                self._offered_with = event.version

    def drafted(self, author: Author, now: float) -> None:
        self._drafts[author] = Draft(now)

    def stored(self, author: Author, seq: int) -> None:
        self._drafts[author].seq = seq

    @property
    def is_settled(self) -> bool:
        """Whether everything that was answered has been heard."""
        return self.messages.lost == 0 and self.statuses.lost == 0

    @property
    def locations(self) -> Count:
        relay = self.relay
        return Count(relay.sent, relay.heard, relay.lost, relay.doubled, relay.out_of_order)

    @property
    def messages(self) -> Count:
        """Those that were answered, to the other side. A number that nobody wrote is lost, too."""
        stored = self._stored()
        heard = sum(seq in self._other_side(author).messages.known for author, seq in stored)
        accounted = self.rider.messages.known | {seq for _, seq in stored}
        holes = set(range(1, max(accounted, default=0) + 1)) - accounted
        sides = self.rider.messages, self.driver.messages
        return Count(
            sent=len(stored),
            heard=heard,
            lost=len(stored) - heard + len(holes),
            doubled=sum(side.doubled for side in sides) + self.rider.stored_again,
            out_of_order=sum(side.out_of_order for side in sides),
        )

    @property
    def statuses(self) -> Count:
        """The rider has to hear of every version, the driver from its offer on."""
        last = self._newest_version
        offered = last + 1 if self._offered_with is None else self._offered_with
        sent = last + (last - offered + 1)
        lost = self.rider.versions.missing(1, last) + self.driver.versions.missing(offered, last)
        sides = self.rider.versions, self.driver.versions
        return Count(
            sent=sent,
            heard=sent - lost,
            lost=lost,
            doubled=sum(side.doubled for side in sides),
            out_of_order=sum(side.out_of_order for side in sides),
        )

    def message_latencies_s(self) -> list[float]:
        """From the sending to the event at the other side."""
        sent_at = {author: draft.sent_at for author, draft in self._drafts.items()}
        return [
            heard_at[seq] - sent_at[author]
            for author, seq in self._stored()
            if seq in (heard_at := self._other_side(author).messages.heard_at)
        ]

    def _stored(self) -> list[tuple[Author, int]]:
        return [(a, draft.seq) for a, draft in self._drafts.items() if draft.seq is not None]

    def _other_side(self, author: Author) -> Journal:
        return self.driver if author.sender_id == self._rider_id else self.rider
