"""From when on it is certain that something was stored: since anybody was told of it."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable
from math import inf
from typing import Any

from chaos.load.record import Entry, Life, What
from models.fields import Id


class Growing:
    """Numbers that only grow, by what they count: when somebody was first told of which."""

    def __init__(self) -> None:
        self._told: dict[Hashable, list[tuple[float, int]]] = defaultdict(list)
        self._steps: dict[Hashable, tuple[list[float], list[int]]] = {}

    def note(self, what: Hashable, number: int, at: float) -> None:
        self._told[what].append((at, number))

    def since(self, what: Hashable, number: int) -> float:
        """When somebody knew this number or a greater one; infinity where nobody ever did."""
        times, numbers = self._steps_of(what)
        first = bisect_left(numbers, number)
        return times[first] if first < len(times) else inf

    def newest_at(self, what: Hashable, at: float) -> int:
        """The greatest number that somebody knew by then, 0 for none."""
        times, numbers = self._steps_of(what)
        known = bisect_right(times, at)
        return numbers[known - 1] if known else 0

    def _steps_of(self, what: Hashable) -> tuple[list[float], list[int]]:
        """The times at which the greatest number that was told of grew, and what it grew to."""
        if what not in self._steps:
            times: list[float] = []
            numbers: list[int] = []
            for at, number in sorted(self._told.get(what, ())):
                if not numbers or number > numbers[-1]:
                    times.append(at)
                    numbers.append(number)
            self._steps[what] = times, numbers
        return self._steps[what]


class Times:
    """What was stored by when, and what was asked for when, by what all records have."""

    def __init__(self, lives: Iterable[Life]) -> None:
        self.versions = Growing()
        """Of trips."""
        self.seqs = Growing()
        """Of trips' and other conversations."""
        self.read = Growing()
        self.delivered = Growing()
        """Receipts, by conversation and user."""
        self.opened: dict[Id, float] = {}
        """When a conversation was first answered."""
        self.marked: dict[tuple[Id, Id, int], float] = {}
        """When a receipt was first asked for: by conversation, user and `read_seq`."""
        for life in lives:
            for session in life.sessions:
                asked = session.asked
                for entry in session.entries:
                    self._take(life, entry, asked.get(entry.ack))

    def _take(self, life: Life, entry: Entry, asked: Entry | None) -> None:
        if entry.what is What.HEARD:
            self._heard(entry.name, entry.payload, entry.at)
        elif entry.what is What.SENT and entry.name == "chat:receipt":
            payload = entry.payload
            key = payload["conversation_id"], life.user_id, payload["read_seq"]
            self.marked[key] = min(self.marked.get(key, inf), entry.at)
        elif entry.what is What.ANSWERED and entry.payload.get("ok"):
            self._answered(entry.payload, entry.at)
            if asked is not None and asked.name == "chat:receipt":
                marked = asked.payload["conversation_id"], life.user_id
                self.read.note(marked, entry.payload["read_seq"], entry.at)
                self.delivered.note(marked, entry.payload["delivered_seq"], entry.at)

    def _heard(self, name: str, payload: dict[str, Any], at: float) -> None:
        if name == "trip:status":
            self.versions.note(payload["trip_id"], payload["version"], at)
        elif name == "chat:message":
            self.seqs.note(payload["conversation_id"], payload["seq"], at)
        elif name == "session:ready":
            for trip in payload["trips"]:
                self.versions.note(trip["id"], trip["version"], at)
            for conversation in payload["conversations"]:
                self.seqs.note(conversation["id"], conversation["last_seq"], at)

    def _answered(self, answer: dict[str, Any], at: float) -> None:
        if "trip" in answer:
            self.versions.note(answer["trip"]["id"], answer["trip"]["version"], at)
        if "conversation" in answer:
            chat_id = answer["conversation"]["id"]
            self.opened[chat_id] = min(self.opened.get(chat_id, inf), at)
        if "message" in answer:
            message = answer["message"]
            self.seqs.note(message["conversation_id"], message["seq"], at)
        for message in answer.get("messages", ()):
            self.seqs.note(message["conversation_id"], message["seq"], at)
