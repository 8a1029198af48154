"""What is stored, by itself: no hole and nothing twice."""

from collections import Counter
from collections.abc import Iterator

from chaos.checks import promises
from chaos.checks.truth import Truth
from chaos.checks.violation import Violation


def check(truth: Truth) -> Iterator[Violation]:
    yield from _holes(truth)
    yield from _doubles(truth)


def _holes(truth: Truth) -> Iterator[Violation]:
    for chat_id, messages in truth.messages.items():
        seqs = [message.seq for message in messages]
        if seqs != list(range(1, len(seqs) + 1)):
            yield Violation(promises.NUMBERED, "MongoDB", f"seqs are {seqs}", chat_id)
    for trip_id, record in truth.trips.items():
        versions = [event.version for event in record.trip.events]
        if versions != list(range(1, record.trip.version + 1)):
            yield Violation(promises.NUMBERED, "MongoDB", f"versions are {versions}", trip_id)


def _doubles(truth: Truth) -> Iterator[Violation]:
    for chat_id, messages in truth.messages.items():
        for (sender, client_id), times in Counter(
            (message.sender_id, message.client_id) for message in messages
        ).items():
            if times > 1:
                what = f"client_id {client_id} of {sender} is stored {times} times"
                yield Violation(promises.STORED_ONCE, "MongoDB", what, chat_id)
    creations = Counter((record.creator, record.client_id) for record in truth.trips.values())
    for creation, times in (creations + Counter(truth.openings)).items():
        if times > 1:
            what = f"{creation} created {times} trips or conversations"
            yield Violation(promises.STORED_ONCE, "MongoDB", what)
    for trip_id, record in truth.trips.items():
        reasons = Counter(event.reason for event in record.trip.events if event.reason)
        for reason, times in reasons.items():
            if times > 1:
                what = f"the change {reason!r} was made {times} times"
                yield Violation(promises.STORED_ONCE, "MongoDB", what, trip_id)
