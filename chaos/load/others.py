"""What goes on beside the rides: support talks, strangers try what they may not."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

from chaos.load import talk
from chaos.load.app import App
from chaos.load.knowledge import Ledger
from models.fields import new_id


class Support:
    """An agent that opens conversations, talks in them, and closes some."""

    def __init__(
        self,
        agent: App,
        customers: Sequence[App],
        rng: Random,
        pace_s: float,
        closing: asyncio.Event,
    ) -> None:
        self._agent = agent
        self._customers = customers
        self._rng = rng
        self._pace_s = pace_s
        self._closing = closing

    async def run(self) -> None:
        while not self._closing.is_set():
            await self._help(self._rng.choice(self._customers))

    async def _help(self, customer: App) -> None:
        participants = [self._agent.user_id, customer.user_id]
        wish = {"client_id": new_id(), "participants": participants, "title": "help"}
        chat_id = (await self._agent.ask("chat:open", wish))["conversation"]["id"]
        both = (self._agent, customer)
        for app in both:
            app.knowledge.seqs(chat_id)  # from now on it has to keep up
        for _ in range(self._rng.randint(3, 8)):
            await asyncio.sleep(self._pace_s * self._rng.uniform(0.3, 1.2))
            app = self._rng.choice(both)
            await talk.burst(app, chat_id, self._rng.randint(1, talk.LONGEST_BURST))
            await talk.read(self._rng.choice(both), chat_id)
            if self._rng.random() < talk.LOOK_BACK_SHARE:
                await talk.look_back(self._rng.choice(both), chat_id, self._rng)
        if self._rng.random() < 0.5:
            await self._agent.ask("chat:close", {"conversation_id": chat_id})
            await talk.say(customer, chat_id)


async def pry(stranger: App, ledger: Ledger, rng: Random, pace_s: float) -> None:
    """Try what is not a stranger's to do, on trips of others; a viewer on its own one, too.

    Until cancelled.
    """
    while True:
        await asyncio.sleep(2 * pace_s * rng.uniform(0.5, 1.5))
        if not ledger.versions:
            continue
        trip_id = rng.choice(list(ledger.versions))
        about: dict[str, Any] = rng.choice(
            [
                {"event": "trip:subscribe", "trip_id": trip_id},
                {"event": "chat:history", "conversation_id": trip_id},
                {"event": "trip:update", "trip_id": trip_id, "status": "cancelled"},
                {"event": "trip:edit", "trip_id": trip_id, "stops": []},
                {"event": "trip:decline", "trip_id": trip_id},
                {
                    "event": "chat:send",
                    "conversation_id": trip_id,
                    "client_id": new_id(),
                    "text": "let me in",
                },
                {"event": "chat:receipt", "conversation_id": trip_id, "read_seq": 1},
            ]
        )
        await stranger.ask(about.pop("event"), about)
