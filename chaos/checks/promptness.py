"""Every command is answered, or its connection ended, within the time that is promised."""

from collections.abc import Iterator
from typing import Final

from chaos.checks import promises
from chaos.checks.conditions import Conditions
from chaos.checks.violation import Violation
from chaos.load.record import Life, Session, What

ANSWER_S: Final = 5.0
WAITS_FOR_NOBODY: Final = "driver:location"


def check(conditions: Conditions, life: Life, until: float) -> Iterator[Violation]:
    """`until` is when the record ends."""
    for session in life.sessions:
        yield from _late(conditions, life, session, until)


def _late(
    conditions: Conditions, life: Life, session: Session, until: float
) -> Iterator[Violation]:
    """Commands of a connection have turns: the time of each runs from the answer before it."""
    answered = {e.ack: e.at for e in session.entries if e.what is What.ANSWERED}
    turn = session.began_at
    for sent in (entry for entry in session.entries if entry.what is What.SENT):
        over = answered.get(sent.ack, session.ended_at or until)
        waits = sent.name != WAITS_FOR_NOBODY
        took = conditions.awaited_s(session.to, max(sent.at, turn) if waits else sent.at, over)
        if took > ANSWER_S + conditions.slack_s:
            how = "answered" if sent.ack in answered else "not answered"
            what = f"{sent.name} (number {sent.ack}) was {how} for {took:.1f} s"
            yield Violation(
                promises.PROMPT,
                life.who,
                f"connection {session.number}: {what}",
                _about(sent.payload),
            )
        if waits:
            turn = max(turn, over)


def _about(payload: object) -> str | None:
    if not isinstance(payload, dict):
        return None
    return payload.get("trip_id") or payload.get("conversation_id")
