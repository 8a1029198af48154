"""What feeds have missed, read from MongoDB and delivered in order: Redis is never the truth."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, repeat
from typing import Final

from models import stores
from models.commands import MAX_PAGE
from models.errors import Unavailable
from realtime.feeds import Feed, Member, TripFeed
from realtime.tasks import Tasks
from realtime.wire import Encoded

REORDERING_S: Final = 0.05
"""How long a fact may be overtaken by its successor before the gap is filled by reading."""
CHECKS_AT_ONCE: Final = 8
_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0)


def pauses() -> Iterator[float]:
    """Seconds between attempts while a store is away, without end."""
    return chain(_RETRY_S, repeat(_RETRY_S[-1]))


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

    def fill_gap(self, feed: Feed) -> None:
        """Read what a feed misses, where something that came shows that it does."""
        if feed.has_gap and feed not in self._repairing:
            self._repairing.add(feed)
            self._tasks.start(self._repair(feed))

    async def check(self, feeds: Iterable[Feed]) -> None:
        """Compare feeds with what is stored, a few at a time, after anything may be missed."""
        turns = asyncio.Semaphore(CHECKS_AT_ONCE)

        async def check(feed: Feed) -> None:
            async with turns:
                with suppress(Unavailable):
                    await self._check(feed)

        await asyncio.gather(*(check(feed) for feed in feeds))

    async def _repair(self, feed: Feed) -> None:
        await asyncio.sleep(REORDERING_S)
        try:
            for pause in pauses():
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
            await self._read_page(feed, known or 0)

    async def _read_page(self, feed: Feed, after: int) -> None:
        chat_id = feed.conversation_id
        for message in await self._messages.between(chat_id, after, after + MAX_PAGE):
            feed.take_message(message.seq, message, Encoded(message.event, message))

    async def _read_trip(self, feed: TripFeed) -> None:
        record = await self._trips.get(feed.trip_id)
        if record is not None:
            self._tend(feed, feed.know(record.trip))

    async def _check(self, feed: Feed) -> None:
        if isinstance(feed, TripFeed):
            await self._read_trip(feed)
        if feed.seqs.newest is not None:
            feed.start_messages(await self._messages.newest_seq(feed.conversation_id))
            self.fill_gap(feed)
