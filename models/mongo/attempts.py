"""Trying again: when, and how something is created once however often it is asked for."""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import count
from random import uniform
from typing import Final

from models.errors import Unavailable
from models.mongo.driver import Collection, Document, Duplicate, answering

_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.1


def pauses() -> Iterator[float]:
    """Seconds between attempts, without end: none at first, then more and more, by chance."""
    yield 0
    for attempt in count():
        yield min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * uniform(0, 1)  # noqa: S311 - no secret


@answering()
async def insert_once(
    collection: Collection, document: Document, unique: Mapping[str, str]
) -> Document:
    """Store the document; the stored one if there is one with these unique values already.

    Another writer's may be there for the index a moment before the majority has it to read.
    """
    for pause in pauses():
        try:
            await collection.insert(document)
        except (Duplicate, Unavailable):
            stored = await collection.find_one(unique)
        else:
            return document
        if stored:
            return stored
        await asyncio.sleep(pause)
    raise AssertionError
