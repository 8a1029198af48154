"""A server that is broken on purpose, in one way or several.

    python -m chaos.broken_server NAME…

does what `python -m realtime serve` does, with a function or two replaced for each. What a server
does wrong then, the checks have to see: `chaos.breakages` says which of them.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Final

from msgspec.structs import replace

from handlers import access, chat, snapshots, threads
from handlers.served import ServedTrips
from handlers.sessions import SessionHandler
from handlers.tracks import TrackKeeper
from models.collections import INDEXED, MESSAGES
from models.filter import Filter
from models.mongo import schema
from models.mongo.driver import Outcome
from models.mongo.messages import MongoMessages
from models.mongo.receipts import MongoReceipts
from models.mongo.trips import MongoTrips
from models.trips import Relation, Trip
from realtime import catching_up, drivers
from realtime.__main__ import main as serve
from realtime.bus import Bus
from realtime.connection import Connection
from realtime.drivers import RedisDrivers
from realtime.feeds import VERSIONS, Member, TripFeed
from realtime.following import FollowingService
from realtime.repair import Repair
from realtime.sequence import Sequence as Numbered
from realtime.track_stream import Entry, TrackStream

LATE_S: Final = 1.0
"""How much later something is stored that was answered already."""
SLOW: Final = 0.01
"""The part of all answers that comes late."""
SLOW_S: Final = 8.0
LOST: Final = 0.4
"""The part of all publications that is lost."""

Whatever = Any
"""What is replaced is passed on as it comes."""


def put(place: object, name: str, broken: object) -> None:
    """Replace something that has to be there."""
    getattr(place, name)
    setattr(place, name, broken)


def publish_dropped() -> None:
    put(Bus, "publish", lambda *_of, **_how: None)
    sweep_never()


def sweep_off() -> None:
    lose_publications()
    sweep_never()


def repair_off() -> None:
    lose_publications()
    put(Repair, "fill_gap", lambda *_of: None)


def ack_before_commit() -> None:
    put(MongoMessages, "_insert", later(MongoMessages._insert, Outcome.STORED))


def transition_before_commit() -> None:
    put(MongoTrips, "replace", later(MongoTrips.replace, True))


def receipts_forgotten() -> None:
    async def advance(_self: Whatever, _conversation: str, _user: str, read: Whatever) -> Whatever:
        return read

    put(MongoReceipts, "advance", advance)


def duplicate_filter_off() -> None:
    indexes = tuple(replace(index, unique=False) for index in MESSAGES.indexes)
    without = tuple(
        replace(each, indexes=indexes) if each is MESSAGES else each for each in INDEXED
    )
    put(schema, "INDEXED", without)


def told_again() -> None:
    def release(self: Member) -> None:
        usual(self)
        self.heard = [0, 0]

    def tell(self: Member, stream: int, _number: int, event: Whatever) -> None:
        if stream == VERSIONS or self.talks:
            self.connection.send(event)
            self.connection.send(event)

    usual = Member.release
    put(Member, "release", release)
    put(Member, "tell", tell)


def order_off() -> None:
    def take(self: Whatever, number: int, item: Whatever) -> list[tuple[int, Whatever]]:
        self.newest = max(self.newest or 0, number)
        return [(number, item)]

    put(Numbered, "take", take)
    lose_publications()


def newest_wins_off() -> None:
    def is_news(self: TripFeed, driver_id: str, _ts: int) -> bool:
        return driver_id == self.driver_id and self.is_served

    put(TripFeed, "_is_news", is_news)
    put(Filter, "_is_no_news", lambda *_of: None)


def points_forgotten() -> None:
    usual = RedisDrivers.saw
    put(RedisDrivers, "saw", lambda self, sighting, *_points: usual(self, sighting))


def lists_cut_short() -> None:
    def saw(self: RedisDrivers, sighting: Whatever, points: Sequence[Whatever] = ()) -> None:
        usual(self, sighting, points[-1:])

    usual = RedisDrivers.saw
    put(RedisDrivers, "saw", saw)


def points_answered_early() -> None:
    put(RedisDrivers, "is_safe", lambda *_of: True)
    put(drivers, "FLUSH_S", LATE_S)


def points_taken_out_early() -> None:
    async def take(self: TrackStream, at_most: int) -> list[Entry]:
        taken = await usual(self, at_most)
        await self.remove(taken)
        return taken

    async def keep_later(self: TrackKeeper, waiting: Whatever) -> int:
        await asyncio.sleep(4 * LATE_S)  # most of the time: it is to be killed meanwhile
        return await keep(self, waiting)

    usual, keep = TrackStream.take, TrackKeeper.keep
    put(TrackStream, "take", take)
    put(TrackKeeper, "keep", keep_later)


def trips_read_once() -> None:
    async def catch_up(_self: ServedTrips) -> None: ...

    put(ServedTrips, "catch_up", catch_up)


def strangers_let_in() -> None:
    def require(relation: Relation | None, *_of: str) -> Relation:
        return relation or Relation.RIDER

    put(access, "require_relation", require)


def off_the_trip() -> None:
    put(Member, "is_stranger", property(lambda _self: False))
    put(TripFeed, "_concerns", lambda *_of: True)


def answered_twice() -> None:
    def answer_twice(self: Connection, ack_id: int | None, answer: object) -> None:
        usual(self, ack_id, answer)
        usual(self, ack_id, answer)

    usual = Connection.answer
    put(Connection, "answer", answer_twice)


def pin_shown() -> None:
    put(Trip, "for_driver", lambda trip: trip)


def told_after_the_end() -> None:
    def is_news(self: TripFeed, driver_id: str, ts: int) -> bool:
        return driver_id == self.driver_id and ts > self.signal.ts

    put(TripFeed, "_is_news", is_news)
    put(TripFeed, "is_served", property(lambda _self: True))


def read_from_the_start() -> None:
    for module in (threads, snapshots, catching_up):
        put(module, "chat_after", lambda *_of: 0)


def pages_cut_short() -> None:
    def window(*arguments: Whatever) -> tuple[int, int]:
        after, up_to = usual(*arguments)
        return after, max(after, up_to - 1)

    usual = chat._window
    put(chat, "_window", window)


def sessions_begin_empty() -> None:
    put(SessionHandler, "_is_current", lambda *_of: False)


def answers_late() -> None:
    chance = Random(1)  # noqa: S311 - any will do

    def answer(self: Connection, ack_id: int | None, said: object) -> None:
        if chance.random() < SLOW:
            asyncio.get_running_loop().call_later(SLOW_S, usual, self, ack_id, said)
        else:
            usual(self, ack_id, said)

    usual = Connection.answer
    put(Connection, "answer", answer)


def lose_publications() -> None:
    chance = Random(1)  # noqa: S311 - any will do
    usual = Bus.publish

    def publish(self: Bus, channel: str, message: bytes, *, echo: bool = False) -> None:
        if chance.random() > LOST:
            usual(self, channel, message, echo=echo)

    put(Bus, "publish", publish)


def sweep_never() -> None:
    async def sweep(*_of: object) -> None: ...

    put(FollowingService, "sweep", sweep)


def later(
    work: Callable[..., Awaitable[object]], answer: object
) -> Callable[..., Awaitable[object]]:
    """Say at once that it is done, and do it after a while."""
    under_way: set[asyncio.Task[None]] = set()

    async def wait_and_work(arguments: Sequence[object]) -> None:
        await asyncio.sleep(LATE_S)
        await work(*arguments)

    async def answer_first(*arguments: object) -> object:
        task = asyncio.create_task(wait_and_work(arguments))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        return answer

    return answer_first


if __name__ == "__main__":
    for breakage in sys.argv[1:]:
        globals()[breakage.replace("-", "_")]()
    sys.exit(serve(["serve"]))
