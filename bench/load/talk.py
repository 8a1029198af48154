"""Messages of one party of a conversation to the other: answered once, and heard once, in order."""

from collections.abc import Callable
from functools import partial

import msgspec
from msgspec import Struct

from bench.load.awaited import Awaited
from bench.load.client import Client
from bench.load.frames import Message, answer_in, message_in
from bench.load.record import Record

Done = Callable[[float], None]
"""Gets when the message was to be sent."""


class Draft(Struct, frozen=True):
    conversation_id: str
    client_id: str
    text: str


class Voice:
    """One who writes, and one who reads."""

    def __init__(
        self,
        conversation_id: str,
        sender_id: str,
        sender: Client,
        reader: Client,
        record: Record,
        *,
        answered: Done,
        heard: Done,
    ) -> None:
        self._conversation_id = conversation_id
        self._sender_id = sender_id
        self._sender = sender
        self._record = record
        self._on_answer = answered
        self._on_heard = heard
        self._count = 0
        self._unanswered = 0
        self._newest_seq = 0
        self._awaited: Awaited[Message, Message] = Awaited("message", record, _is_same)
        reader.on_message = self._arrived

    @property
    def missing(self) -> int:
        """Answers and messages that have yet to come."""
        return self._unanswered + self._awaited.missing

    def say(self, at: float) -> None:
        self._count += 1
        draft = Draft(
            self._conversation_id,
            f"{self._sender_id}-{self._count}",
            f"At the corner in a minute, number {self._count}",
        )
        message = Message(draft.conversation_id, draft.client_id, self._sender_id, draft.text)
        self._unanswered += 1
        self._awaited.expect(message, at)
        answered = partial(self._answered, message, at)
        self._sender.ask(b"chat:send", msgspec.json.encode(draft), answered)

    def _answered(self, message: Message, at: float, json: bytes) -> None:
        answer = answer_in(json)
        if answer and answer.ok and answer.message and _is_same(answer.message, message):
            self._unanswered -= 1
            self._on_answer(at)
        else:
            self._record.is_wrong(f"answer to a message: {json.decode()}")

    def _arrived(self, packet: bytes) -> None:
        message = message_in(packet)
        if message is None:
            self._record.is_wrong("message that cannot be read")
            return
        self._check_order(message)
        at = self._awaited.arrived(message)
        if at is not None:
            self._on_heard(at)

    def _check_order(self, message: Message) -> None:
        if message.seq is not None:
            if message.seq <= self._newest_seq:
                self._record.is_wrong("message numbered as an earlier one")
            self._newest_seq = message.seq


def _is_same(one: Message, other: Message) -> bool:
    """Whether two are the same message; only what the server made has a number."""
    return (
        one.client_id == other.client_id
        and one.text == other.text
        and one.sender_id == other.sender_id
        and one.conversation_id == other.conversation_id
    )
