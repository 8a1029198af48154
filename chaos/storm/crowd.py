"""Riders with a trip each, who lose their connections all at once and come back by themselves."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Final

from chaos.storm.phone import Phone
from models.fields import Id, new_id
from models.identity import Role
from realtime.tokens import Tokens

AT_ONCE: Final = 100
"""Trips that are requested at the same time."""
TTL_S: Final = 3_600


class Crowd:
    def __init__(self, url: str, size: int, tokens: Tokens, seed: int) -> None:
        """`url` is where they come to first."""
        rng = Random(seed)  # noqa: S311 - to be repeated, not a secret
        name = new_id()
        self.phones = [
            Phone(url, tokens.mint(Role.RIDER, f"{name}-{n}", ttl_s=TTL_S), Random(rng.random()))  # noqa: S311 - as above
            for n in range(size)
        ]
        self._trips: dict[Phone, Id] = {}

    async def come(self) -> None:
        """Connect all, and wait until they are in."""
        for phone in self.phones:
            phone.come()
        await self.back()

    async def request_trips(self) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def request(phone: Phone) -> None:
            wish = {"client_id": new_id(), "pickup": {"lat": 52.5, "lng": 13.4}}
            async with turns:
                answer = await phone.ask("trip:create", wish)
            self._trips[phone] = answer["trip"]["id"]

        await asyncio.gather(*(request(phone) for phone in self.phones))

    def send_to(self, url: str) -> None:
        """From the next attempt on, as a balancer does when an instance is gone."""
        for phone in self.phones:
            phone.url = url
            phone.is_back.clear()
            phone.busy = 0
            phone.refused.clear()
            phone.failures.clear()

    def cut(self) -> None:
        for phone in self.phones:
            phone.cut()

    async def back(self) -> float:
        """Wait until everybody is in; the seconds that it took."""
        began = time.monotonic()
        await asyncio.gather(*(phone.is_back.wait() for phone in self.phones))
        return time.monotonic() - began

    def leave(self) -> None:
        for phone in self.phones:
            phone.leave()

    @property
    def waits(self) -> Counter[int]:
        """How many were told to wait so many seconds."""
        return Counter(seconds for phone in self.phones for seconds in phone.refused)

    @property
    def busy(self) -> int:
        return sum(phone.busy for phone in self.phones)

    def wrongs(self) -> Iterator[str]:
        """What nobody should meet with: other failures, and a session without one's own trip."""
        for number, phone in enumerate(self.phones):
            yield from (f"phone {number}: {failure}" for failure in phone.failures)
            listed = [trip["id"] for trip in phone.ready.get("trips", ())]
            if listed != [self._trips[phone]]:
                yield f"phone {number} began with the trips {listed}, not {self._trips[phone]}"
