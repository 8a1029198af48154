"""The company's backend: offers requested trips to drivers, over one connection."""

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import ClientSession

from handlers.answers import TripIs
from models.commands import TripOffer, TripUpdate
from models.fields import Id
from models.trips import Status, Trip
from realtime.simulation.link import Account, CommandFailed, Link
from realtime.simulation.tally import Tally

OFFER_MS: Final = 60_000
AT_ONCE: Final = 4
"""Commands on their way. More would wait at the server, which does a connection's one by one."""


class Dispatcher:
    def __init__(self, account: Account, tally: Tally, http: ClientSession) -> None:
        self.link = Link(account, tally, http)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def offer(self, trip_id: Id, driver_id: Id) -> Trip:
        """The trip with the offer. Raises CommandFailed."""
        async with self._turns:
            return (await self.link.ask(TripOffer(trip_id, driver_id, OFFER_MS), TripIs)).trip

    async def cancel(self, trip_id: Id) -> None:
        """Leave no trip behind, if the server takes it."""
        cancel = TripUpdate(trip_id, Status.CANCELLED, reason="simulation")
        async with self._turns:
            with suppress(CommandFailed):
                await self.link.ask(cancel, TripIs)
