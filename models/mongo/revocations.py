"""Revoked tokens in MongoDB: noted once each, forgotten by the store itself."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from models.collections import revocation_key
from models.fields import Millis
from models.mongo.attempts import pauses
from models.mongo.documents import from_document, to_document
from models.mongo.driver import Collection, Document, Duplicate, answering
from models.revocations import KEPT_MS, Revocation

LOAD_WITHIN: Final = 60.0
"""Seconds for reading all of them."""
POLL_WITHIN: Final = 1.5
"""Seconds for reading the latest: who asks every second does not wait for one answer for long."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Stored(Struct, frozen=True):
    revocation: Revocation


class MongoRevocations:
    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    @answering()
    async def add(self, revocation: Revocation) -> None:
        """Two that note the same one for the first time collide: the later tries again."""
        where, change = {"_id": revocation_key(revocation)}, _change(revocation)
        for pause in pauses():
            await asyncio.sleep(pause)
            try:
                await self._collection.upsert(where, change)
            except Duplicate:
                continue
            return

    async def all(self) -> Sequence[Revocation]:
        async with answering(LOAD_WITHIN):
            return [_revocation(document) async for document in self._collection.each()]

    @answering(POLL_WITHIN)
    async def since(self, at: Millis) -> Sequence[Revocation]:
        found = await self._collection.find({"at": {"$gte": at}})
        return [_revocation(document) for document in found]


def _change(revocation: Revocation) -> Document:
    document = to_document(revocation)
    at: Millis = document.pop("at")
    forget_at = _EPOCH + timedelta(milliseconds=at + KEPT_MS)
    return {"$setOnInsert": document, "$max": {"at": at, "forget_at": forget_at}}


def _revocation(document: Document) -> Revocation:
    return from_document({"revocation": document}, _Stored).revocation
