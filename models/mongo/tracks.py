"""Tracks in MongoDB: a document per minute, in chunks as they came, dropped by the store itself."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final

import msgspec

from models.collections import track_key
from models.errors import Internal
from models.mongo.attempts import pauses
from models.mongo.driver import Collection, Document, Outcome, answering
from models.points import Point
from models.tracks import MINUTE_MS, TrackMinute
from models.turns import in_turns

_GROUP: Final = 500
"""Documents in one write at most."""
_DIGEST_BYTES: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_Fix = tuple[int, int, float, float, float | None, float | None, float | None]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[_Fix]).decode


class MongoTracks:
    def __init__(self, collection: Collection, keep_days: int) -> None:
        self._collection = collection
        self._kept_for = timedelta(days=keep_days)

    async def add(self, points: Mapping[TrackMinute, Sequence[Point]]) -> None:
        """Two that store the same minute for the first time collide: the later tries again."""
        changes: list[tuple[str, Document]] = []
        async for of, some in in_turns(points.items(), lambda minute: len(minute[1])):
            changes.append((track_key(of), self._change(of, some)))
            if len(changes) == _GROUP:
                await self._store(changes)
                changes = []
        if changes:
            await self._store(changes)

    async def read(self, minutes: Sequence[TrackMinute]) -> Sequence[Point]:
        found = await self._collection.get_many([track_key(of) for of in minutes])
        fixes = {
            fix
            for document in found
            for chunk in document["chunks"].values()
            for fix in _decode(chunk)
        }
        return [_point(fix) for fix in sorted(fixes, key=_order)]

    def _change(self, of: TrackMinute, points: Sequence[Point]) -> Document:
        chunk = _encode(_fixes(points))
        digest = blake2b(chunk, digest_size=_DIGEST_BYTES).hexdigest()
        forget_at = _EPOCH + timedelta(milliseconds=(of.minute + 1) * MINUTE_MS) + self._kept_for
        return {"$set": {f"chunks.{digest}": chunk}, "$setOnInsert": {"forget_at": forget_at}}

    @answering()
    async def _store(self, changes: Sequence[tuple[str, Document]]) -> None:
        left = changes
        for pause in pauses():
            outcomes = await self._collection.upsert_each(left)
            if Outcome.IMPOSSIBLE in outcomes:
                raise Internal("the store refuses a minute of a track")
            tried = zip(left, outcomes, strict=True)
            left = [change for change, outcome in tried if outcome is not Outcome.STORED]
            if not left:
                return
            await asyncio.sleep(pause)


def _order(fix: _Fix) -> tuple[int, int, float, float]:
    """By time; two phones of a driver may have measured at the same."""
    return fix[:4]


def _fixes(points: Sequence[Point]) -> list[_Fix]:
    return [
        (each.ts, each.seq, each.lat, each.lng, each.heading, each.speed, each.accuracy)
        for each in points
    ]


def _point(fix: _Fix) -> Point:
    ts, seq, lat, lng, heading, speed, accuracy = fix
    return Point(lat, lng, ts, seq, heading, speed, accuracy)
