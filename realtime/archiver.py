"""Takes points from the stream and has them kept. One runs in every instance; they share the work.

Each entry is looked at twice: as it comes, so that tracks are up to date; and `SETTLE_S` later,
because a trip that had just been accepted may not have been stored the first time. Then it is
removed.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from redis.exceptions import RedisError

from handlers.tracks import TrackKeeper, Waiting
from models.errors import RidewireError, Unavailable
from realtime.counting import Key
from realtime.metrics import Metrics
from realtime.sifting import refused
from realtime.track_stream import AT_ONCE, LEASE_S, Entry, Lag, TrackStream, count_of
from realtime.unsaved import MAX_PORTION

_log = logging.getLogger(__name__)

TICK_S: Final = 0.5
SETTLE_S: Final = 6.0
"""Longer than a command may take, and a write of it, together."""
POINTS_PER_S: Final = 1_000
MAX_GATHER_S: Final = 5.0
"""When there is much to do, it is done less often: more points of a trip are one write."""
RENEW_S: Final = LEASE_S / 4
MAX_HELD: Final = 100_000
"""Points in memory, some 300 bytes each. While there are more, no more are taken."""
CLEAN_S: Final = 600.0


class _Held:
    """An entry that this instance has."""

    __slots__ = ("entry", "kept_before", "looked_at", "size", "waiting")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.size = entry.points
        self.waiting = [Waiting(report) for report in entry.reports if report.points]
        self.looked_at: float | None = None
        """When it was looked at for the first time (loop time)."""
        self.kept_before: int | None = None
        """How many points had ever been kept here, before it was refused for the first time."""

    def refused(self, kept: int) -> int:
        """It was, when so many had been kept; how many that was the first time."""
        if self.kept_before is None:
            self.kept_before = kept
        return self.kept_before


class Archiver:
    def __init__(self, stream: TrackStream, keeper: TrackKeeper, metrics: Metrics) -> None:
        self._stream = stream
        self._keeper = keeper
        self._counts = metrics.track_points.counts
        self._held: dict[str, _Held] = {}
        self._size = 0
        """Points of all that is held."""
        self._lag: Lag | None = None
        """None while nobody knows."""
        self._look_at = self._settled_at = self._cleaned_at = 0.0
        self._away = False
        self._is_refused = False

    @property
    def waiting_points(self) -> Mapping[Key, float]:
        """For the metrics; nothing while Redis does not tell."""
        return {} if self._lag is None else {(): self._lag.points}

    @property
    def waiting_seconds(self) -> Mapping[Key, float]:
        """The same of how long the oldest waits."""
        return {} if self._lag is None else {(): self._lag.seconds}

    async def measure_lag(self) -> None:
        """Ask Redis, whatever else is being waited for."""
        try:
            self._lag = await self._stream.lag()
        except (RedisError, OSError):
            self._lag = None

    async def run(self) -> None:
        """Work until cancelled; what a store's absence interrupts is done when it is back."""
        await asyncio.gather(self._work(), self._renew())

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.turn()
                self._away = False
            except (RidewireError, RedisError, OSError) as error:
                if not self._away:
                    _log.warning("tracks wait for their store: %s", error)
                self._away = True
            except Exception:  # noqa: BLE001 - logged; the next turn may do better
                if not self._away:
                    _log.exception("points could not be put into tracks")
                self._away = True

    async def turn(self) -> None:
        await self._take()
        now = asyncio.get_running_loop().time()
        await self._look(now)
        await self._settle(now)
        await self._clean(now)

    async def _take(self) -> None:
        """Take what there is room for. What cannot be read is put aside at once."""
        while (room := MAX_HELD - self._size) > 0:
            taken = await self._stream.take(max(1, min(AT_ONCE, room // MAX_PORTION)))
            for entry in taken:
                if entry.problem:
                    await self._stream.set_aside(entry, entry.problem)
                    self._note_aside(entry, 1, entry.problem)
                elif entry.id not in self._held:
                    self._held[entry.id] = held = _Held(entry)
                    self._size += held.size
            if not taken:
                return

    async def _renew(self) -> None:
        """Go on having what is held, however long MongoDB takes: others would write it as well."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._stream.renew([held.entry for held in self._held.values()])
            except (RedisError, OSError):
                continue
            except Exception:  # noqa: BLE001 - logged; the next time may do better
                _log.exception("it could not be said that points are being kept here")

    async def _clean(self, now: float) -> None:
        if now - self._cleaned_at >= CLEAN_S:
            await self._stream.forget_consumers()
            self._cleaned_at = now

    async def _look(self, now: float) -> None:
        """The first look at what is new."""
        new = [held for held in self._held.values() if held.looked_at is None]
        if not new or now < self._look_at:
            return
        for held in await self._sift(new):
            held.looked_at = now
        count = sum(held.size for held in new)
        self._look_at = now + min(count / POINTS_PER_S, MAX_GATHER_S)

    async def _settle(self, now: float) -> None:
        """The second look, for many at once: what has changed is read for all of them."""
        if now - self._settled_at < SETTLE_S:
            return
        self._settled_at = now
        due = [h for h in self._held.values() if h.looked_at and h.looked_at <= now - SETTLE_S]
        if due:
            good = await self._sift(due)
            await measured(self._keeper, _waiting(good))
            await self._stream.remove([held.entry for held in good])
            self._let_go(good)

    async def _sift(self, some: Sequence[_Held]) -> Sequence[_Held]:
        """Have them kept, and of each put aside what cannot be; those that are done with.

        Where nothing at all was stored, it is hardly the points' fault: then they wait until
        something is.
        """
        before = self._counts["kept"]
        await self._keeper.catch_up()
        bad = {held: error async for held, error in refused(self._keep_entries, some)}
        hopeless = [held for held in bad if self._counts["kept"] > held.refused(before)]
        is_refusing = len(bad) > len(hopeless)
        if is_refusing and not self._is_refused:
            _log.error("points wait: MongoDB refuses them", exc_info=next(iter(bad.values())))
        self._is_refused = is_refusing
        for held in hopeless:
            await self._part(held)
        return [held for held in some if held not in bad or held in hopeless]

    async def _part(self, held: _Held) -> None:
        """Keep what can be kept of an entry that was refused, and put aside the rest."""
        bad = {each: error async for each, error in refused(self._keep, held.waiting)}
        if not bad:
            return
        error = next(iter(bad.values()))
        why = repr(error.__cause__ or error)
        reports = [each.report for each in bad]
        await self._stream.set_aside_of(held.entry, reports, why)
        self._note_aside(held.entry, count_of(reports), why)
        held.waiting = [each for each in held.waiting if each not in bad]

    async def _keep_entries(self, some: Sequence[_Held]) -> None:
        await self._keep(_waiting(some))

    async def _keep(self, waiting: Sequence[Waiting]) -> None:
        self._counts["kept"] += await self._keeper.keep(waiting)

    def _note_aside(self, entry: Entry, points: int, why: str) -> None:
        _log.error("points are put aside: %s", why, extra={"entry": entry.id})
        self._counts["set_aside"] += points

    def _let_go(self, some: Iterable[_Held]) -> None:
        for held in some:
            del self._held[held.entry.id]
            self._size -= held.size


def _waiting(held: Iterable[_Held]) -> list[Waiting]:
    return list(chain.from_iterable(each.waiting for each in held))


async def measured(keeper: TrackKeeper, waiting: Sequence[Waiting]) -> None:
    """Have the rides measured that have ended. Raises Unavailable."""
    try:
        await keeper.measure(waiting)
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001 - the points are kept, and whoever reads them measures
        _log.exception("rides could not be measured")
