"""What is read instead of heard: pages of messages, snapshots, beginnings of sessions.

Whatever anybody knew of before it was asked for has to be in it, as far as it goes.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from chaos.checks import promises, relations
from chaos.checks.rights import Rights
from chaos.load.record import Entry, Life, Session
from models.commands import MAX_PAGE, ChatHistory
from models.fields import Id
from models.identity import Role
from models.messages import Read
from models.trips import ENDED, Trip, WatchedTrip

NEWEST: Final = 50
"""Of a snapshot that is asked for without `after_seq`."""


class Finding(Struct, frozen=True):
    """The promise that is broken, how, and what about."""

    promise: str
    what: str
    about: Id


class Window(Struct, frozen=True):
    """The seqs that a page has: after one, up to another; the floor is where the caller's begin."""

    after: int
    up_to: int
    floor: int


def history(rights: Rights, life: Life, asked: Entry, answer: dict[str, Any]) -> Iterator[Finding]:
    """A page of `chat:history`."""
    wish, chat_id = asked.payload, asked.payload["conversation_id"]
    if not rights.may_read(life, chat_id, asked.at):
        yield Finding(promises.PRIVATE, "chat:history was answered", chat_id)
    limit = wish.get("limit", _DEFAULT_LIMIT)
    page = answer["messages"]
    newest = rights.times.seqs.newest_at(chat_id, asked.at)
    floor = _floor(rights, life, chat_id)
    yield from _in_a_row(chat_id, page)
    if len(page) > limit:
        yield Finding(promises.READ, f"{len(page)} messages, asked were {limit}", chat_id)
    if floor is None:
        return
    if "after_seq" in wish:
        after = max(wish["after_seq"], floor)
        yield from _forward(chat_id, page, after, newest, limit=limit, more=answer["has_more"])
    else:
        before = wish.get("before_seq")
        newest = newest if before is None else min(newest, before - 1)
        yield from _backward(chat_id, page, floor, newest, limit=limit, more=answer["has_more"])


def snapshot(rights: Rights, life: Life, asked: Entry, answer: dict[str, Any]) -> Iterator[Finding]:
    """What `trip:subscribe` answers, but for its location."""
    trip_id = asked.payload["trip_id"]
    if not rights.may_look(life, trip_id, asked.at):
        yield Finding(promises.PRIVATE, "trip:subscribe was answered", trip_id)
    if trip_id not in rights.truth.trips:
        return
    trip = rights.truth.trips[trip_id].trip
    yield from _trip(rights, life, answer["trip"], asked.at)
    if (answer["driver"] is None) != (relations.serves_at(trip, answer["trip"]["version"]) is None):
        yield Finding(promises.READ, f"the driver of a snapshot is {answer['driver']}", trip_id)
    if not _talks(life, trip, answer["trip"]["version"]):
        if answer["messages"] or answer["last_seq"] or answer["read"]:
            yield Finding(promises.PRIVATE, "a snapshot with its chat", trip_id)
        return
    yield from _chat(rights, life, asked, answer)
    for user_id, read in answer["read"].items():
        yield from _receipt(rights, trip_id, user_id, asked.at, **read)


def ready(rights: Rights, life: Life, session: Session, told: Entry) -> Iterator[Finding]:
    """What `session:ready` lists of trips and conversations."""
    began, listed = session.began_at, told.payload
    for trip in listed["trips"]:
        if not rights.may_look(life, trip["id"], began):
            yield Finding(promises.PRIVATE, "session:ready has the trip", trip["id"])
        yield from _trip(rights, life, trip, began)
    for each in listed["conversations"]:
        chat_id = each["id"]
        if not rights.may_read(life, chat_id, began):
            yield Finding(promises.PRIVATE, "session:ready has the conversation", chat_id)
        newest = rights.truth.newest_seq(chat_id)
        if not rights.times.seqs.newest_at(chat_id, began) <= each["last_seq"] <= newest:
            yield Finding(promises.READ, f"session:ready says {each}, {newest} exist", chat_id)
        yield from _receipt(rights, chat_id, life.user_id, began, read_seq=each["read_seq"])
    ids = {name: {each["id"] for each in listed[name]} for name in ("trips", "conversations")}
    for name, topic in _due(rights, life, began, told.at):
        if topic not in ids[name]:
            yield Finding(promises.READ, f"session:ready does not have it among {name}", topic)


def _due(rights: Rights, life: Life, since: float, until: float) -> Iterator[tuple[str, Id]]:
    """What was a rider's or driver's, or a participant's, all the time between these two."""
    for trip_id, record in rights.truth.trips.items() if life.role in _PARTIES else ():
        trip = record.trip
        first = rights.times.versions.newest_at(trip_id, since) or trip.version + 1
        between = [
            event.version
            for event in trip.events
            if event.version >= first and event.at / 1000 <= until
        ]
        if between and all(_is_party(life, trip, version) for version in between):
            yield "conversations", trip_id
            if trip.events[between[-1] - 1].status not in ENDED:
                yield "trips", trip_id
    for chat_id, chat in rights.truth.conversations.items() if life.role is not Role.VIEWER else ():
        is_open = chat.closed_at is None or chat.closed_at / 1000 > until
        known = rights.times.opened.get(chat_id, float("inf")) < since
        if known and is_open and life.user_id in chat.participants:
            yield "conversations", chat_id


