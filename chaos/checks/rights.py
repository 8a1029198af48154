"""Who may have what of a trip, by when things happened: not by what anybody had been told of them.

A change is made somewhere between the time that it is stored with and the time at which somebody
first knew of it, a message likewise. What may have been right at some time within that is right.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from chaos.checks import relations
from chaos.checks.conditions import Conditions
from chaos.checks.known import Times
from chaos.checks.relations import Points, Term
from chaos.checks.truth import Truth
from chaos.load.record import Life
from models.fields import Id
from models.identity import Role
from models.messages import Message
from models.trips import Trip

LEAVES_WITHIN_S: Final = 2.0
"""How long a location may follow the change that ends it; in a fault, a message too."""
CLOCKS_S: Final = 0.05
"""What two processes' readings of one clock may differ by."""


class Rights(Struct, frozen=True):
    """What is stored and when it was known, and what may have delayed that."""

    truth: Truth
    times: Times
    points: Points
    conditions: Conditions

    def may_read(self, life: Life, topic: Id, since: float) -> bool:
        """Whether a chat may have been somebody's to read at this time or later."""
        if life.role is not Role.DRIVER or topic not in self.truth.trips:
            return life.role is not Role.VIEWER and relations.is_party(self.truth, life, topic)
        return any(self._end(topic, term) >= since for term in self._drives(life, topic))

    def may_look(self, life: Life, trip_id: Id, since: float) -> bool:
        """Whether a trip may have been somebody's to see at this time or later."""
        if life.role is not Role.DRIVER or trip_id not in self.truth.trips:
            return relations.is_party(self.truth, life, trip_id)
        user_id, trip = life.user_id, self.truth.trips[trip_id].trip
        follows = relations.terms(
            trip, lambda t, v: user_id if relations.follows_at(t, user_id, v) else None
        )
        return any(self._end(trip_id, term) >= since for term in follows)

    def may_have(self, life: Life, message: Message) -> bool:
        """Whether somebody may have been a party when the message was stored."""
        chat_id = message.conversation_id
        if life.role is not Role.DRIVER or chat_id not in self.truth.trips:
            return life.role is not Role.VIEWER and relations.is_party(self.truth, life, chat_id)
        trip = self.truth.trips[chat_id].trip
        known = self.times.seqs.since(chat_id, message.seq) + CLOCKS_S
        sent = message.sent_at / 1000 - CLOCKS_S
        return any(
            known >= _stored_at(trip, term.begin) and self._may_hear(chat_id, term, sent)
            for term in self._drives(life, chat_id)
        )

    def may_have_receipt(self, life: Life, receipt: dict[str, Any]) -> bool:
        """Whether somebody may have been a party when the receipt was asked for, or later."""
        chat_id = receipt["conversation_id"]
        asked_at = self.times.marked.get((chat_id, receipt["user_id"], receipt["read_seq"]), 0.0)
        if life.role is not Role.DRIVER or chat_id not in self.truth.trips:
            return self.may_read(life, chat_id, asked_at)
        return any(self._may_hear(chat_id, term, asked_at) for term in self._drives(life, chat_id))

    def shown(
        self, life: Life, trip: Trip, point: dict[str, Any], at: float, heard: int
    ) -> Term | None:
        """The driver's term by which a location comes to somebody now; None where none allows it.

        `heard` is the version that the connection had heard of.
        """
        for term in reversed(self._live_terms(life, trip, at, heard)):
            if self.points.is_of(term.user_id, point):
                return term
        return None

    def is_live(self, life: Life, trip: Trip, at: float, heard: int) -> bool:
        """Whether the driver of a trip is somebody's to hear of now."""
        return bool(self._live_terms(life, trip, at, heard))

    def _live_terms(self, life: Life, trip: Trip, at: float, heard: int) -> list[Term]:
        return [
            term
            for term in relations.terms(trip, relations.serves_at)
            if at >= _stored_at(trip, term.begin) - CLOCKS_S
            and (term.end is None or heard < term.end)
            and self.conditions.calm_s(self._end(trip.id, term), at)
            <= LEAVES_WITHIN_S + self.conditions.slack_s
            and (life.role is not Role.DRIVER or term.user_id == life.user_id)
        ]

    def _may_hear(self, trip_id: Id, term: Term, written_at: float) -> bool:
        """Whether a driver hears what is written, by when its term was over.

        Where a fault loses the change that ended it, what follows within 2 s may come before that.
        """
        end = self._end(trip_id, term)
        if written_at <= end:
            return True
        is_lost = self.conditions.calm_s(end, written_at) == 0
        return is_lost and written_at - end <= LEAVES_WITHIN_S + self.conditions.slack_s

    def _drives(self, life: Life, trip_id: Id) -> Sequence[Term]:
        trip = self.truth.trips[trip_id].trip
        driven = relations.terms(trip, relations.driver_at)
        return [term for term in driven if term.user_id == life.user_id]

    def _end(self, trip_id: Id, term: Term) -> float:
        """When a term was over for certain; never, where it is not."""
        if term.end is None:
            return float("inf")
        return self.times.versions.since(trip_id, term.end) + CLOCKS_S


def _stored_at(trip: Trip, version: int) -> float:
    """The time that a change is stored with: it is made then, or a little later."""
    return trip.events[version - 1].at / 1000
