"""Everything that was recorded about one trip or conversation, by everybody, in order."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from chaos.load.record import Entry, Life, Session
from models.fields import Id

WIDEST = 220


def timeline(lives: Sequence[Life], about: Id) -> list[str]:
    """Lines: seconds since the first entry, who, on which connection, what."""
    found = sorted(
        (
            (entry.at, f"{life.who}#{session.number}", entry)
            for life in lives
            for session in life.sessions
            for entry in _entries(session, about)
        ),
        key=lambda line: line[0],
    )
    return [f"{at - found[0][0]:8.3f} {who:<14} {_said(entry)}" for at, who, entry in found]


def _entries(session: Session, about: Id) -> Iterator[Entry]:
    asked = {entry.ack for entry in session.entries if entry.name and _is_about(entry, about)}
    for entry in session.entries:
        if _is_about(entry, about) or (entry.ack is not None and entry.ack in asked):
            yield entry


def _is_about(entry: Entry, about: Id) -> bool:
    return about in _ids(entry.payload)


def _ids(payload: Any) -> Iterator[str]:  # noqa: ANN401 - whatever was sent or heard
    """Of the trips and conversations that a payload is about."""
    if isinstance(payload, dict):
        yield from (payload[name] for name in ("trip_id", "conversation_id") if name in payload)
        for name in ("trip", "conversation", "message"):
            if name in payload:
                yield from (payload[name].get(key, "") for key in ("id", "conversation_id"))
        for name in ("trips", "conversations"):
            yield from (each["id"] for each in payload.get(name, ()))


def _said(entry: Entry) -> str:
    number = "" if entry.ack is None else f" ({entry.ack})"
    return f"{entry.what} {entry.name}{number} {msgspec.json.encode(entry.payload).decode()}"[
        :WIDEST
    ]
