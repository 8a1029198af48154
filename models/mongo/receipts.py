"""How far everybody has read, in MongoDB: numbers that the store itself only lets grow."""

import asyncio
from collections.abc import Collection as SomeOf
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from models.collections import receipt_key
from models.fields import Id
from models.grouped import Grouped, OnGroup
from models.messages import Read
from models.mongo.attempts import pauses
from models.mongo.documents import from_document
from models.mongo.driver import READINGS_AT_ONCE, SHARED, Collection, Document, Outcome, answering

_GROUP: Final = 200
"""Receipts in one write at most."""


class _Wanted(Struct, frozen=True):
    conversation_id: Id
    user_id: Id
    read: Read

    @property
    def key(self) -> str:
        return receipt_key(self.conversation_id, self.user_id)

    @property
    def change(self) -> Document:
        read = self.read
        return {
            "$max": {
                "delivered_seq": max(read.delivered_seq, read.read_seq),
                "read_seq": read.read_seq,
            },
            "$setOnInsert": {"conversation_id": self.conversation_id, "user_id": self.user_id},
        }


class MongoReceipts:
    def __init__(self, collection: Collection, on_group: OnGroup | None = None) -> None:
        """`on_group` is told how many receipts one write has."""
        self._collection = collection
        self._group = Grouped(self._advance_all, _GROUP, on_group=on_group)
        self._searches = Grouped(self._of_all, SHARED, READINGS_AT_ONCE)

    @answering()
    async def advance(self, conversation_id: Id, user_id: Id, read: Read) -> Read:
        return await self._group.add(_Wanted(conversation_id, user_id, read))

    @answering()
    async def of(self, conversation_id: Id) -> Mapping[Id, Read]:
        found = await self._searches.add(conversation_id)
        return {document["user_id"]: from_document(document, Read) for document in found}

    async def of_user(self, user_id: Id, conversation_ids: SomeOf[Id]) -> Mapping[Id, Read]:
        keys = [receipt_key(conversation_id, user_id) for conversation_id in conversation_ids]
        found = await self._collection.get_many(keys)
        return {document["conversation_id"]: from_document(document, Read) for document in found}

    async def _of_all(self, asked: list[Id]) -> list[list[Document]]:
        found = await self._collection.find({"conversation_id": {"$in": list(set(asked))}})
        of_each: dict[Id, list[Document]] = {conversation_id: [] for conversation_id in asked}
        for document in found:
            of_each[document["conversation_id"]].append(document)
        return [of_each[conversation_id] for conversation_id in asked]

    @answering()
    async def _advance_all(self, wanted: list[_Wanted]) -> Sequence[Read]:
        await self._raise_all(wanted)
        found = await self._collection.get_many(list({each.key for each in wanted}))
        stored = {document["_id"]: from_document(document, Read) for document in found}
        return [stored[each.key] for each in wanted]

    async def _raise_all(self, wanted: list[_Wanted]) -> None:
        """Two that store the same receipt for the first time collide: the later tries again."""
        left = wanted
        for pause in pauses():
            outcomes = await self._collection.upsert_each(
                [(each.key, each.change) for each in left]
            )
            tried = zip(left, outcomes, strict=True)
            left = [each for each, outcome in tried if outcome is not Outcome.STORED]
            if not left:
                return
            await asyncio.sleep(pause)
