"""Tracks: what was answered to be safe is there, once, and nothing is that nobody sent."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from chaos.checks import promises, relations
from chaos.checks.conditions import RETURN_S, Conditions
from chaos.checks.known import Times
from chaos.checks.relations import Term
from chaos.checks.truth import Truth
from chaos.checks.violation import Violation
from chaos.load.record import Entry, Life, What
from models.fields import Id
from models.identity import Role
from models.points import Point
from models.trips import Trip

REDIS: Final = frozenset({"redis"})
ARCHIVED_S: Final = 13.0
"""After which a point is in MongoDB for certain, if nothing is in the way."""
SETTLED_S: Final = 8.0
"""After which an instance has looked again for the trip of a point that it kept without Redis."""
KNOWN_BEFORE: Final = frozenset({"duplicate", "stale"})
"""How a point is rejected that was accepted when it was sent before."""


class Safe(Struct, frozen=True):
    """A point that was answered to be safe: from where, when, and since when it may have been."""

    point: Point
    address: str
    at: float
    sent_at: float
    """The answer may be heard much later than the point was taken: its client may be slow."""


class Report(Struct, frozen=True):
    """What was sent at once, by `seq`; and which of it had been sent before."""

    seqs: frozenset[int]
    again: frozenset[int]
    at: float

    def safe(self, rejected: Sequence[Mapping[str, Any]]) -> frozenset[int]:
        """What is safe after this answer. What is no news now was accepted before."""
        refused = {
            each["seq"]
            for each in rejected
            if each["code"] not in KNOWN_BEFORE or each["seq"] not in self.again
        }
        return self.seqs - refused


class Service(Struct, frozen=True):
    """That a driver served a trip: from one time to another, both included (ms)."""

    trip_id: Id
    term: Term
    since: int
    until: float


class Tracks:
    """All tracks, held against what drivers sent and were answered."""

    def __init__(self, truth: Truth, conditions: Conditions) -> None:
        self._truth = truth
        self._conditions = conditions
        self._services: dict[Id, list[Service]] = defaultdict(list)
        for record in truth.trips.values():
            for term in relations.terms(record.trip, relations.serves_at):
                self._services[term.user_id].append(_service(record.trip, term))

    def check(self, life: Life) -> Iterator[Violation]:
        if life.role is not Role.DRIVER:
            return
        safe = safe_points(life)
        heard = Times([life])
        for service in self._services[life.user_id]:
            yield from self._misses(life, service, safe, heard)
            yield from self._unsent(life, service.trip_id)

    def _misses(
        self, life: Life, service: Service, safe: Sequence[Safe], heard: Times
    ) -> Iterator[Violation]:
        """Safe points of the time that are not in the track just once."""
        track = self._truth.tracks.get((service.trip_id, life.user_id), ())
        times = Counter(point.ts for point in track)
        first = bisect_left(safe, service.since, key=_ts)
        for each in safe[first : bisect_right(safe, service.until, key=_ts)]:
            count = times[each.point.ts]
            if count == 1 or (not count and self._may_be_lost(each, service, heard)):
                continue
            what = f"the safe point {each.point} is {count} times in the track"
            yield Violation(promises.TRACKED, life.who, what, service.trip_id)

    def _unsent(self, life: Life, trip_id: Id) -> Iterator[Violation]:
        for point in self._truth.tracks.get((trip_id, life.user_id), ()):
            if life.points.get(point.seq) != point:
                what = f"{point} is in the track, and was never sent"
                yield Violation(promises.TRACKED, life.who, what, trip_id)

    def _may_be_lost(self, safe: Safe, service: Service, heard: Times) -> bool:
        """Whether the only place where the point was lost its memory.

        That is Redis, until the point is archived, or the instance that took it while Redis was
        away, if that had not heard by then that its driver serves the trip.
        """
        sent_at, at, conditions = safe.sent_at, safe.at, self._conditions
        archived_s = ARCHIVED_S + conditions.slack_s
        if any(
            sent_at <= lapse.end and conditions.calm_s(at, lapse.begin) <= archived_s
            for lapse in conditions.lapses(REDIS)
        ):
            return True
        if not any(
            away.begin <= at and sent_at <= away.end + RETURN_S
            for away in conditions.silences(REDIS)
        ):
            return False
        told_at = heard.versions.since(service.trip_id, service.term.begin)
        here = conditions.places.get(safe.address, frozenset())
        return safe.point.ts / 1000 < told_at and any(
            sent_at <= lapse.end and lapse.begin <= told_at + SETTLED_S
            for lapse in conditions.lapses(here)
        )


def safe_points(life: Life) -> list[Safe]:
    """Those that a driver was answered, oldest first."""
    found: list[Safe] = []
    sent_at: dict[int, float] = {}
    for session in life.sessions:
        asked: dict[int | None, Report] = {}
        for entry in session.entries:
            if entry.what is What.SENT and entry.name == "driver:location":
                report = asked[entry.ack] = _report(entry, sent_at.keys())
                for seq in report.seqs:
                    sent_at.setdefault(seq, entry.at)
            elif entry.what is What.ANSWERED and entry.ack in asked and entry.payload["ok"]:
                report, rejected = asked[entry.ack], entry.payload["rejected"]
                known = {each["seq"] for each in rejected}
                found += [
                    Safe(
                        life.points[seq],
                        session.to,
                        entry.at,
                        sent_at[seq] if seq in known else report.at,
                    )
                    for seq in report.safe(rejected)
                ]
    return sorted(found, key=_ts)


def _report(entry: Entry, sent_before: Collection[int]) -> Report:
    points = entry.payload if isinstance(entry.payload, list) else [entry.payload]
    seqs = frozenset(point["seq"] for point in points)
    return Report(seqs, seqs.intersection(sent_before), entry.at)


def _service(trip: Trip, term: Term) -> Service:
    since = trip.events[term.begin - 1].at
    until = float("inf") if term.end is None else trip.events[term.end - 1].at
    return Service(trip.id, term, since, until)


def _ts(safe: Safe) -> int:
    return safe.point.ts
