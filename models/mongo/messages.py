"""Messages in MongoDB: numbered without holes by whoever inserts the next number first."""

import asyncio
from asyncio import Lock
from collections.abc import Collection as SomeOf
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final
from weakref import WeakValueDictionary

from msgspec.structs import replace

from models.collections import message_key
from models.errors import Unavailable
from models.fields import Id, Millis, new_id
from models.grouped import OnGroup
from models.messages import Draft, Message
from models.mongo.attempts import pauses
from models.mongo.documents import from_document, to_document
from models.mongo.driver import Collection, Document, Outcome, answering, encoded
from models.mongo.newest import ONE_STEP, SHORT_STEPS, KnownSeqs, Position, newest_seqs

_GROUP: Final = 200
"""Messages in one write at most."""
_KEYS: Final = 2_000
"""Keys in one question at most."""
_PAGE: Final = 500
"""Messages in one read at most."""
_REMEMBERED: Final = 50_000
"""Conversations, at about 200 bytes each."""


class MongoMessages:
    def __init__(self, collection: Collection, on_group: OnGroup | None = None) -> None:
        """`on_group` is told how many messages one write has."""
        self._collection = collection
        self._inserts = collection.inserts(_GROUP, on_group)
        self._known = KnownSeqs(_REMEMBERED)
        self._turns: WeakValueDictionary[Id, Lock] = WeakValueDictionary()

    @answering()
    async def append(self, draft: Draft, sender_id: Id, sent_at: Millis) -> tuple[Message, bool]:
        # In turn, so that this process does not compete with itself for a conversation's next
        # number, nor has two of its messages in one write: one that is refused would leave a hole.
        turn = self._turns.setdefault(draft.conversation_id, Lock())
        async with turn:
            return await self._append(draft, sender_id, sent_at)

    async def find(self, draft: Draft, sender_id: Id) -> Message | None:
        document = await self._collection.find_one(
            {
                "conversation_id": draft.conversation_id,
                "sender_id": sender_id,
                "client_id": draft.client_id,
            }
        )
        return from_document(document, Message) if document else None

    @answering()
    async def between(self, conversation_id: Id, after: int, up_to: int) -> Sequence[Message]:
        messages: list[Message] = []
        while after < up_to:
            seqs = range(after + 1, min(after + _PAGE, up_to) + 1)
            page = await self._page(conversation_id, seqs)
            messages += page
            if len(page) < len(seqs):
                break
            after = seqs[-1]
        return messages

    async def newest_seq(self, conversation_id: Id) -> int:
        newest = await self._newest([conversation_id], SHORT_STEPS)
        return newest[conversation_id]

    async def continued(self, known: Mapping[Id, int]) -> SomeOf[Id]:
        following = {message_key(key, seq + 1): key for key, seq in known.items()}
        return {following[name] for name in await self._stored(list(following))}

    async def newest_seqs(self, conversation_ids: SomeOf[Id]) -> Mapping[Id, int]:
        newest = await self._newest(conversation_ids, ONE_STEP)
        return {conversation_id: seq for conversation_id, seq in newest.items() if seq}

    @answering()
    async def _newest(self, conversation_ids: SomeOf[Id], steps: Sequence[int]) -> dict[Id, int]:
        known = {key: self._known.get(key) or 0 for key in conversation_ids}
        newest = await newest_seqs(known, self._existing, steps)
        for conversation_id, seq in newest.items():
            if seq:  # what does not exist, as strangers may ask for, drives nothing out
                self._known.learn(conversation_id, seq)
        return newest

    async def _append(self, draft: Draft, sender_id: Id, sent_at: Millis) -> tuple[Message, bool]:
        """Insert the next number until it is stored, whoever else does the same meanwhile."""
        conversation_id = draft.conversation_id
        newest = self._known.get(conversation_id)
        if newest is None:
            newest = await self.newest_seq(conversation_id)
        message = _message(draft, sender_id, sent_at, newest + 1)
        for pause in pauses():
            outcome = await self._insert(message)
            if outcome is Outcome.STORED:
                self._known.learn(conversation_id, message.seq)
                return message, True
            if outcome is not Outcome.ID_TAKEN and (stored := await self.find(draft, sender_id)):
                return stored, stored.id == message.id
            await asyncio.sleep(pause)
            message = replace(message, seq=await self.newest_seq(conversation_id) + 1)
        raise AssertionError

    async def _insert(self, message: Message) -> Outcome:
        try:
            return await self._inserts.add(encoded(_document(message)))
        except Unavailable:
            return Outcome.UNKNOWN

    async def _page(self, conversation_id: Id, seqs: range) -> list[Message]:
        keys = [message_key(conversation_id, seq) for seq in seqs]
        documents = await self._collection.get_many(keys)
        messages = [from_document(document, Message) for document in documents]
        messages.sort(key=lambda message: message.seq)
        # What is stored while the store looks one key up after the other may show with a gap.
        return [message for message, seq in zip(messages, seqs, strict=False) if message.seq == seq]

    async def _existing(self, positions: list[Position]) -> set[Position]:
        keys = {message_key(*position): position for position in positions}
        return {keys[name] for name in await self._stored(list(keys))}

    async def _stored(self, keys: list[str]) -> SomeOf[str]:
        found = [
            await self._collection.existing(keys[start : start + _KEYS])
            for start in range(0, len(keys), _KEYS)
        ]
        return list(chain.from_iterable(found))


def _message(draft: Draft, sender_id: Id, sent_at: Millis, seq: int) -> Message:
    return Message(
        id=new_id(sent_at),
        conversation_id=draft.conversation_id,
        seq=seq,
        sender_id=sender_id,
        client_id=draft.client_id,
        kind=draft.kind,
        text=draft.text,
        data=draft.data,
        sent_at=sent_at,
    )


def _document(message: Message) -> Document:
    return {"_id": message_key(message.conversation_id, message.seq), **to_document(message)}
