"""What is stored, read directly: every trip, track, message, conversation and receipt."""

import time
from collections import defaultdict

from handlers.measuring import points_of
from models import collections
from models.fields import Id
from models.messages import Conversation, Message, Read
from models.mongo.connection import DEFAULT_DATABASE
from models.mongo.documents import from_document
from models.mongo.driver import Database
from models.mongo.tracks import MongoTracks
from models.mongo.trips import record_of
from models.points import Point
from models.stores import TripRecord
from models.tracks import parts
from models.trips import Trip


class Truth:
    """All that a round has left in MongoDB."""

    def __init__(self) -> None:
        self.trips: dict[Id, TripRecord] = {}
        self.messages: dict[Id, list[Message]] = defaultdict(list)
        """By conversation, in the order of their seq, whatever numbers those are."""
        self.conversations: dict[Id, Conversation] = {}
        self.openings: list[tuple[Id, Id]] = []
        """Who opened each conversation, under which `client_id`."""
        self.receipts: dict[tuple[Id, Id], Read] = {}
        """By conversation and user."""
        self.tracks: dict[tuple[Id, Id], list[Point]] = {}
        """By trip and driver, as whoever asks for the trip's track is told."""

    @classmethod
    async def read(cls, url: str) -> "Truth":
        """Raises Unavailable."""
        database = Database(url, DEFAULT_DATABASE)
        try:
            truth = cls()
            await truth._read(database)
        finally:
            await database.close()
        return truth

    def newest_seq(self, conversation_id: Id) -> int:
        messages = self.messages.get(conversation_id)
        return messages[-1].seq if messages else 0

    async def _read(self, database: Database) -> None:
        async for document in database.collection(collections.TRIPS.name).each():
            record = record_of(document)
            self.trips[record.trip.id] = record
        async for document in database.collection(collections.MESSAGES.name).each():
            message = from_document(document, Message)
            self.messages[message.conversation_id].append(message)
        for messages in self.messages.values():
            messages.sort(key=lambda message: message.seq)
        async for document in database.collection(collections.CONVERSATIONS.name).each():
            conversation = from_document(document, Conversation)
            self.conversations[conversation.id] = conversation
            self.openings.append((conversation.created_by, document["client_id"]))
        async for document in database.collection(collections.RECEIPTS.name).each():
            key = document["conversation_id"], document["user_id"]
            self.receipts[key] = from_document(document, Read)
        tracks = MongoTracks(database.collection(collections.TRACKS.name), keep_days=1)
        for record in self.trips.values():
            await self._read_track(tracks, record.trip)

    async def _read_track(self, tracks: MongoTracks, trip: Trip) -> None:
        newest = time.time_ns() // 1_000_000
        for part in parts(trip):
            into = self.tracks.setdefault((trip.id, part.driver_id), [])
            async for points in points_of(tracks, trip.id, part, newest):
                into += points
