"""What was answered: done is stored as it was said, refused is not, and each has one answer."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from chaos.checks import promises
from chaos.checks.truth import Truth
from chaos.checks.violation import Violation
from chaos.load.record import Command, Life, Session, What
from models.messages import Message, Read
from models.trips import Event


def check(truth: Truth, life: Life) -> Iterator[Violation]:
    for command in life.commands:
        if command.answer is not None:
            yield from _done(truth, life, command)
        elif command.is_refused:
            yield from _refused(truth, life, command)
        yield from _failed(life, command)
    for session in life.sessions:
        yield from _answers_of(life, session)
    yield from _order(life)


def _done(truth: Truth, life: Life, command: Command) -> Iterator[Violation]:
    answer = command.answer or {}
    if "trip" in answer and "events" in answer["trip"]:
        yield from _trip_is_stored(truth, life, answer["trip"])
    if command.event == "chat:send":
        yield from _message_is_stored(truth, life, command, answer["message"])
    elif command.event == "chat:receipt":
        yield from _receipt_is_stored(truth, life, command, answer)
    elif command.event == "chat:open":
        chat_id = answer["conversation"]["id"]
        if chat_id not in truth.conversations:
            yield Violation(promises.STORED, life.who, "a conversation is missing", chat_id)


def _trip_is_stored(truth: Truth, life: Life, trip: dict[str, Any]) -> Iterator[Violation]:
    """The trip as it was answered is how the stored one once was."""
    record = truth.trips.get(trip["id"])
    if record is None:
        yield Violation(promises.STORED, life.who, "a trip is missing", trip["id"])
        return
    answered = msgspec.convert(trip["events"], tuple[Event, ...])
    if answered != record.trip.events[: len(answered)]:
        told = [(event.version, event.status.value, event.reason) for event in answered]
        kept = [(event.version, event.status.value, event.reason) for event in record.trip.events]
        what = f"answered were the changes {told}, stored are {kept}"
        yield Violation(promises.STORED, life.who, what, trip["id"])


def _message_is_stored(
    truth: Truth, life: Life, command: Command, said: dict[str, Any]
) -> Iterator[Violation]:
    message = msgspec.convert(said, Message)
    chat_id = message.conversation_id
    if message not in truth.messages.get(chat_id, ()):
        yield Violation(
            promises.STORED, life.who, f"the message {message.client_id} is not", chat_id
        )
    wanted = command.payload["client_id"], command.payload["text"], life.user_id
    if (message.client_id, message.text, message.sender_id) != wanted:
        what = f"sent was {wanted}, answered {message}"
        yield Violation(promises.STORED, life.who, what, chat_id)


def _receipt_is_stored(
    truth: Truth, life: Life, command: Command, answer: dict[str, Any]
) -> Iterator[Violation]:
    chat_id = command.payload["conversation_id"]
    stored = truth.receipts.get((chat_id, life.user_id), Read())
    if stored.read_seq < answer["read_seq"] or stored.delivered_seq < answer["delivered_seq"]:
        what = f"answered was {answer}, stored is {stored}"
        yield Violation(promises.STORED, life.who, what, chat_id)


def _refused(truth: Truth, life: Life, command: Command) -> Iterator[Violation]:
    payload = command.payload
    about = payload.get("trip_id") or payload.get("conversation_id")
    if command.event == "chat:send":
        happened = any(
            message.client_id == payload["client_id"] and message.sender_id == life.user_id
            for message in truth.messages.get(about or "", ())
        )
    else:
        record = truth.trips.get(about or "")
        reason = payload.get("reason")
        happened = bool(reason and record) and any(
            event.reason == reason for event in (record.trip.events if record else ())
        )
    if happened:
        what = f"{command.event} {payload} was refused: {command.attempts[-1].answer}"
        yield Violation(promises.NOT_STORED, life.who, what, about)


def _failed(life: Life, command: Command) -> Iterator[Violation]:
    for attempt in command.attempts:
        if attempt.answer and attempt.answer.get("error", {}).get("code") == "internal":
            what = f"{command.event} {command.payload} was answered {attempt.answer}"
            yield Violation(promises.SOUND, life.who, what)


def _answers_of(life: Life, session: Session) -> Iterator[Violation]:
    """Each command of a connection has one answer, or none where the connection has ended."""
    sent = {entry.ack: entry for entry in session.entries if entry.what is What.SENT}
    answers = Counter(entry.ack for entry in session.entries if entry.what is What.ANSWERED)
    for ack, times in answers.items():
        if times > 1 or ack not in sent:
            name = sent[ack].name if ack in sent else "nothing that was asked"
            what = f"{times} answers to {name} (number {ack}) on connection {session.number}"
            yield Violation(promises.ONE_ANSWER, life.who, what)
    if not session.is_over:
        for ack in sent.keys() - answers.keys():
            what = f"none to {sent[ack].name} (number {ack}) on the open connection"
            yield Violation(promises.ONE_ANSWER, life.who, what)


def _order(life: Life) -> Iterator[Violation]:
    """Messages of one connection that were sent once are stored in the order of their sending."""
    newest: dict[tuple[int, str], int] = defaultdict(int)
    for command in sorted(life.commands, key=lambda c: c.attempts[0].sent_at if c.attempts else 0):
        answer = command.answer
        if command.event != "chat:send" or len(command.attempts) != 1 or answer is None:
            continue
        message = answer["message"]
        key = command.attempts[0].session, message["conversation_id"]
        if message["seq"] < newest[key]:
            what = f"seq {message['seq']} was sent after seq {newest[key]}"
            yield Violation(promises.IN_TURN, life.who, what, key[1])
        newest[key] = max(newest[key], message["seq"])