def _is_party(life: Life, trip: Trip, version: int) -> bool:
    """Whether somebody rides or drives; its offers expire unasked."""
    if life.role is Role.RIDER:
        return trip.rider_id == life.user_id
    return relations.drives_at(trip, life.user_id, version)


def _talks(life: Life, trip: Trip, version: int) -> bool:
    if life.role is Role.DRIVER:
        return relations.drives_at(trip, life.user_id, version)
    return life.role is not Role.VIEWER


def _trip(rights: Rights, life: Life, said: dict[str, Any], asked_at: float) -> Iterator[Finding]:
    """A trip as it was once, not older than what somebody knew, and without others' secrets."""
    trip_id, version = said["id"], said["version"]
    known = rights.times.versions.newest_at(trip_id, asked_at)
    if version < known:
        what = f"version {version} was read when {known} was known"
        yield Finding(promises.READ, what, trip_id)
    if life.role is Role.DRIVER and said.get("pin") is not None:
        yield Finding(promises.PRIVATE, "a driver was shown the pin", trip_id)
    if life.role is Role.VIEWER and (more := said.keys() - _WATCHED):
        yield Finding(promises.PRIVATE, f"a viewer was shown {sorted(more)}", trip_id)


def _chat(rights: Rights, life: Life, asked: Entry, answer: dict[str, Any]) -> Iterator[Finding]:
    trip_id, page = asked.payload["trip_id"], answer["messages"]
    newest, floor = answer["last_seq"], _floor(rights, life, trip_id)
    known = rights.times.seqs.newest_at(trip_id, asked.at)
    if not known <= newest <= rights.truth.newest_seq(trip_id):
        what = f"a snapshot's last_seq is {newest}, known was {known}"
        yield Finding(promises.READ, what, trip_id)
    yield from _in_a_row(trip_id, page)
    if floor is None:
        return
    more = answer["has_more"]
    if (after := asked.payload.get("after_seq")) is not None:
        after = max(after, floor)
        yield from _forward(trip_id, page, after, newest, limit=MAX_PAGE, more=more)
    else:
        yield from _backward(trip_id, page, floor, newest, limit=NEWEST, more=more)


def _receipt(
    rights: Rights,
    chat_id: Id,
    user_id: Id,
    asked_at: float,
    *,
    read_seq: int,
    delivered_seq: int | None = None,
) -> Iterator[Finding]:
    """How far somebody has read: no less than was answered before, no more than is stored."""
    key, stored = (chat_id, user_id), rights.truth.receipts.get((chat_id, user_id), Read())
    known = rights.times.read.newest_at(key, asked_at)
    if not known <= read_seq <= stored.read_seq:
        what = f"{user_id} is said to have read {read_seq}; answered was {known}"
        yield Finding(promises.READ, what, chat_id)
    delivered = rights.times.delivered.newest_at(key, asked_at)
    if delivered_seq is not None and not delivered <= delivered_seq <= stored.delivered_seq:
        what = f"{user_id} is said to have been delivered {delivered_seq}; answered was {delivered}"
        yield Finding(promises.READ, what, chat_id)


def _in_a_row(chat_id: Id, page: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    seqs = [message["seq"] for message in page]
    if seqs and seqs != list(range(seqs[0], seqs[0] + len(seqs))):
        yield Finding(promises.READ, f"a page with the seqs {seqs}", chat_id)


def _forward(
    chat_id: Id,
    page: Sequence[dict[str, Any]],
    after: int,
    newest: int,
    *,
    limit: int,
    more: bool,
) -> Iterator[Finding]:
    """A page that begins after a seq, and goes up to the newest unless it is full."""
    last = page[-1]["seq"] if page else after
    if page and page[0]["seq"] != after + 1:
        yield Finding(promises.READ, f"a page after {after} begins at {page[0]['seq']}", chat_id)
    if (len(page) != limit) if more else (last < newest):
        what = f"a page after {after} ends at {last}, has_more {more}; {newest} was known"
        yield Finding(promises.READ, what, chat_id)


def _backward(
    chat_id: Id,
    page: Sequence[dict[str, Any]],
    floor: int,
    newest: int,
    *,
    limit: int,
    more: bool,
) -> Iterator[Finding]:
    """A page that ends at a seq or the newest, and begins at the floor unless it is full."""
    last = page[-1]["seq"] if page else floor
    if last < newest:
        what = f"a page that ends at {last} when {newest} was known"
        yield Finding(promises.READ, what, chat_id)
    begins = page[0]["seq"] if page else floor + 1
    if more == (begins == floor + 1) or (more and len(page) != limit):
        what = f"a page of {len(page)} begins at {begins}, not {floor + 1}; has_more {more}"
        yield Finding(promises.READ, what, chat_id)


def _floor(rights: Rights, life: Life, chat_id: Id) -> int | None:
    """The seq after which a chat is somebody's; None where that is not kept any more."""
    record = rights.truth.trips.get(chat_id)
    if life.role is not Role.DRIVER or record is None:
        return 0
    terms = relations.terms(record.trip, relations.driver_at)
    mine = [term for term in terms if term.user_id == life.user_id]
    return record.chat_from if mine == terms[-1:] else None


_DEFAULT_LIMIT: Final[int] = ChatHistory("x").limit
_PARTIES: Final = frozenset({Role.RIDER, Role.DRIVER})
_WATCHED: Final = frozenset(WatchedTrip.__struct_fields__)
