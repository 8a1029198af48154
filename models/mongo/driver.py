"""The MongoDB driver, and all that the rest knows of it: documents in and out, a few outcomes.

Writes are acknowledged by the majority's journals, reads see what the majority has. What does not
answer within the time is Unavailable; no error of the driver leaves this module.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import bson
import pymongo
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, IndexModel, ReadPreference, UpdateOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern

from models.collections import Index
from models.errors import Internal, RidewireError, Unavailable
from models.grouped import Grouped, OnGroup
from models.observing import NOBODY, Observer

Document = dict[str, Any]
Encoded = RawBSONDocument

ANSWER_WITHIN: Final = 4.0
"""Seconds that one call on a store may take, all retries and waiting in line included; but for what
newcomers follow, for which they wait longer."""
_GRACE: Final = 0.5
"""Seconds after which a call ends that the driver itself did not end in time."""
_CLOSE_WITHIN: Final = 1.0
_INDEX_WITHIN: Final = 3_600.0
"""A large collection takes its time."""

_OPTIONS: Final[dict[str, Any]] = {
    "appName": "ridewire",
    "connectTimeoutMS": 4_000,
    "serverSelectionTimeoutMS": 3_000,
}
"""Used unless the URL says otherwise. Time limits of single calls are `answering`'s."""

_DURABLE: Final = WriteConcern("majority", j=True, wtimeout=int(ANSWER_WITHIN * 1_000))
_MAJORITY: Final = ReadConcern("majority")

SHARED: Final = 32
"""Callers that one reading serves at most: what an embedded store finds as fast as one by one."""
READINGS_AT_ONCE: Final = 4
"""Shared readings of a kind under way at most, where all but one of them are slow."""
APART_S: Final = 0.03
"""Between shared searches for what newcomers follow: when many come, few searches find it."""
_WRITES_AT_ONCE: Final = 2
"""While the store waits for its disks with one group of documents, it takes another."""
_SLOW_WRITE_S: Final = 0.02
"""How long it may take with the one before the other begins."""
_FEW: Final = 8
"""Keys of a reading that is shared with others; one of more is large enough by itself."""
_DUPLICATE_KEY: Final = 11_000
_NOT_NOW: Final = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        13,  # Unauthorized: the operator's to mend, as is the next
        18,  # AuthenticationFailed
        24,  # LockTimeout
        43,  # CursorNotFound: its server has gone
        50,  # MaxTimeMSExpired
        64,  # WriteConcernFailed
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        112,  # WriteConflict
        133,  # FailedToSatisfyReadPreference
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        202,  # NetworkInterfaceExceededTimeLimit
        237,  # CursorKilled
        262,  # ExceededTimeLimit
        391,  # ReauthenticationRequired
        8_000,  # AtlasError: refused by the hosting service
        9_001,  # SocketException
        10_058,  # LegacyNotPrimary
        10_107,  # NotWritablePrimary
        11_600,  # InterruptedAtShutdown
        11_601,  # Interrupted
        11_602,  # InterruptedDueToReplStateChange
        13_435,  # NotPrimaryNoSecondaryOk
        13_436,  # NotPrimaryOrSecondary
        14_031,  # OutOfDiskSpace
    }
)
"""Codes of refusals that say nothing about the command: the same one may succeed later."""


class Outcome(Enum):
    """What became of one write among several."""

    STORED = auto()
    ID_TAKEN = auto()
    REFUSED = auto()
    """By another unique index."""
    UNKNOWN = auto()
    IMPOSSIBLE = auto()
    """Refused for what it is, and would be again."""


class Duplicate(Exception):
    """A unique index has it already."""


@asynccontextmanager
async def answering(within: float = ANSWER_WITHIN) -> AsyncIterator[None]:
    """Bound what runs inside to a time in seconds. Raises Unavailable, Internal or Duplicate.

    Calls nest: the earliest end counts.
    """
    try:
        async with asyncio.timeout(within + _GRACE):
            with pymongo.timeout(within):
                yield
    except TimeoutError as error:
        raise Unavailable("the store did not answer in time") from error
    except DuplicateKeyError as error:
        raise Duplicate(str(error)) from error
    except PyMongoError as error:
        raise _meaning(error) from error
    except BSONError as error:
        raise Internal("a document that cannot be stored") from error


class Database:
    """One database and its client. Nothing is sent before the first call."""

    def __init__(self, url: str, name: str, observer: Observer = NOBODY) -> None:
        """Connect to the database in the URL's path, or else of this name. Raises ValueError."""
        self._observer = observer
        self._client: AsyncIOMotorClient[Document] = _client(url)
        self._database: AsyncIOMotorDatabase[Document] = self._client.get_default_database(
            name,
            write_concern=_DURABLE,
            read_concern=_MAJORITY,
            read_preference=ReadPreference.PRIMARY,
        )

    @property
    def name(self) -> str:
        return self._database.name

    def collection(self, name: str) -> "Collection":
        return Collection(self._database[name], self._observer)

    async def ping(self, within: float) -> None:
        """Ask the primary for a sign of life. Raises Unavailable."""
        async with answering(within):
            with _Timed(self._observer, "ping"):
                await self._database.command("ping")

    async def close(self) -> None:
        """Let go of it. What the driver does not end in time ends with the process."""
        with suppress(Unavailable):
            async with answering(_CLOSE_WITHIN):
                await asyncio.to_thread(self._client.close)


