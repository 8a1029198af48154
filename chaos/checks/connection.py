"""What one connection heard: each thing once, in order, without a hole, and nothing of others."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from chaos.checks import pages, promises, relations
from chaos.checks.pages import Finding
from chaos.checks.rights import CLOCKS_S, Rights
from chaos.checks.violation import Violation
from chaos.load.record import Command, Entry, Life, Session, What
from models.facts import Hearing, TripStatus, WatchedStatus
from models.fields import Id, Millis
from models.identity import Role
from models.messages import Message, Read
from models.presence import PresenceLimits
from models.stores import TripRecord
from models.trips import Trip, was_offered_to

HARMLESS: Final = frozenset({"trip:unsubscribe"})
"""What is answered to everybody, and changes nothing for others."""
STALE_S: Final = PresenceLimits().stale_ms / 1000
EXPECTED_ENDS: Final = frozenset({"replaced", "slow_consumer", "draining", "busy"})


class Topic(Struct):
    """How far a connection is with a trip or conversation. None: it has no beginning here."""

    version: int | None = None
    seq: int | None = None
    is_subscribed: bool = False
    located: dict[int, int] = {}
    """The newest point's `ts` that was shown, by the version by which its driver came."""


class Walk:
    """Goes through a connection's record, entry by entry, and notes what should not be."""

    def __init__(self, rights: Rights, life: Life, session: Session) -> None:
        self.violations: list[Violation] = []
        self._rights = rights
        self._truth = rights.truth
        self._life = life
        self._session = session
        self._topics: dict[Id, Topic] = {}
        self._ready_at = 0
        self._at = session.began_at
        """When what is looked at happened."""
        self._sent = session.asked
        self._own = _own(life, session)
        self._hear: dict[str, Callable[[dict[str, Any]], None]] = {
            "session:ready": self._begin,
            "session:ended": self._ended,
            "trip:status": self._status,
            "trip:location": self._location,
            "trip:driver": self._driver,
            "trip:eta": self._live,
            "chat:message": self._message,
            "chat:receipt": self._receipt,
            "chat:typing": self._about_chat,
        }

    def run(self) -> list[Violation]:
        for entry in self._session.entries:
            self._at = entry.at
            if entry.what is What.HEARD:
                self._heard(entry)
            elif entry.what is What.ANSWERED and entry.payload.get("ok"):
                self._answered(self._sent.get(entry.ack), entry.payload)
            elif entry.what is What.REFUSED:
                self._note(promises.LET_IN, f"{entry.payload}")
        if not self._session.is_over:
            self._at_the_end()
        return self.violations

    def _heard(self, entry: Entry) -> None:
        if entry.name == "session:ready":
            self._find(pages.ready(self._rights, self._life, self._session, entry))
        handle = self._hear.get(entry.name)
        if handle is not None:
            handle(entry.payload)
        elif entry.name != "session:expiring":
            self._note(promises.AS_STORED, f"an event {entry.name} that nobody sent")

    def _begin(self, ready: dict[str, Any]) -> None:
        self._ready_at = ready["server_time"]
        for trip in ready["trips"]:
            self._topic(trip["id"]).version = trip["version"]
        for conversation in ready["conversations"]:
            self._topic(conversation["id"]).seq = conversation["last_seq"]

    def _ended(self, ended: dict[str, Any]) -> None:
        if ended["code"] not in EXPECTED_ENDS:
            self._note(promises.LET_IN, f"ended with {ended['code']}")

    def _answered(self, asked: Entry | None, answer: dict[str, Any]) -> None:
        if asked is None or not isinstance(asked.payload, dict):
            return
        about = asked.payload.get("trip_id") or asked.payload.get("conversation_id")
        if asked.name == "trip:subscribe":
            self._find(pages.snapshot(self._rights, self._life, asked, answer))
            self._snapshot(self._topic(about), answer)
        elif asked.name == "chat:history":
            self._find(pages.history(self._rights, self._life, asked, answer))
            self._read(answer["messages"])
        elif about and asked.name not in HARMLESS and not self._may_ask(asked.name, about):
            self._note(promises.PRIVATE, f"{asked.name} was answered", about)

    def _may_ask(self, event: str, about: Id) -> bool:
        """A viewer asks for nothing but snapshots, and only who was offered a trip declines it."""
        role, record = self._life.role, self._truth.trips.get(about)
        if role is Role.VIEWER or (event == "trip:decline" and role is not Role.DRIVER):
            return False
        if event == "trip:decline":
            return record is not None and was_offered_to(record.trip, self._life.user_id)
        return relations.is_party(self._truth, self._life, about)

    def _snapshot(self, topic: Topic, answer: dict[str, Any]) -> None:
        trip_id, version = answer["trip"]["id"], answer["trip"]["version"]
        if topic.version is not None and version < topic.version:
            self._note(
                promises.ONCE, f"a snapshot of {version} after version {topic.version}", trip_id
            )
        topic.version, topic.is_subscribed = version, True
        self._read(answer["messages"])
        if answer["read"] or answer["messages"] or answer["last_seq"]:
            topic.seq = max(topic.seq or 0, answer["last_seq"])
        elif self._life.role in (Role.AGENT, Role.RIDER) and topic.seq is None:
            topic.seq = 0
        if answer["location"] is not None:
            self._point(trip_id, topic, answer["location"], is_event=False)

    def _read(self, messages: list[dict[str, Any]]) -> None:
        """Messages of an answer."""
        for raw in messages:
            self._as_stored(msgspec.convert(raw, Message))

    def _status(self, payload: dict[str, Any]) -> None:
        trip_id, version = payload["trip_id"], payload["version"]
        record = self._truth.trips.get(trip_id)
        topic = self._topic(trip_id)
        if record is None or not self._may_hear(record.trip, version, topic):
            self._note(promises.PRIVATE, f"trip:status {version}", trip_id)
            return
        self._status_as_stored(record.trip, payload)
        if topic.version is not None and version <= topic.version:
            self._note(promises.ONCE, f"version {version} after {topic.version}", trip_id)
        elif not self._is_next(record.trip, version, topic):
            self._note(promises.GAPLESS, f"version {version} after {topic.version}", trip_id)
        topic.version = max(version, topic.version or 0)
        if self._life.role is Role.DRIVER and not self._drives(record, topic):
            topic.seq = None

    def _status_as_stored(self, trip: Trip, payload: dict[str, Any]) -> None:
        event = relations.event_at(trip, payload["version"])
        if event is None:
            self._note(promises.AS_STORED, f"heard {payload}, which is not stored", trip.id)
            return
        stored = TripStatus.of(trip.id, event)
        if self._life.role is Role.VIEWER:
            expected = _as_sent(WatchedStatus.of(stored))
        else:
            expected = _as_sent(stored)
        if payload != expected:
            self._note(promises.AS_STORED, f"heard {payload}, stored {expected}", trip.id)

    def _may_hear(self, trip: Trip, version: int, topic: Topic) -> bool:
        """The change by which a driver goes is its own to hear, too."""
        life = self._life
        if life.role is Role.RIDER:
            return trip.rider_id == life.user_id
        if life.role is Role.DRIVER:
            before = relations.follows_at(trip, life.user_id, version - 1)
            return before or relations.follows_at(trip, life.user_id, version)
        return topic.is_subscribed

    def _is_next(self, trip: Trip, version: int, topic: Topic) -> bool:
        """A driver begins with the change that made the trip something to it.

        It may also come just in time for the end of an offer that was over when it connected, or
        for the same offer made anew.
        """
        user_id, known = self._life.user_id, topic.version
        if self._life.role is not Role.DRIVER:
            return version == (known or 0) + 1
        if known is not None and relations.follows_at(trip, user_id, known):
            return version == known + 1
        follows = relations.follows_at(trip, user_id, version)
        begins = not relations.follows_at(trip, user_id, version - 1)
        return begins or self._was_over(trip, version - 1) if follows else known is None

    def _was_over(self, trip: Trip, version: int) -> bool:
        """Whether an offer had expired when the session began: `session:ready` has no such trip."""
        event = relations.event_at(trip, version)
        expires_at = event.offer.expires_at if event is not None and event.offer else None
        return expires_at is not None and expires_at <= self._ready_at

    def _location(self, payload: dict[str, Any]) -> None:
        trip_id = payload["trip_id"]
        topic = self._topic(trip_id)
        if not topic.is_subscribed:
            self._note(promises.PRIVATE, "trip:location without having subscribed", trip_id)
        self._point(trip_id, topic, payload, is_event=True)

    def _point(self, trip_id: Id, topic: Topic, point: dict[str, Any], *, is_event: bool) -> None:
        """A point of a driver whose trip it is or was just now. Each has a clock of its own."""
        record, heard = self._truth.trips.get(trip_id), topic.version or 0
        shown = self._rights.shown
        term = shown(self._life, record.trip, point, self._at, heard) if record else None
        if term is None:
            what = f"a location that is nobody's who serves at version {heard}: {point}"
            self._note(promises.PRIVATE, what, trip_id)
            return
        newest = topic.located.get(term.begin, -1)
        if point["ts"] < newest + is_event:
            self._note(promises.NEWEST, f"ts {point['ts']} after {newest}", trip_id)
        topic.located[term.begin] = max(newest, point["ts"])

    def _live(self, payload: dict[str, Any]) -> None:
        """What is worth having only while a driver serves the trip, and somebody looks."""
        trip_id, topic = payload["trip_id"], self._topic(payload["trip_id"])
        record, heard = self._truth.trips.get(trip_id), topic.version or 0
        if not topic.is_subscribed:
            self._note(promises.PRIVATE, "what is live without having subscribed", trip_id)
        elif not record or not self._rights.is_live(self._life, record.trip, self._at, heard):
            what = f"it is live though nobody serves at version {heard}: {payload}"
            self._note(promises.PRIVATE, what, trip_id)

    def _driver(self, payload: dict[str, Any]) -> None:
        self._live(payload)
        if not self._is_plausible(payload["connection"], payload["last_seen"]):
            self._note(promises.READ, f"at {self._at:.3f} {payload}", payload["trip_id"])

    def _is_plausible(self, connection: Hearing, last_seen: Millis | None) -> bool:
        """Whether a driver is heard as well as it is said, by when it was heard last."""
        seen, conditions = (last_seen or 0) / 1000, self._rights.conditions
        if connection == Hearing.LIVE:
            return conditions.calm_s(seen, self._at) < STALE_S + conditions.slack_s
        return self._at - seen > STALE_S - CLOCKS_S

    def _message(self, payload: dict[str, Any]) -> None:
        message = msgspec.convert(payload, Message)
        chat_id, topic = message.conversation_id, self._topic(message.conversation_id)
        self._as_stored(message)
        self._may_talk(chat_id, topic, f"chat:message {message.seq}")
        if self._own.get((chat_id, message.client_id)) == 1 and self._is_mine(message):
            self._note(promises.ONCE, f"its own message {message.seq} is told again", chat_id)
        known = self._floor(chat_id, topic)
        if known is not None and message.seq <= known:
            self._note(promises.ONCE, f"seq {message.seq} after {known}", chat_id)
        elif known is not None and (missing := self._not_own(chat_id, known, message.seq)):
            self._note(promises.GAPLESS, f"seq {message.seq} without {missing}", chat_id)
        topic.seq = max(message.seq, known or 0)

    def _receipt(self, payload: dict[str, Any]) -> None:
        chat_id, user_id = payload["conversation_id"], payload["user_id"]
        self._about_chat(payload)
        if not self._rights.may_have_receipt(self._life, payload):
            self._note(promises.PRIVATE, "a receipt from after the driver left", chat_id)
        stored = self._truth.receipts.get((chat_id, user_id), Read())
        if payload["read_seq"] > stored.read_seq:
            self._note(promises.AS_STORED, f"heard {payload}, stored is {stored}", chat_id)

    def _about_chat(self, payload: dict[str, Any]) -> None:
        chat_id = payload["conversation_id"]
        self._may_talk(chat_id, self._topic(chat_id), "a receipt or typing")

    def _may_talk(self, chat_id: Id, topic: Topic, what: str) -> None:
        record, life = self._truth.trips.get(chat_id), self._life
        if record is None or life.role is Role.RIDER:
            if not relations.is_party(self._truth, life, chat_id):
                self._note(promises.PRIVATE, what, chat_id)
        elif life.role is Role.DRIVER and not self._drives(record, topic):
            self._note(promises.PRIVATE, f"{what}, for a driver that is not on the trip", chat_id)
        elif life.role is Role.VIEWER or not (topic.is_subscribed or life.role is Role.DRIVER):
            self._note(promises.PRIVATE, what, chat_id)

    def _as_stored(self, message: Message) -> None:
        chat_id = message.conversation_id
        if message not in self._truth.messages.get(chat_id, ())[message.seq - 1 : message.seq]:
            self._note(promises.AS_STORED, f"the message {message} is not stored so", chat_id)
        if not self._rights.may_have(self._life, message):
            what = f"seq {message.seq} was not written while it was on the trip"
            self._note(promises.PRIVATE, what, chat_id)

    def _floor(self, chat_id: Id, topic: Topic) -> int | None:
        """The seq after which the connection hears all; None where that cannot be told."""
        record = self._truth.trips.get(chat_id)
        if topic.seq is not None or record is None:
            return topic.seq or 0
        if self._life.role is not Role.DRIVER:
            return 0
        return record.chat_from if self._drives_for_good(record, topic) else None

    def _drives(self, record: TripRecord, topic: Topic) -> bool:
        """Of a trip that had ended before, a new session lists the conversation only."""
        trip, user_id = record.trip, self._life.user_id
        if topic.version is None and topic.seq is not None:
            return relations.drives_at(trip, user_id, trip.version)
        return relations.drives_at(trip, user_id, topic.version or 0)

    def _drives_for_good(self, record: TripRecord, topic: Topic) -> bool:
        """Whether no other driver came after the one that the connection knows itself to be."""
        driven = relations.terms(record.trip, relations.driver_at)[-1:]
        return [self._life.user_id] == [term.user_id for term in driven if term.end is None] and (
            (topic.version or 0) >= driven[0].begin
        )

    def _not_own(self, chat_id: Id, after: int, before: int) -> list[int]:
        """Seqs between that the connection should have heard: not those that it sent itself."""
        return [
            message.seq
            for message in self._truth.messages.get(chat_id, ())[after : before - 1]
            if not ((chat_id, message.client_id) in self._own and self._is_mine(message))
        ]

    def _is_mine(self, message: Message) -> bool:
        return message.sender_id == self._life.user_id

    def _at_the_end(self) -> None:
        """An open connection has heard everything."""
        for topic_id, topic in self._topics.items():
            if (record := self._truth.trips.get(topic_id)) is not None:
                self._versions_at_the_end(record.trip, topic)
            self._messages_at_the_end(topic_id, topic, record)
        for record in self._truth.trips.values():
            if record.trip.id not in self._topics and self._should_know(record.trip):
                self._note(promises.GAPLESS, "it never heard of the trip", record.trip.id)

    def _versions_at_the_end(self, trip: Trip, topic: Topic) -> None:
        known = topic.version
        if known is None or known >= trip.version:
            return
        is_driver = self._life.role is Role.DRIVER
        if not is_driver or relations.follows_at(trip, self._life.user_id, known):
            self._note(promises.GAPLESS, f"heard up to version {known} of {trip.version}", trip.id)

    def _messages_at_the_end(self, chat_id: Id, topic: Topic, record: TripRecord | None) -> None:
        if self._life.role is Role.DRIVER and record is not None:
            hears = self._drives_for_good(record, topic)
        elif self._life.role is Role.RIDER or record is None:
            hears = True
        else:
            hears = topic.is_subscribed and self._life.role is Role.AGENT
        known = self._floor(chat_id, topic) if hears else None
        if known is not None and (
            missing := self._not_own(chat_id, known, self._truth.newest_seq(chat_id) + 1)
        ):
            self._note(promises.GAPLESS, f"never heard the seqs {missing}", chat_id)

    def _should_know(self, trip: Trip) -> bool:
        """Whether a trip became a rider's or driver's for good after its session had begun."""
        life = self._life
        if life.role is Role.RIDER:
            return trip.rider_id == life.user_id and trip.created_at > self._ready_at + 5_000
        if life.role is not Role.DRIVER or not relations.drives_at(
            trip, life.user_id, trip.version
        ):
            return False
        since = relations.terms(trip, relations.driver_at)[-1].begin
        return trip.events[since - 1].at > self._ready_at + 5_000

    def _topic(self, topic_id: Id | None) -> Topic:
        return self._topics.setdefault(topic_id or "", Topic())

    def _find(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._note(finding.promise, finding.what, finding.about)

    def _note(self, promise: str, what: str, about: Id | None = None) -> None:
        where = f"connection {self._session.number}: {what}"
        self.violations.append(Violation(promise, self._life.who, where, about))


def check(rights: Rights, life: Life) -> Iterator[Violation]:
    for session in life.sessions:
        yield from Walk(rights, life, session).run()


def _as_sent(fact: TripStatus | WatchedStatus) -> object:
    return msgspec.json.decode(msgspec.json.encode(fact))


def _own(life: Life, session: Session) -> dict[tuple[Id, Id], int]:
    """Messages that were sent on this connection, and how often they were sent on any."""
    return {
        (command.payload["conversation_id"], command.payload["client_id"]): len(command.attempts)
        for command in life.commands
        if command.event == "chat:send" and _was_sent_on(command, session)
    }


def _was_sent_on(command: Command, session: Session) -> bool:
    return any(attempt.session == session.number for attempt in command.attempts)
