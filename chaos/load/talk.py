"""What is said on a trip: messages in bursts, and how far they were read."""

import asyncio
from random import Random
from typing import Any, Final

from chaos.load.app import App
from chaos.load.backend import Backend
from models.fields import Id, new_id

LONGEST_BURST: Final = 4
BACKEND_SHARE: Final = 0.15
LOOK_BACK_SHARE: Final = 0.2


async def say(app: App, conversation_id: Id) -> bool:
    """One message; whether it was taken."""
    answer = await app.ask("chat:send", _draft(app.user_id, conversation_id))
    if answer["ok"]:
        app.knowledge.seqs(conversation_id).hear(answer["message"]["seq"])
    return bool(answer["ok"])


def _draft(user_id: Id, conversation_id: Id) -> dict[str, str]:
    client_id = new_id()
    text = f"{user_id} says {client_id}"
    return {"conversation_id": conversation_id, "client_id": client_id, "text": text}


async def burst(app: App, conversation_id: Id, size: int) -> None:
    """Several messages, none waiting for the others' answers."""
    await asyncio.gather(*(say(app, conversation_id) for _ in range(size)))


async def read(app: App, conversation_id: Id) -> None:
    """A receipt for everything that is known."""
    seq = app.knowledge.seqs(conversation_id).through
    if seq:
        await app.ask("chat:receipt", {"conversation_id": conversation_id, "read_seq": seq})


async def look_back(app: App, conversation_id: Id, rng: Random) -> None:
    """Read a page of any size, from the end or from anywhere, in either direction."""
    seq = rng.randint(0, app.knowledge.seqs(conversation_id).through)
    wish: dict[str, Any] = rng.choice([{}, {"after_seq": seq}, {"before_seq": seq + 1}])
    limit = rng.choice((1, 3, 50))
    await app.ask("chat:history", {"conversation_id": conversation_id, "limit": limit, **wish})


class Talk:
    """Whoever is on a trip writes now and then, its rider first, and the back end, too."""

    def __init__(self, rider: App, backend: Backend, rng: Random, pace_s: float) -> None:
        self._rider = rider
        self._backend = backend
        self._talkers = [rider]
        self._rng = rng
        self._pace_s = pace_s
        self._stopping = False

    def join(self, app: App) -> None:
        if app not in self._talkers:
            self._talkers.append(app)

    def leave(self, app: App) -> None:
        """It may write once more: whether that is refused is the server's to say."""
        if app in self._talkers:
            self._talkers.remove(app)

    def stop(self) -> None:
        self._stopping = True

    async def run(self, trip_id: Id) -> None:
        """Until it is stopped, and once more after that: the conversation is open still."""
        while not self._stopping:
            await asyncio.sleep(self._pace_s * self._rng.uniform(0.3, 1.2))
            await self._turn(trip_id)
        await burst(self._rider, trip_id, 1)

    async def _turn(self, trip_id: Id) -> None:
        if self._rng.random() < BACKEND_SHARE:
            await self._backend.ask("chat:send", _draft(self._backend.life.user_id, trip_id))
        app = self._rng.choice(self._talkers)
        await burst(app, trip_id, self._rng.randint(1, LONGEST_BURST))
        listener = self._rng.choice(self._talkers)
        if self._rng.random() < LOOK_BACK_SHARE:
            await look_back(listener, trip_id, self._rng)
        if listener.account.role != "agent":
            await read(listener, trip_id)
