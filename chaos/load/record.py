"""What an app sent, was answered and heard: per connection, in order, nothing left out."""

import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from msgspec import Struct

from models.fields import Id
from models.identity import Role

Answer = dict[str, Any]
"""`{"ok": true, …}` or `{"ok": false, "error": {…}}`, as the server said it."""


class What(StrEnum):
    SENT = "sent"
    ANSWERED = "answered"
    HEARD = "heard"
    REFUSED = "refused"
    """The namespace was refused, as nobody's should be."""


class Entry(Struct, frozen=True):
    """One thing that happened on a connection. `at` is of the load's monotonic clock, seconds."""

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
        self.is_ready = False
        self.is_over = False

    def note(self, what: What, name: str, payload: object, ack: int | None = None) -> None:
        self.entries.append(Entry(time.monotonic(), what, name, payload, ack))

    def heard(self) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.what is What.HEARD)


class Attempt(Struct):
    """One sending of a command, and its answer, where one came."""

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

    def __init__(self, role: Role, user_id: Id) -> None:
        self.role = role
        self.user_id = user_id
        self.sessions: list[Session] = []
        self.commands: list[Command] = []
        self.points: dict[int, tuple[float, float]] = {}
        """A driver's own: latitude and longitude by `seq`."""

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
