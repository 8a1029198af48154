"""A company's own back end: commands over HTTP, sent again until they are answered."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import ClientSession
from msgspec import Struct

from chaos.load.record import Answer, Attempt, Command, Life, What, now
from models.fields import Id
from models.identity import Role

ANSWER_S: Final = 10.0
PAUSE_S: Final = 0.3


class Route(Struct, frozen=True):
    """Where a command goes, which of its fields the path has, and what the answer is called."""

    method: str
    path: str
    answered: str
    in_path: str = ""


ROUTES: Final = {
    "trip:create": Route("POST", "/v1/trips", "trip"),
    "trip:offer": Route("POST", "/v1/trips/{}/offer", "trip", "trip_id"),
    "trip:update": Route("POST", "/v1/trips/{}/status", "trip", "trip_id"),
    "trip:get": Route("GET", "/v1/trips/{}", "trip", "trip_id"),
    "chat:send": Route("POST", "/v1/conversations/{}/messages", "message", "conversation_id"),
}


class Backend:
    """One service with a token; each attempt goes to the next instance."""

    def __init__(
        self,
        user_id: Id,
        token: str,
        urls: Sequence[str],
        http: ClientSession,
        *,
        rng: Random,
        count: Callable[[], None],
    ) -> None:
        self.life = Life(Role.SERVICE, user_id)
        self._token = token
        self._urls = itertools.cycle(urls)
        self._http = http
        self._rng = rng
        self._count = count

    async def ask(self, event: str, payload: dict[str, Any]) -> Answer:
        """As `App.ask`."""
        command = Command(event, payload)
        self.life.commands.append(command)
        while True:
            answer = await self._attempt(command)
            if answer is not None and (answer["ok"] or not answer["error"]["retry"]):
                return answer
            await asyncio.sleep(PAUSE_S * self._rng.uniform(1, 2))

    async def _attempt(self, command: Command) -> Answer | None:
        """The answer; None where none came."""
        url = next(self._urls)
        session = self.life.begin(url)
        session.note(What.SENT, command.event, command.payload, 1)
        attempt = Attempt(session.number, now())
        command.attempts.append(attempt)
        with suppress(aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError):
            async with asyncio.timeout(ANSWER_S):
                attempt.answer = await self._request(url, command)
            attempt.answered_at = now()
            session.note(What.ANSWERED, command.event, attempt.answer, 1)
            self._count()
        session.end()
        return attempt.answer

    async def _request(self, url: str, command: Command) -> Answer:
        route = ROUTES[command.event]
        payload = dict(command.payload)
        path = route.path.format(payload.pop(route.in_path, ""))
        headers = {"Authorization": f"Bearer {self._token}"}
        if "client_id" in payload:
            headers["Idempotency-Key"] = payload.pop("client_id")
        body = payload if route.method == "POST" else None
        async with self._http.request(
            route.method, url + path, json=body, headers=headers
        ) as response:
            content = msgspec.json.decode(await response.read())
            if response.status < 300:
                return {"ok": True, route.answered: content}
            return {"ok": False, **content}
