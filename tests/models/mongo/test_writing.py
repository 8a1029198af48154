"""Documents of many callers on their way into a collection, while the store is slow with some."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from models.collections import MESSAGES
from models.messages import Draft, Message
from models.mongo.attempts import Creations
from models.mongo.driver import Collection, Database, Encoded, Outcome
from models.mongo.messages import MongoMessages
from models.mongo.schema import migrate

NOW = 1_700_000_000_000
WITHIN_S = 10


@pytest.fixture
async def collection(url: str) -> AsyncIterator[Collection]:
    database = Database(url, "unused")
    await migrate(database)
    yield database.collection(MESSAGES.name)
    await database.close()


class Slow:
    """What stands before a collection, and keeps the first write until it is released."""

    def __init__(self, collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = asyncio.Event()
        self.released = asyncio.Event()
        self.ended = asyncio.Event()
        self._insert_each = collection.insert_each
        monkeypatch.setattr(collection, "insert_each", self.insert_each)

    async def insert_each(self, documents: Sequence[Encoded]) -> list[Outcome]:
        if self.began.is_set():
            return await self._insert_each(documents)
        self.began.set()
        await self.released.wait()
        try:
            return await self._insert_each(documents)
        finally:
            self.ended.set()


def draft(client_id: str, conversation_id: str) -> Draft:
    return Draft(conversation_id=conversation_id, client_id=client_id, text="hello")


async def sent(messages: MongoMessages, client_id: str, conversation_id: str = "t1") -> Message:
    async with asyncio.timeout(WITHIN_S):
        message, _ = await messages.append(draft(client_id, conversation_id), "rita", NOW)
    return message


async def test_while_the_store_has_messages_it_takes_those_of_other_conversations(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, messages = Slow(collection, monkeypatch), MongoMessages(collection)
    first = asyncio.create_task(sent(messages, "m1", "t1"))
    await slow.began.wait()
    assert (await sent(messages, "m1", "t2")).seq == 1
    assert not first.done()
    slow.released.set()
    assert (await first).seq == 1


async def test_while_the_store_has_documents_it_takes_others(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, creations = Slow(collection, monkeypatch), Creations(collection)
    a, b = ({"_id": key, "client_id": key} for key in "ab")
    first = asyncio.create_task(creations.once(a, {"_id": "a"}))
    await slow.began.wait()
    async with asyncio.timeout(WITHIN_S):
        assert await creations.once(b, {"_id": "b"}) == b
    assert not first.done()
    slow.released.set()
    assert await first == a


async def test_a_message_that_was_given_up_while_the_store_had_it_leaves_no_hole(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, messages = Slow(collection, monkeypatch), MongoMessages(collection)
    given_up = asyncio.create_task(sent(messages, "m1"))
    await slow.began.wait()
    given_up.cancel()
    assert (await sent(messages, "m2")).seq == 1
    slow.released.set()
    await slow.ended.wait()
    assert [(await sent(messages, again)).seq for again in ("m1", "m3", "m2", "m1")] == [2, 3, 1, 2]
    stored = await messages.between("t1", 0, 10)
    assert [(message.seq, message.client_id) for message in stored] == [
        (1, "m2"),
        (2, "m1"),
        (3, "m3"),
    ]
