"""What feeds have missed, read from MongoDB and delivered in order: Redis is never the truth.

A gap in what came, and a comparison of what was delivered with what is stored, lead to the same:
the feed's missing versions and messages are read, and delivered after what it had.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final, TypeVar

from models import stores
from models.commands import MAX_PAGE
from models.errors import Unavailable
from realtime.feeds import Feed, Member, TripFeed
from realtime.patience import pauses
from realtime.tasks import Tasks
from realtime.wire import Encoded

REORDERING_S: Final = 0.05
"""How long a fact may be overtaken by its successor before the gap is filled by reading."""
SEQS_AT_ONCE: Final = 1_000
"""Conversations in one question, of which most have nothing new."""
VERSIONS_AT_ONCE: Final = 32
"""Trips in one question, all of which are found."""
REPAIRS_AT_ONCE: Final = 64

T = TypeVar("T")


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class Repair:
    """One repair per feed at a time; what arrives meanwhile waits in the feed for its turn."""

    def __init__(
        self, kept: stores.Stores, tasks: Tasks, tend: Callable[[Feed, list[Member]], None]
    ) -> None:
        """`tend` is told of a feed that took something, and who came to drive by it."""
        self._trips = kept.trips
        self._messages = kept.messages
        self._tasks = tasks
        self._tend = tend
        self._repairing: set[Feed] = set()
        self._turns = asyncio.Semaphore(REPAIRS_AT_ONCE)

    def fill_gap(self, feed: Feed) -> None:
        """Read what a feed misses, where something that came shows that it does."""
        if feed.has_gap and feed not in self._repairing:
            self._repairing.add(feed)
            self._tasks.start(self._repair(feed))

    def note_version(self, feed: TripFeed, version: int) -> None:
        """The trip is at this version: bring the feed up to it, where it is behind."""
        feed.versions.exists(version)
        self.fill_gap(feed)

    async def compare_versions(self, feeds: Iterable[TripFeed]) -> None:
        """Find the trips that have moved on, and repair their feeds. Raises Unavailable."""
        started = (feed for feed in feeds if feed.versions.newest is not None)
        for batch in _batches(started, VERSIONS_AT_ONCE):
            by_id = {feed.trip_id: feed for feed in batch}
            for trip_id, version in (await self._trips.versions(list(by_id))).items():
                self.note_version(by_id[trip_id], version)

    async def compare_seqs(self, feeds: Iterable[Feed]) -> None:
        """Find the conversations with further messages, and repair. Raises Unavailable."""
        started = (feed for feed in feeds if feed.seqs.newest is not None)
        for batch in _batches(started, SEQS_AT_ONCE):
            by_id = {feed.conversation_id: feed for feed in batch}
            seqs = {chat_id: feed.seqs.newest or 0 for chat_id, feed in by_id.items()}
            for chat_id in await self._messages.continued(seqs):
                by_id[chat_id].seqs.exists(seqs[chat_id] + 1)
                self.fill_gap(by_id[chat_id])

    async def _repair(self, feed: Feed) -> None:
        await asyncio.sleep(REORDERING_S)
        try:
            for pause in pauses():
                async with self._turns:
                    with suppress(Unavailable):
                        await self._read_missing(feed)
                if not (feed.has_gap and feed.members):
                    return
                await asyncio.sleep(pause)
        finally:
            self._repairing.discard(feed)

    async def _read_missing(self, feed: Feed) -> None:
        """Read versions, and messages by pages, while each page brings the feed on."""
        if isinstance(feed, TripFeed) and feed.versions.has_gap:
            await self._read_trip(feed)
        known = None
        while feed.seqs.has_gap and feed.seqs.newest not in (None, known):
            known = feed.seqs.newest
            await self._read_pages(feed, known or 0)

    async def _read_pages(self, feed: Feed, after: int) -> None:
        """Read all that follows; a page that is not full is the last one."""
        chat_id = feed.conversation_id
        while True:
            messages = await self._messages.between(chat_id, after, after + MAX_PAGE)
            if isinstance(feed, TripFeed):
                # First what is there, then who may read it: nobody gets what came after it left.
                await self._read_trip(feed)
            for message in messages:
                feed.take_message(message.seq, message, Encoded(message.event, message))
            if len(messages) < MAX_PAGE:
                return
            after = messages[-1].seq

    async def _read_trip(self, feed: TripFeed) -> None:
        record = await self._trips.get(feed.trip_id)
        if record is not None:
            self._tend(feed, feed.know(record.trip))
