"""A rider's app: requests rides and hears where the driver is."""

import time

from aiohttp import ClientSession

from models.facts import TripLocation
from models.fields import Id
from realtime.simulation.app import App, Snapshot
from realtime.simulation.link import Account
from realtime.simulation.record import RideRecord
from realtime.simulation.relay import Relay
from realtime.simulation.tally import Tally


class RiderApp(App):
    def __init__(self, account: Account, tally: Tally, http: ClientSession) -> None:
        super().__init__(account, tally, http)
        self._relays: dict[Id, Relay] = {}
        self.link.on(TripLocation.event, TripLocation, self._hear_location)

    def begin(self, trip_id: Id, record: RideRecord) -> None:
        super().begin(trip_id, record)
        self._relays[trip_id] = record.relay

    def _hear_location(self, location: TripLocation) -> None:
        relay = self._relays.get(location.trip_id)
        if relay is None:
            self._tally.errors["trip:location of a foreign trip"] += 1
        elif self.journal(location.trip_id).over.is_set():
            relay.after_end += 1
        else:
            relay.hear(location.ts, time.perf_counter())

    def _read_snapshot(self, snapshot: Snapshot) -> None:
        super()._read_snapshot(snapshot)
        relay = self._relays[snapshot.trip.id]
        now = time.perf_counter()
        if snapshot.location is not None:
            relay.read(snapshot.location.ts, now)
        relay.resume("rider", now)

    def _be_offline(self) -> None:
        if self._watching is not None:
            self._relays[self._watching].interrupt("rider", time.perf_counter())