class Collection:
    """One collection. Readings by a few keys that are asked for at the same time are one reading:
    what is returned may be another caller's as well, and stays as it is.
    """

    def __init__(
        self, collection: AsyncIOMotorCollection[Document], observer: Observer = NOBODY
    ) -> None:
        self._collection = collection
        self._observer = observer
        self._readings = Grouped(self._get_each, SHARED, READINGS_AT_ONCE)
        self._checks = Grouped(self._check_each, SHARED, READINGS_AT_ONCE)

    async def get(self, key: str) -> Document | None:
        found = await self.get_many([key])
        return found[0] if found else None

    @answering()
    async def find_one(self, where: Mapping[str, object]) -> Document | None:
        with self._timed("find_one"):
            return await self._collection.find_one(where)

    @answering()
    async def find(self, where: Mapping[str, object]) -> list[Document]:
        with self._timed("find"):
            return await self._collection.find(where, batch_size=1_000).to_list()

    async def each(self) -> AsyncIterator[Document]:
        """Every document, one after the other. It may take long: the caller bounds the time."""
        async for document in self._collection.find(batch_size=1_000):
            yield document

    @answering()
    async def get_many(self, keys: Sequence[str]) -> list[Document]:
        """The documents under these keys, as many as there are, in no order."""
        return await (self._readings.add(keys) if len(keys) <= _FEW else self._get_all(keys))

    @answering()
    async def _get_each(self, wanted: list[Sequence[str]]) -> list[list[Document]]:
        found = await self._get_all(list({key for keys in wanted for key in keys}))
        documents = {document["_id"]: document for document in found}
        return [[documents[key] for key in set(keys) if key in documents] for keys in wanted]

    async def _get_all(self, keys: Sequence[str]) -> list[Document]:
        if not keys:
            return []
        where = {"_id": {"$in": list(keys)}}
        with self._timed("find"):
            return await self._collection.find(where, batch_size=len(keys) + 1).to_list()

    @answering()
    async def existing(self, keys: Sequence[str]) -> set[str]:
        """Which of these keys there are."""
        return await (self._checks.add(keys) if len(keys) <= _FEW else self._check_all(keys))

    @answering()
    async def _check_each(self, wanted: list[Sequence[str]]) -> list[set[str]]:
        found = await self._check_all(list({key for keys in wanted for key in keys}))
        return [found.intersection(keys) for keys in wanted]

    async def _check_all(self, keys: Sequence[str]) -> set[str]:
        where = {"_id": {"$in": list(keys)}}
        found = self._collection.find(where, {"_id": 1}, batch_size=len(keys) + 1)
        with self._timed("find"):
            return {document["_id"] for document in await found.to_list()}

    @answering()
    async def values(
        self, where: Mapping[str, object], *fields: str, count: int = 1_000
    ) -> list[Document]:
        """Only these fields and the keys of what matches; `count` is how many are expected."""
        found = self._collection.find(where, list(fields), batch_size=count + 1)
        with self._timed("find"):
            return await found.to_list()

    @answering()
    async def keys_up_to(self, field: str, most: int, limit: int) -> list[str]:
        """The keys of documents whose field is at most this, the least first."""
        found = self._collection.find({field: {"$lte": most}}, {"_id": 1}, batch_size=limit + 1)
        least = found.sort(field, ASCENDING).limit(limit)
        with self._timed("find"):
            return [document["_id"] for document in await least.to_list()]

    @answering()
    async def newest(self, where: Mapping[str, object], limit: int) -> list[Document]:
        """Those with the greatest keys, the greatest first."""
        found = self._collection.find(where, batch_size=limit + 1).sort("_id", DESCENDING)
        with self._timed("find"):
            return await found.limit(limit).to_list()

    def inserts(self, at_most: int, on_group: OnGroup | None) -> Grouped[Encoded, Outcome]:
        """Where many callers' documents become writes of `at_most`, each document for itself."""
        at_once = _WRITES_AT_ONCE
        return Grouped(self.insert_each, at_most, at_once, on_group, slow_s=_SLOW_WRITE_S)

    @answering()
    async def insert_each(self, documents: Sequence[Encoded]) -> list[Outcome]:
        """Store them in one write, each for itself."""
        try:
            with self._timed("insert_many"):
                await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return _outcomes(error, len(documents))
        return [Outcome.STORED] * len(documents)

    @answering()
    async def upsert_each(self, changes: Sequence[tuple[str, Document]]) -> list[Outcome]:
        """Make these changes to the documents under the keys in one write, each for itself."""
        updates = [UpdateOne({"_id": key}, change, upsert=True) for key, change in changes]
        try:
            with self._timed("bulk_write"):
                await self._collection.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            return _outcomes(error, len(changes))
        return [Outcome.STORED] * len(changes)

    @answering()
    async def replace(self, where: Mapping[str, object], document: Document) -> bool:
        """Whether there was one to replace."""
        with self._timed("replace_one"):
            result = await self._collection.replace_one(where, document)
        return result.matched_count == 1

    @answering()
    async def change(self, where: Mapping[str, object], change: Document) -> bool:
        """Whether there was one to change."""
        with self._timed("update_one"):
            result = await self._collection.update_one(where, change)
        return result.matched_count == 1

    @answering()
    async def upsert(self, where: Mapping[str, object], change: Document) -> None:
        """Change the one that matches, or store it. Raises Duplicate if its key is taken."""
        with self._timed("update_one"):
            await self._collection.update_one(where, change, upsert=True)

    @answering(_INDEX_WITHIN)
    async def create_indexes(self, indexes: Sequence[Index]) -> None:
        """Create those that are not there. Raises Duplicate, where values are not unique."""
        models = [_index_model(index) for index in indexes]
        if models:
            with self._timed("create_indexes"):
                await self._collection.create_indexes(models)

    def _timed(self, operation: str) -> "_Timed":
        return _Timed(self._observer, operation)


