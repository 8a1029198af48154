"""What an app has come to know over its whole life, however often it was cut off: everything."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from chaos.checks import promises, relations
from chaos.checks.truth import Truth
from chaos.checks.violation import Violation
from chaos.load.record import Life, What
from models.fields import Id
from models.identity import Role


class Known:
    """Versions and seqs that an app has from events, answers and beginnings of sessions."""

    def __init__(self, life: Life) -> None:
        self.versions: dict[Id, set[int]] = defaultdict(set)
        self.seqs: dict[Id, set[int]] = defaultdict(set)
        for session in life.sessions:
            for entry in session.entries:
                if entry.what is What.HEARD:
                    self._hear(entry.name, entry.payload)
                elif entry.what is What.ANSWERED:
                    self._take(entry.payload)

    def _hear(self, name: str, payload: dict[str, Any]) -> None:
        if name == "trip:status":
            self.versions[payload["trip_id"]].add(payload["version"])
        elif name == "chat:message":
            self._message(payload)
        elif name == "session:ready":
            for trip in payload["trips"]:
                self._trip(trip)

    def _take(self, answer: dict[str, Any]) -> None:
        if "trip" in answer:
            self._trip(answer["trip"])
        if "message" in answer:
            self._message(answer["message"])
        for message in answer.get("messages", ()):
            self._message(message)

    def _trip(self, trip: dict[str, Any]) -> None:
        self.versions[trip["id"]].update(event["version"] for event in trip.get("events", ()))

    def _message(self, message: dict[str, Any]) -> None:
        self.seqs[message["conversation_id"]].add(message["seq"])


def check(truth: Truth, life: Life) -> Iterator[Violation]:
    known = Known(life)
    for trip_id, record in truth.trips.items():
        trip, versions = record.trip, known.versions.get(trip_id, set())
        is_rider = life.role is Role.RIDER and trip.rider_id == life.user_id
        drives = life.role is Role.DRIVER and trip.driver_id == life.user_id
        if is_rider or drives:
            first = relations.followed_since(trip, life.user_id, trip.version) if drives else 1
            if versions:
                yield from _all(life, trip_id, "version", versions, (first - 1, trip.version))
            after = record.chat_from if drives else 0
            newest = truth.newest_seq(trip_id)
            yield from _all(life, trip_id, "seq", known.seqs.get(trip_id, set()), (after, newest))
    for trip_id in _watched(life) if life.role is Role.AGENT else ():
        window = (0, truth.newest_seq(trip_id))
        yield from _all(life, trip_id, "seq", known.seqs.get(trip_id, set()), window)
    for chat_id in truth.conversations:
        if relations.is_party(truth, life, chat_id) and _takes_part(truth, life, chat_id):
            newest = truth.newest_seq(chat_id)
            yield from _all(life, chat_id, "seq", known.seqs.get(chat_id, set()), (0, newest))


def _watched(life: Life) -> set[Id]:
    """Trips that an app is subscribed to in the end. It began with their first message."""
    found = set()
    for session in life.sessions:
        sent = {entry.ack: entry for entry in session.entries if entry.what is What.SENT}
        for entry in session.entries if not session.is_over else ():
            asked = sent.get(entry.ack) if entry.what is What.ANSWERED else None
            if asked is not None and asked.name == "trip:subscribe" and entry.payload["ok"]:
                found.add(asked.payload["trip_id"])
    return found


def _takes_part(truth: Truth, life: Life, chat_id: Id) -> bool:
    return life.user_id in truth.conversations[chat_id].participants


def _all(
    life: Life, about: Id, what: str, known: set[int], window: tuple[int, int]
) -> Iterator[Violation]:
    after, up_to = window
    if missing := [number for number in range(after + 1, up_to + 1) if number not in known]:
        yield Violation(
            promises.EVERYTHING, life.who, f"{what} {missing} of {up_to} never came", about
        )
