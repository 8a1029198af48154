"""What an app sent, was answered and heard: per connection, in order, nothing left out."""

import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from models.fields import Id
from models.identity import Role
from models.points import Point

_EPOCH_S: Final = time.time() - time.monotonic()

Answer = dict[str, Any]
"""`{"ok": true, …}` or `{"ok": false, "error": {…}}`, as the server said it."""


def now() -> float:
    """Seconds since the epoch, to be held against the servers' times, and never stepping back."""
    return _EPOCH_S + time.monotonic()


class What(StrEnum):
    SENT = "sent"
    ANSWERED = "answered"
    HEARD = "heard"
    REFUSED = "refused"
    """The namespace was refused, as nobody's should be."""


class Entry(Struct, frozen=True):
    """One thing that happened on a connection. `at` is the load's `now()`."""

    at: float
    what: What
    name: str
    payload: Any
    ack: int | None = None


class Session:
    """One connection from its transport to its end. Over HTTP: one request."""

    def __init__(self, number: int, to: str) -> None:
        self.number = number
        self.to = to
        self.entries: list[Entry] = []
        self.began_at = now()
        self.ended_at: float | None = None
        self.is_ready = False

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    def end(self) -> None:
        self.ended_at = now()

    def note(self, what: What, name: str, payload: object, ack: int | None = None) -> None:
        self.entries.append(Entry(now(), what, name, payload, ack))

    @property
    def asked(self) -> dict[int | None, Entry]:
        """What was sent, by the number of its answer."""
        return {entry.ack: entry for entry in self.entries if entry.what is What.SENT}

    def heard(self) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.what is What.HEARD)


class Attempt(Struct):
    """One sending of a command, and its answer, where one came. Times are the load's `now()`."""

    session: int
    sent_at: float
    answer: Answer | None = None
    answered_at: float | None = None

    @property
    def is_refused(self) -> bool:
        """Whether it was answered that it is not done, and will not be."""
        return self.answer is not None and not self.answer["ok"] and not self.may_retry

    @property
    def may_retry(self) -> bool:
        return self.answer is not None and bool(self.answer.get("error", {}).get("retry"))


class Command(Struct):
    """Something an app wanted done, and each time that it asked for it."""

    event: str
    payload: dict[str, Any]
    attempts: list[Attempt] = []

    @property
    def answer(self) -> Answer | None:
        """The answer that it was done; None where there is none."""
        answers = (attempt.answer for attempt in self.attempts)
        return next((answer for answer in answers if answer and answer["ok"]), None)

    @property
    def is_refused(self) -> bool:
        """Whether every attempt was answered for good that it is not done."""
        return bool(self.attempts) and all(attempt.is_refused for attempt in self.attempts)


class Life:
    """All of one app's sessions and commands."""

    def __init__(self, role: Role, user_id: Id, trips: Sequence[Id] = ()) -> None:
        """`trips` are those that a viewer has a link to."""
        self.role = role
        self.user_id = user_id
        self.trips = trips
        self.sessions: list[Session] = []
        self.commands: list[Command] = []
        self.points: dict[int, Point] = {}
        """A driver's own, by `seq`."""

    @property
    def who(self) -> str:
        return f"{self.role} {self.user_id}"

    def begin(self, to: str) -> Session:
        session = Session(len(self.sessions) + 1, to)
        self.sessions.append(session)
        return session

    @property
    def reconnects(self) -> int:
        return max(0, sum(session.is_ready for session in self.sessions) - 1)
