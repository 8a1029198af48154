"""The schema's version and indexes, brought up to this code's."""

import asyncio

from models.collections import INDEXED, SCHEMA, SCHEMA_KEY, SCHEMA_VERSION, Collection
from models.errors import Internal
from models.mongo.attempts import pauses
from models.mongo.driver import Database, Duplicate


class SchemaError(Exception):
    """The database cannot be used with this version of the program; the message says why."""


async def migrate(database: Database) -> None:
    """Create what is missing and record the version, once everything is there."""
    if await _version(database) == SCHEMA_VERSION:
        return
    for collection in INDEXED:
        await _create_indexes(database, collection)
    await _record_version(database)
    await _version(database)


async def _version(database: Database) -> int:
    """0 for a new database. Raises SchemaError for a newer one than this code can work with."""
    document = await database.collection(SCHEMA.name).get(SCHEMA_KEY)
    version: int = document["version"] if document else 0
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"the database {database.name} has schema version {version}, this program works with "
            f"{SCHEMA_VERSION}: start a newer version of it"
        )
    return version


async def _create_indexes(database: Database, collection: Collection) -> None:
    try:
        await database.collection(collection.name).create_indexes(collection.indexes)
    except (Duplicate, Internal) as error:
        raise SchemaError(f"no indexes on {collection.name}: {error.__cause__}") from error


async def _record_version(database: Database) -> None:
    """Never lowered: newer code may be doing the same."""
    for pause in pauses():
        try:
            await database.collection(SCHEMA.name).upsert(
                {"_id": SCHEMA_KEY}, {"$max": {"version": SCHEMA_VERSION}}
            )
        except Duplicate:
            await asyncio.sleep(pause)
        else:
            return
