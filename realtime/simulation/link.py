"""An app's connection: asks until it is answered, and comes back when it was cut off."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
import socketio
from aiohttp import ClientSession
from msgspec import Struct

from handlers.answers import SessionReady
from models.facts import SessionEnded
from models.fields import Id
from models.identity import Role
from realtime.simulation.calls import RETRY_MS, Call, Command, Interrupted, Refusal, Refused
from realtime.simulation.tally import Tally

PATIENCE_S: Final = 30.0
"""How long a command is asked for before it is given up."""
ANSWER_S: Final = 10.0
CONNECT_S: Final = 5

T = TypeVar("T")


class CannotConnect(Exception):
    """The server does not let a client in. The message says where and why."""


class CommandFailed(Exception):
    """A command was refused for good, or not answered in time. It is in the tally already."""


class Account(Struct, frozen=True):
    """Whose app it is and how it connects; `mint` makes a fresh token."""

    url: str
    role: Role
    user_id: Id
    msgpack: bool
    mint: Callable[[Role, Id], str]


class Link:
    """python-socketio's own client over WebSocket. It reconnects by itself, as in an app."""

    def __init__(self, account: Account, tally: Tally, http: ClientSession) -> None:
        self.on_begin: Callable[[SessionReady], object] = _ignore
        """What to do when a session begins: its commands come after this."""
        self.on_gone: Callable[[], object] = _ignore
        self._account = account
        self._tally = tally
        self._ready = asyncio.Event()
        self._calls: set[Call[Any]] = set()
        self._sessions = 0
        self._refusal = "no Ridewire answers there"
        self._is_closing = False
        self._socket = socketio.AsyncClient(
            serializer="msgpack" if account.msgpack else "default",
            http_session=http,
            handle_sigint=False,
        )
        self._socket.on("disconnect", self._disconnected)
        self._socket.on("connect_error", self._not_let_in)
        self.on("session:ready", SessionReady, self._begin)
        self.on(SessionEnded.event, SessionEnded, self._ended)

    @property
    def user_id(self) -> Id:
        return self._account.user_id

    @property
    def is_up(self) -> bool:
        return self._ready.is_set()

    def on(self, event: str, kind: type[T], handle: Callable[[T], object]) -> None:
        """Have an event's payload read as what it has to be, and handled."""

        def take(payload: object = None) -> None:
            try:
                fact = msgspec.convert(payload, kind)
            except msgspec.ValidationError as error:
                self._tally.errors[f"{event} is malformed: {error}"] += 1
            else:
                handle(fact)

        self._socket.on(event, take)

    async def open(self, within_s: float) -> None:
        """Connect, and wait for `session:ready`. Raises CannotConnect."""
        try:
            async with asyncio.timeout(within_s):
                await self._connect()
                await self._ready.wait()
        except TimeoutError:
            raise CannotConnect(f"{self._account.url}: {self._refusal}") from None
        self._tally.connections += 1

    async def close(self) -> None:
        self._is_closing = True
        await self._socket.shutdown()

    async def ask(
        self, command: Command, kind: type[T], note: Callable[[T], object] | None = None
    ) -> T:
        """Have a command done, on this connection or the next ones; its answer.

        `note` sees the answer in its place among the events. Raises CommandFailed.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._ask_until_done(command, kind, note)
        except TimeoutError:
            raise self._failed(f"{command.event}: not done within {PATIENCE_S:g} s") from None
        except msgspec.ValidationError as error:
            raise self._failed(f"{command.event}: malformed answer, {error}") from None

    async def emit(self, event: str, payload: object, answered: Callable[[object], object]) -> bool:
        """Hand an event to the connection, once; False when there is none."""
        try:
            await self._socket.emit(event, payload, callback=answered)
        except socketio.exceptions.BadNamespaceError:
            return False
        return True

    async def _connect(self) -> None:
        """Try until it is there; from then on the library itself keeps to it."""
        while True:
            try:
                await self._socket.connect(
                    self._account.url,
                    auth=self._auth,
                    transports=["websocket"],
                    wait_timeout=CONNECT_S,
                )
            except socketio.exceptions.ConnectionError:
                await asyncio.sleep(RETRY_MS / 1000)
            else:
                return

    def _auth(self) -> dict[str, str]:
        account = self._account
        token = account.mint(account.role, account.user_id)
        return {"token": token, "device": account.user_id, "client": "ridewire-simulation"}

    def _not_let_in(self, reason: object = None) -> None:
        if isinstance(reason, dict) and "message" in reason:
            self._refusal = f"the server refuses the simulation's tokens, {reason['message']}"

    def _begin(self, ready: SessionReady) -> None:
        self._sessions += 1
        self._tally.reconnections += self._sessions > 1
        self._ready.set()
        self.on_begin(ready)

    def _ended(self, ended: SessionEnded) -> None:
        if not self._is_closing:
            kind = self._tally.put_off if ended.retry else self._tally.errors
            kind[f"session:ended {ended.code}"] += 1

    def _disconnected(self, _reason: str) -> None:
        self._ready.clear()
        for call in self._calls:
            call.interrupt()
        self.on_gone()

    async def _ask_until_done(
        self, command: Command, kind: type[T], note: Callable[[T], object] | None
    ) -> T:
        while True:
            try:
                return await self._make(Call(command, kind, note))
            except Interrupted:
                await asyncio.sleep(RETRY_MS / 1000)
            except Refused as refused:
                await self._take_refusal(command.event, refused.refusal)
            except TimeoutError:
                self._tally.errors[f"{command.event}: no answer within {ANSWER_S:g} s"] += 1

    async def _make(self, call: Call[T]) -> T:
        await self._ready.wait()
        self._calls.add(call)
        try:
            if not await self.emit(call.event, call.payload, call.take):
                call.interrupt()
            return await call.result(ANSWER_S)
        finally:
            self._calls.discard(call)

    async def _take_refusal(self, event: str, refusal: Refusal) -> None:
        if not refusal.retry:
            raise self._failed(f"{event}: {refusal.code}")
        self._tally.put_off[f"{event}: {refusal.code}"] += 1
        await asyncio.sleep(refusal.retry_after_ms / 1000)

    def _failed(self, error: str) -> CommandFailed:
        self._tally.errors[error] += 1
        return CommandFailed(error)


def _ignore(*_: object) -> None:
    pass