class _Timed:
    """Tells an observer what a call of the driver took, and what went wrong."""

    __slots__ = ("_began", "_observer", "_operation")

    def __init__(self, observer: Observer, operation: str) -> None:
        self._observer = observer
        self._operation = operation

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        word = _word_for(error) if error is not None else ""
        self._observer.answered(self._operation, time.perf_counter() - self._began, word)


def encoded(document: Document) -> Encoded:
    """Encode it apart from others, so that one that cannot be stored is its own writer's fault."""
    return RawBSONDocument(bson.encode(document))


def _client(url: str) -> AsyncIOMotorClient[Document]:
    given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
    options = {name: value for name, value in _OPTIONS.items() if name.lower() not in given}
    try:
        return AsyncIOMotorClient(url, **options)
    except InvalidURI:
        # The driver's message may quote a part of the password.
        raise ValueError(
            "expected mongodb://[user:password@]host[:port][/database][?options], special "
            "characters percent-encoded"
        ) from None
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


def _index_model(index: Index) -> IndexModel:
    keys = [(field, ASCENDING) for field in index.fields]
    options: dict[str, Any] = {"unique": index.unique}
    if index.sparse:
        options["sparse"] = True
    if index.expiring:
        options["expireAfterSeconds"] = 0
    return IndexModel(keys, name=index.name, **options)


def _outcomes(error: BulkWriteError, count: int) -> list[Outcome]:
    details = error.details or {}
    unsure = details.get("writeConcernErrors")
    outcomes = [Outcome.UNKNOWN if unsure else Outcome.STORED] * count
    for refusal in details.get("writeErrors", ()):
        outcomes[refusal["index"]] = _refusal(refusal)
    return outcomes


def _refusal(error: Mapping[str, Any]) -> Outcome:
    if error["code"] != _DUPLICATE_KEY:
        return Outcome.UNKNOWN if error["code"] in _NOT_NOW else Outcome.IMPOSSIBLE
    return Outcome.ID_TAKEN if "_id" in error.get("keyPattern", ()) else Outcome.REFUSED


def _word_for(error: BaseException) -> str:
    """What went wrong, for who counts it: nothing where a unique index did what it is for."""
    match error:
        case asyncio.CancelledError():
            return "no_answer"  # whoever asked waits no longer
        case DuplicateKeyError():
            return ""
        case BulkWriteError():
            return "" if _has_duplicates_only(error) else "unavailable"
        case PyMongoError() if isinstance(_meaning(error), Unavailable):
            return "unavailable"
        case _:
            return "refused"


def _has_duplicates_only(error: BulkWriteError) -> bool:
    details = error.details or {}
    refusals = details.get("writeErrors", ())
    known = all(refusal["code"] == _DUPLICATE_KEY for refusal in refusals)
    return known and not details.get("writeConcernErrors")


def _meaning(error: PyMongoError) -> RidewireError:
    if isinstance(error, OperationFailure) and not _may_pass(error):
        return Internal("the store refused a command")
    return Unavailable("the store did not answer")


def _may_pass(error: OperationFailure) -> bool:
    return (
        isinstance(error, ExecutionTimeout | WriteConcernError)
        or error.code in _NOT_NOW
        or error.has_error_label("RetryableWriteError")
    )
