"""Trying again: when, and how something is created once however often it is asked for."""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import count
from random import uniform
from typing import Final

from models.errors import Internal, Unavailable
from models.grouped import OnGroup
from models.mongo.driver import Collection, Document, Outcome, answering, encoded

_GROUP: Final = 100
"""Documents in one write at most."""
_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.1


def pauses() -> Iterator[float]:
    """Seconds between attempts, without end: none at first, then more and more, by chance."""
    yield 0
    for attempt in count():
        yield min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * uniform(0, 1)  # noqa: S311 - no secret


class Creations:
    """Stores documents of a collection, each once; those of many callers in one write."""

    def __init__(self, collection: Collection, on_group: OnGroup | None = None) -> None:
        """`on_group` is told how many documents one write has."""
        self._collection = collection
        self._inserts = collection.inserts(_GROUP, on_group)

    @answering()
    async def once(self, document: Document, unique: Mapping[str, str]) -> Document:
        """Store the document; the stored one if there is one with these unique values already.

        Another writer's may be there for the index a moment before the majority has it to read.
        """
        for pause in pauses():
            outcome = await self._insert(document)
            if outcome is Outcome.STORED:
                return document
            if outcome is Outcome.IMPOSSIBLE:
                raise Internal("the store refuses a document")
            if stored := await self._collection.find_one(unique):
                return stored
            await asyncio.sleep(pause)
        raise AssertionError

    async def _insert(self, document: Document) -> Outcome:
        try:
            return await self._inserts.add(encoded(document))
        except Unavailable:
            return Outcome.UNKNOWN
