"""The schema's version and indexes, brought up to this code's."""

import asyncio
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from models.collections import INDEXED, SCHEMA, SCHEMA_KEY, SCHEMA_VERSION, Collection
from models.errors import Internal
from models.mongo.attempts import pauses
from models.mongo.documents import from_document
from models.mongo.driver import Database, Duplicate

_INDEXES: Final = sha256(msgspec.json.encode(INDEXED)).hexdigest()
"""Changes with every index that is declared; what was created for another one may lack some."""


class SchemaError(Exception):
    """The database cannot be used with this version of the program; the message says why."""


class _Schema(Struct, frozen=True):
    """What a database was brought up to last. As it stands: a new one."""

    version: int = 0
    indexes: str = ""


async def migrate(database: Database) -> None:
    """Create what is missing and note the schema, once everything is there.

    Of indexes that another version of the code declares, none is touched.
    """
    schema = await _read(database)
    if schema == _Schema(SCHEMA_VERSION, _INDEXES):
        return
    for collection in INDEXED:
        await _create_indexes(database, collection)
    await _note(database)
    await _read(database)


async def _read(database: Database) -> _Schema:
    """Raises SchemaError for a newer one than this code can work with."""
    document = await database.collection(SCHEMA.name).get(SCHEMA_KEY)
    schema = from_document(document, _Schema) if document else _Schema()
    if schema.version > SCHEMA_VERSION:
        raise SchemaError(
            f"the database {database.name} has schema version {schema.version}, this program works "
            f"with {SCHEMA_VERSION}: start a newer version of it"
        )
    return schema


async def _create_indexes(database: Database, collection: Collection) -> None:
    try:
        await database.collection(collection.name).create_indexes(collection.indexes)
    except (Duplicate, Internal) as error:
        raise SchemaError(f"no indexes on {collection.name}: {error.__cause__}") from error


async def _note(database: Database) -> None:
    """The version is never lowered: newer code may be doing the same."""
    change = {"$max": {"version": SCHEMA_VERSION}, "$set": {"indexes": _INDEXES}}
    for pause in pauses():
        try:
            await database.collection(SCHEMA.name).upsert({"_id": SCHEMA_KEY}, change)
        except Duplicate:
            await asyncio.sleep(pause)
        else:
            return
