"""What the driver's errors become, and which database is meant."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import BulkWriteError, OperationFailure

from models.errors import Internal, Unavailable
from models.mongo import driver
from models.mongo.attempts import Creations
from models.mongo.driver import Collection, Database, Duplicate, Outcome, answering, encoded
from tests.models import mongodb
from tests.observers import Notebook


@pytest.fixture
async def collection(url: str) -> AsyncIterator[Collection]:
    database = Database(url, "unused")
    yield database.collection("things")
    await database.close()


async def store(collection: Collection, key: str) -> None:
    assert await collection.insert_each([encoded({"_id": key})]) == [Outcome.STORED]


async def test_a_taken_key_is_a_duplicate(collection: Collection) -> None:
    await store(collection, "a")
    with pytest.raises(Duplicate):
        await collection.upsert({"_id": "a", "n": 1}, {"$set": {"n": 2}})


async def test_a_question_that_is_never_answered_holds_up_no_later_one(url: str) -> None:
    async with mongodb.LossyProxy(url) as proxy:
        database = Database(proxy.url, "unused")
        collection = database.collection("things")
        await store(collection, "a")
        proxy.swallow_next_question()
        with pytest.raises(Unavailable):
            await collection.get("a")
        assert await collection.get("a") == {"_id": "a"}
        assert await collection.existing(["a", "b"]) == {"a"}
        await database.close()


async def test_every_call_is_told_with_what_went_wrong(url: str) -> None:
    notebook = Notebook()
    database = Database(url, "unused", notebook)
    collection = database.collection("things")
    await store(collection, "a")
    with suppress(Duplicate):
        await collection.upsert({"_id": "a", "n": 1}, {"$set": {"n": 2}})
    await collection.insert_each([encoded({"_id": key}) for key in "ab"])
    await collection.get("a")
    with suppress(Internal):
        await collection.change({"_id": "a"}, {"$nonsense": {"n": 1}})
    await database.close()
    assert notebook.operations == [
        ("insert_many", ""),
        ("update_one", ""),
        ("insert_many", ""),
        ("find", ""),
        ("update_one", "refused"),
    ]


async def test_a_store_that_is_away_is_told() -> None:
    notebook = Notebook()
    database = Database("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=10", "unused", notebook)
    with pytest.raises(Unavailable):
        await database.ping(5)
    with pytest.raises(Unavailable):
        await database.collection("things").find({})
    await database.close()
    assert notebook.operations == [("ping", "unavailable"), ("find", "unavailable")]


async def test_a_call_that_nobody_waits_for_any_longer_is_told(url: str) -> None:
    notebook = Notebook()
    async with mongodb.LossyProxy(url) as proxy:
        database = Database(proxy.url, "unused", notebook)
        collection = database.collection("things")
        await store(collection, "a")
        proxy.swallow_next_question()
        asking = asyncio.create_task(collection.find({}))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait((asking,))
        await database.close()
    assert notebook.operations[-1] == ("find", "no_answer")


async def test_of_many_each_is_stored_for_itself(collection: Collection) -> None:
    await store(collection, "b")
    documents = [encoded({"_id": key}) for key in "abc"]
    outcomes = await collection.insert_each(documents)
    assert outcomes == [Outcome.STORED, Outcome.ID_TAKEN, Outcome.STORED]
    assert await collection.existing(["a", "b", "c", "d"]) == {"a", "b", "c"}


async def test_what_the_store_refuses_for_good_is_not_tried_again(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(documents: list[object]) -> list[Outcome]:
        return [Outcome.IMPOSSIBLE] * len(documents)

    monkeypatch.setattr(collection, "insert_each", refuse)
    with pytest.raises(Internal):
        await Creations(collection).once({"_id": "a"}, {"_id": "a"})


class TestNotNow:
    """A server that is no primary any more, stops, or is too busy, says nothing of the command."""

    CODES = (6, 89, 91, 189, 10107, 11600, 11602, 13435, 13436)
    """HostUnreachable, NetworkTimeout, ShutdownInProgress, PrimarySteppedDown, NotWritablePrimary,
    InterruptedAtShutdown, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk,
    NotPrimaryOrSecondary."""

    @pytest.mark.parametrize("code", CODES)
    async def test_a_command_that_it_refuses_may_be_tried_again(self, code: int) -> None:
        with pytest.raises(Unavailable):
            async with answering():
                raise OperationFailure("not now", code)

    async def test_each_write_that_it_refuses_has_an_unknown_outcome(
        self, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        errors = [{"index": n, "code": code} for n, code in enumerate(self.CODES)]

        async def refuse(*_of: object, **_how: object) -> None:
            raise BulkWriteError({"writeErrors": errors, "writeConcernErrors": []})

        for write in ("insert_many", "bulk_write"):
            monkeypatch.setattr(AsyncIOMotorCollection, write, refuse)
        keys = [str(code) for code in self.CODES]
        unknown = [Outcome.UNKNOWN] * len(keys)
        assert await collection.insert_each([encoded({"_id": key}) for key in keys]) == unknown
        assert await collection.upsert_each([(key, {"$set": {"n": 1}}) for key in keys]) == unknown


async def test_a_command_that_makes_no_sense_is_a_fault_of_ours(collection: Collection) -> None:
    await store(collection, "a")
    with pytest.raises(Internal):
        await collection.change({"_id": "a"}, {"$nonsense": {"n": 1}})


async def test_a_document_that_cannot_be_stored_is_a_fault_of_ours(collection: Collection) -> None:
    with pytest.raises(Internal):
        await collection.upsert({"_id": "a"}, {"$set": {"what": object()}})


def test_closing_waits_for_no_store(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_CLOSE_WITHIN", 0.01)
    is_over = threading.Event()

    async def close() -> None:
        busy = ThreadPoolExecutor(max_workers=1)
        asyncio.get_running_loop().set_default_executor(busy)
        busy.submit(is_over.wait)
        try:
            await Database(url, "unused").close()
        finally:
            is_over.set()

    asyncio.run(close())


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("mongodb://127.0.0.1", "given"),
        ("mongodb://127.0.0.1/", "given"),
        ("mongodb://127.0.0.1/?retryWrites=false", "given"),
        ("mongodb://127.0.0.1/rides", "rides"),
        ("mongodb://127.0.0.1,127.0.0.2:1/rides?w=1", "rides"),
    ],
)
async def test_the_url_names_the_database_or_nothing_does(url: str, name: str) -> None:
    database = Database(url, "given")
    assert database.name == name
    await database.close()
