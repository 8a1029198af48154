"""CITY: drivers report once a second, some trips chat, riders come and go.

Two in a hundred riders a second look away for a while, or lose their connection and come back;
those who chat stay, as a message that comes meanwhile would be in the answer to their subscription.
What was under way when they left, or was sent before they were back, need not arrive; everything
that is sent from their subscription's answer on has to. Delays are those of locations.
"""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

from bench.load.cast import Cast, Pair, Trip
from bench.load.client import Client
from bench.load.drive import Drive
from bench.load.metronome import Metronome
from bench.load.record import Record
from bench.load.talk import Voice
from bench.load.together import STRAGGLERS_S, until
from bench.load.window import measured
from bench.shapes import Outcome, Task

_HZ: Final = 1.0
_TALK_EVERY: Final = 10
"""One trip in so many has a chat, with a message a second."""
_LEAVING: Final = 0.02
"""The share of riders that leave in a second."""
_AWAY_S: Final = 1.5


class Talk:
    """A chat in which driver and rider write in turn, one message each time it is told."""

    def __init__(self, pair: Pair, record: Record) -> None:
        trip, self._record, self._turn = pair.trip, record, 0
        self.voices = (
            self._voice(trip, trip.driver_id, pair.driver, pair.rider),
            self._voice(trip, trip.rider_id, pair.rider, pair.driver),
        )

    def say(self, at: float) -> None:
        self.voices[self._turn].say(at)
        self._turn = 1 - self._turn

    def _voice(self, trip: Trip, sender_id: str, sender: Client, reader: Client) -> Voice:
        record = self._record
        return Voice(
            trip.id, sender_id, sender, reader, record, answered=_checked, heard=self._heard
        )

    def _heard(self, _at: float) -> None:
        self._record.events += 1


class Ride:
    """One trip of the city."""

    def __init__(self, pair: Pair, cast: Cast, record: Record, *, talks: bool) -> None:
        self.drive = Drive(pair, record)
        self.talk = Talk(pair, record) if talks else None
        self._trip = pair.trip
        self._rider = pair.rider
        self._cast = cast

    @property
    def missing(self) -> int:
        voices = self.talk.voices if self.talk else ()
        return self.drive.awaited.missing + sum(voice.missing for voice in voices)

    async def look_away(self) -> None:
        """The rider puts the map away, and takes it out again."""
        self.drive.awaited.leave()
        await self._rider.call("trip:unsubscribe", {"trip_id": self._trip.id})
        await asyncio.sleep(_AWAY_S)
        await self._cast.subscribe(self._rider, self._trip)
        self.drive.awaited.come_back()

    async def drop_out(self) -> None:
        """The rider's connection ends, and it opens another."""
        self.drive.awaited.leave()
        self._rider.leave()
        await asyncio.sleep(_AWAY_S)
        self._rider = await self._cast.rider(self._trip)
        self.drive.show(self._rider)
        await self._cast.subscribe(self._rider, self._trip)
        self.drive.awaited.come_back()


class City:
    """All rides on three beats: locations, messages, riders that leave."""

    def __init__(self, rides: Sequence[Ride], locations_per_s: float, record: Record) -> None:
        self._rides = rides
        self._record = record
        self._talks = [ride.talk for ride in rides if ride.talk]
        going = [ride for ride in rides if not ride.talk]
        self._leaving = Random(1).sample(going, len(going))  # noqa: S311 - an order, no secret
        self._errands: set[asyncio.Task[None]] = set()
        self._beats = (
            Metronome(locations_per_s, self._report),
            Metronome(len(self._talks), self._say),
            Metronome(len(rides) * _LEAVING, self._leave),
        )

    async def come_to_rest(self) -> None:
        """Nobody sends or leaves any more, and what is under way arrives, or is missing."""
        for beat in self._beats:
            beat.stop()
        await until(lambda: not (self._errands or self._missing), within_s=STRAGGLERS_S)
        self._record.is_missing("location, message or answer", self._missing)
        self._record.is_missing("rider that did not come back in time", len(self._errands))

    @property
    def _missing(self) -> int:
        return sum(ride.missing for ride in self._rides)

    def _report(self, number: int, at: float) -> None:
        self._rides[number % len(self._rides)].drive.send(at)

    def _say(self, number: int, at: float) -> None:
        self._talks[number % len(self._talks)].say(at)

    def _leave(self, number: int, _at: float) -> None:
        """In turn, by a random order: the same for everybody who is measured."""
        ride = self._leaving[number % len(self._leaving)]
        errand = asyncio.create_task(ride.look_away() if number % 2 else ride.drop_out())
        self._errands.add(errand)
        errand.add_done_callback(self._done)

    def _done(self, errand: asyncio.Task[None]) -> None:
        self._errands.discard(errand)
        if not errand.cancelled() and (error := errand.exception()):
            self._record.is_missing(f"rider that could not come back: {error}")


async def run(task: Task) -> Outcome:
    record = Record()
    cast = Cast(task.target, record)
    pairs = await cast.pairs(task.clients, subscribed=True)
    rides = [Ride(pair, cast, record, talks=pair.trip.number % _TALK_EVERY == 0) for pair in pairs]
    city = City(rides, task.rate or len(rides) * _HZ, record)
    result = await measured(task, record)
    await city.come_to_rest()
    return record.outcome(result.spent, events=result.events, delays=result.delays)


def _checked(_at: float) -> None:
    """An answer was looked at already, and is no delivery."""
