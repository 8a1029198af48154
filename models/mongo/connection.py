"""All stores on one MongoDB, with what a process does with it as a whole."""

from functools import partial
from typing import Final

from models import collections
from models.mongo.conversations import MongoConversations
from models.mongo.driver import Database
from models.mongo.messages import MongoMessages
from models.mongo.receipts import MongoReceipts
from models.mongo.revocations import MongoRevocations
from models.mongo.schema import migrate
from models.mongo.tracks import MongoTracks
from models.mongo.trips import MongoTrips
from models.observing import NOBODY, Observer
from models.stores import Stores

DEFAULT_DATABASE: Final = "ridewire"
DEFAULT_TRACK_DAYS: Final = 90
_PING_WITHIN: Final = 1.0


class MongoStores:
    """The stores, and the connection that they share."""

    def __init__(self, database: Database, track_days: int, observer: Observer = NOBODY) -> None:
        self._database = database
        self.stores = Stores(
            trips=MongoTrips(
                database.collection(collections.TRIPS.name),
                database.collection(collections.PIN_GUARDS.name),
                partial(observer.grouped, "trips"),
            ),
            messages=MongoMessages(
                database.collection(collections.MESSAGES.name),
                partial(observer.grouped, "messages"),
            ),
            conversations=MongoConversations(
                database.collection(collections.CONVERSATIONS.name),
                partial(observer.grouped, "conversations"),
            ),
            receipts=MongoReceipts(
                database.collection(collections.RECEIPTS.name),
                partial(observer.grouped, "receipts"),
            ),
            revocations=MongoRevocations(database.collection(collections.REVOCATIONS.name)),
            tracks=MongoTracks(database.collection(collections.TRACKS.name), track_days),
        )

    async def ping(self) -> None:
        """Whether the primary answers, within about a second. Raises Unavailable."""
        await self._database.ping(_PING_WITHIN)

    async def migrate(self) -> None:
        """Bring the database up to this code's schema; nothing to do costs one read.

        Any number of instances may do so at once. Raises SchemaError (the schema is newer than
        this code, or an index cannot be created) and Unavailable.
        """
        await migrate(self._database)

    async def close(self) -> None:
        await self._database.close()


def connect(
    url: str,
    database: str = DEFAULT_DATABASE,
    observer: Observer = NOBODY,
    *,
    track_days: int = DEFAULT_TRACK_DAYS,
) -> MongoStores:
    """The stores in the database that the URL's path names, or else in this one.

    Options in the URL are respected, but never weaken what the stores promise: majority, journal,
    primary. Nothing is sent before the first call. Raises ValueError for an unusable URL.
    """
    return MongoStores(Database(url, database, observer), track_days, observer)
