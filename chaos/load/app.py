"""A well-written app: asks until it is answered, comes back when cut off, and catches up."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, ClientWSTimeout, WSMsgType
from msgspec import Struct

from chaos.load import wire
from chaos.load.knowledge import Knowledge, KnownTrip, Ledger
from chaos.load.record import Answer, Attempt, Command, Life, Session, What, now
from handlers.answers import History, SessionReady
from models.fields import Id
from models.identity import Role
from models.messages import Message
from models.trips import Trip, WatchedTrip

CONNECT_S: Final = 5.0
CLOSE_S: Final = 0.2
ANSWER_S: Final = 10.0
"""After which an app takes the connection for dead, and opens another."""
QUIET_S: Final = 8.0
"""After which an app that heard nothing looks whether anybody is there."""
BACKOFF_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0)
PAGE: Final = 200


class Interrupted(Exception):
    """The connection has ended; whether the command was done is not known."""


class Account(Struct, frozen=True):
    """Whose app it is, where it connects (the first way first) and with what."""

    role: Role
    user_id: Id
    token: str
    ways: Sequence[Callable[[], str]]
    msgpack: bool = False
    trips: Sequence[Id] = ()
    """Of a viewer: those that the token is for."""


class Shown(Struct):
    """Of a snapshot, what the app goes on from besides the trip."""

    messages: list[Message]
    last_seq: int
    has_more: bool


class App:
    """One client. What happens to it is in `life`, what it makes of it in `knowledge`."""

    def __init__(
        self,
        account: Account,
        ledger: Ledger,
        http: ClientSession,
        rng: Random,
        count: Callable[[], None],
    ) -> None:
        """`count` is told of every command that was answered."""
        self.account = account
        self.life = Life(account.role, account.user_id, account.trips)
        self.knowledge = Knowledge(account.role, account.user_id, ledger)
        self.news = asyncio.Condition()
        self._http = http
        self._rng = rng
        self._count = count
        self._parser: wire.Parser = wire.Msgpack() if account.msgpack else wire.Json()
        self._acks = itertools.count(1)
        self._awaited: dict[int, asyncio.Future[Answer]] = {}
        self._socket: ClientWebSocketResponse | None = None
        self._session = Session(0, "")
        self._ready = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._back_in_s = 0.0
        self._heard_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def user_id(self) -> Id:
        return self.account.user_id

    @property
    def is_up_to_date(self) -> bool:
        """Whether it is connected, and has caught up since."""
        return self._caught_up.is_set()

    @property
    def state(self) -> str:
        """In words, how far it is with its newest connection."""
        session = self._session
        if session.is_over or not session.number:
            return f"not connected after connection {session.number}"
        how = "is catching up" if session.is_ready else "was not told that it begins"
        return f"connection {session.number} {how} for {now() - session.began_at:.1f} s"

    @property
    def waits(self) -> bool:
        """Whether there is a command without an answer."""
        return bool(self._awaited)

    async def run(self) -> None:
        """Stay connected until cancelled, here or there."""
        failures = 0
        for way in itertools.cycle(self.account.ways):
            self._back_in_s = 0.0
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._live(way())
            failures = 0 if self._session.is_ready else failures + 1
            pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            await asyncio.sleep(self._back_in_s or pause * self._rng.uniform(0.5, 1.5))

    async def ask(self, event: str, payload: dict[str, Any]) -> Answer:
        """Have a command done, or refused for good, however long that takes.

        After a new connection it waits until the app has caught up.
        """
        command = self._note_command(event, payload)
        while True:
            await self._caught_up.wait()
            with suppress(Interrupted):
                answer = await self._ask_once(command)
                if answer["ok"] or not answer["error"]["retry"]:
                    return answer
                wait_s = answer["error"].get("retry_after_ms", 300) / 1000
                await asyncio.sleep(wait_s * self._rng.uniform(1, 1.5))

    async def try_once(self, event: str, payload: Any) -> Answer | None:  # noqa: ANN401
        """Ask for what is worth having now or never; None where no answer came."""
        if not self._ready.is_set():
            return None
        with suppress(Interrupted):
            return await self._ask_once(Command(event, payload))
        return None

    async def subscribe(self, trip_id: Id) -> bool:
        """Have a trip on the screen; False where it is nothing to the app."""
        known = self.knowledge.trip(trip_id)
        answer = await self.ask("trip:subscribe", self._subscription(known))
        if answer["ok"] and self._take_snapshot(known, answer, watch=True):
            await self.read_on(trip_id)
        return bool(answer["ok"])

    async def read_on(self, conversation_id: Id) -> None:
        """Read the messages that follow those that are known."""
        has_more = True
        while has_more:
            after = self.knowledge.seqs(conversation_id).through
            wanted = {"conversation_id": conversation_id, "after_seq": after, "limit": PAGE}
            answer = await self.ask("chat:history", wanted)
            if not answer["ok"]:
                return
            has_more = self._take_history(conversation_id, answer)

    async def read_back(self, conversations: int) -> None:
        """Read its last so many conversations from the beginning, as for a look at them."""
        for conversation_id in list(self.knowledge.talks)[-conversations:]:
            wish = {"conversation_id": conversation_id, "after_seq": 0, "limit": PAGE}
            await self.ask("chat:history", wish)

    async def knows(self, is_known: Callable[[Knowledge], bool], within_s: float) -> bool:
        """Wait until the app knows something; whether it did in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s), self.news:
                await self.news.wait_for(lambda: is_known(self.knowledge))
                return True
        return False

    async def close(self) -> None:
        """Cancels what is under way; `run` is the caller's to cancel."""
        for task in self._tasks:
            task.cancel()
        if self._socket is not None:
            await self._socket.close()

    def learn_trip(self, answer: Answer) -> Trip:
        """Take a trip from an answer."""
        trip = msgspec.convert(answer["trip"], Trip)
        self.knowledge.learn_trip(trip)
        self._read_unread()
        return trip

    def _note_command(self, event: str, payload: dict[str, Any]) -> Command:
        command = Command(event, payload)
        self.life.commands.append(command)
        return command

    async def _live(self, url: str) -> None:
        """One connection, to its end."""
        self._session = session = self.life.begin(url)
        self._heard_at = time.monotonic()
        address = url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
        try:
            async with asyncio.timeout(CONNECT_S):
                self._socket = socket = await self._http.ws_connect(
                    address, max_msg_size=0, timeout=ClientWSTimeout(ws_close=CLOSE_S)
                )
            watching = asyncio.create_task(self._watch(socket))
            try:
                await self._read(socket, session)
            finally:
                watching.cancel()
                await socket.close()
        finally:
            self._end(session)

    async def _read(self, socket: ClientWebSocketResponse, session: Session) -> None:
        async for frame in socket:
            self._heard_at = time.monotonic()
            if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            if frame.data == wire.PING:
                await socket.send_str(wire.PONG)
            elif isinstance(frame.data, str) and frame.data.startswith(wire.OPEN):
                account = self.account
                auth = {"token": account.token, "device": account.user_id, "client": "chaos"}
                await self._send(self._parser.connect(auth))
            elif not await self._take(session, self._parser.read(frame.data)):
                return

    async def _take(self, session: Session, packet: wire.Packet) -> bool:
        """Note and handle a packet; False for one that ends the connection."""
        if packet.kind == wire.ACK:
            session.note(What.ANSWERED, "", packet.data, packet.ack)
            self._take_answer(packet)
        elif packet.kind == wire.EVENT:
            session.note(What.HEARD, packet.name, packet.data)
            self._hear(session, packet.name, packet.data)
        elif packet.kind == wire.CONNECT_ERROR:
            session.note(What.REFUSED, "", packet.data)
        async with self.news:
            self.news.notify_all()
        return packet.kind not in (wire.CONNECT_ERROR, wire.DISCONNECT)

    def _take_answer(self, packet: wire.Packet) -> None:
        awaited = self._awaited.pop(packet.ack or 0, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(packet.data)

    def _hear(self, session: Session, name: str, payload: Any) -> None:  # noqa: ANN401
        if name == "trip:status":
            self.knowledge.hear_status(payload)
            self._read_unread()
        elif name == "chat:message":
            self.knowledge.hear_message(msgspec.convert(payload, Message))
        elif name == "session:ready":
            self._begin(session, msgspec.convert(payload, SessionReady))
        elif name == "session:ended":
            self._back_in_s = payload.get("retry_in_ms", 0) / 1000

    def _read_unread(self) -> None:
        unread, self.knowledge.unread = self.knowledge.unread, []
        for trip_id in unread:
            self._start(self.read_on(trip_id))

    def _begin(self, session: Session, ready: SessionReady) -> None:
        session.is_ready = True
        self.knowledge.begin()
        self._ready.set()
        self._start(self._catch_up(session, ready))

    async def _catch_up(self, session: Session, ready: SessionReady) -> None:
        """What docs/protocol.md says under "Starting and catching up"."""
        with suppress(Interrupted):
            for trip in ready.trips:
                self.knowledge.learn_trip(trip)
            self._read_unread()
            unsure = self.knowledge.unsure_of(ready)
            for known in unsure:
                await self._look_again(known)
            asked = {known.id for known in unsure}
            for conversation in ready.conversations:
                if conversation.id not in asked:
                    await self._read_missed(conversation.id, conversation.last_seq)
            for chat_id in self.knowledge.closed_by(ready):
                await self._read_end(chat_id)
            if session is self._session and not session.is_over:
                self._caught_up.set()

    async def _look_again(self, known: KnownTrip) -> None:
        command = self._note_command("trip:subscribe", self._subscription(known))
        answer = await self._ask_patiently(command)
        if not answer["ok"]:
            self.knowledge.lost(known.id)
        elif self._take_snapshot(known, answer, watch=known.watches):
            await self._read_to_the_end(known.id)

    async def _read_missed(self, conversation_id: Id, last_seq: int) -> None:
        while self.knowledge.seqs(conversation_id).through < last_seq:
            if not await self._read_page(conversation_id):
                return

    async def _read_end(self, conversation_id: Id) -> None:
        """Of a conversation that was closed meanwhile."""
        await self._read_to_the_end(conversation_id)
        self.knowledge.closed.add(conversation_id)

    async def _read_to_the_end(self, conversation_id: Id) -> None:
        while await self._read_page(conversation_id):
            pass

    async def _read_page(self, conversation_id: Id) -> bool:
        """Whether there is more. Raises Interrupted."""
        after = self.knowledge.seqs(conversation_id).through
        wanted = {"conversation_id": conversation_id, "after_seq": after, "limit": PAGE}
        answer = await self._ask_patiently(self._note_command("chat:history", wanted))
        return bool(answer["ok"]) and self._take_history(conversation_id, answer)

    def _subscription(self, known: KnownTrip) -> dict[str, Any]:
        return {"trip_id": known.id, "after_seq": known.seqs.through}

    def _take_snapshot(self, known: KnownTrip, answer: Answer, *, watch: bool) -> bool:
        """Whether there are more messages to be read."""
        snapshot = msgspec.convert(answer, Shown)
        if self.account.role is Role.VIEWER:
            self.knowledge.learn_trip(msgspec.convert(answer["trip"], WatchedTrip))
        else:
            self.knowledge.learn_trip(msgspec.convert(answer["trip"], Trip))
        known.watches = watch
        if self.account.role is Role.VIEWER or (
            self.account.role is Role.DRIVER and not known.talks
        ):
            return False
        known.talks = True
        up_to = snapshot.messages[-1].seq if snapshot.has_more else snapshot.last_seq
        self.knowledge.read_messages(known.id, snapshot.messages, up_to)
        return snapshot.has_more

    def _take_history(self, conversation_id: Id, answer: Answer) -> bool:
        """Whether there is more."""
        history = msgspec.convert(answer, History)
        up_to = history.messages[-1].seq if history.messages else None
        self.knowledge.read_messages(conversation_id, history.messages, up_to)
        return history.has_more

    async def _ask_patiently(self, command: Command) -> Answer:
        """Ask on this connection until it is done or refused for good. Raises Interrupted."""
        while True:
            answer = await self._ask_once(command)
            if answer["ok"] or not answer["error"]["retry"]:
                return answer
            await asyncio.sleep(self._rng.uniform(0.3, 0.6))

    async def _ask_once(self, command: Command) -> Answer:
        """Raises Interrupted."""
        number, socket = next(self._acks), self._socket
        awaited: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._awaited[number] = awaited
        attempt = Attempt(self._session.number, now())
        command.attempts.append(attempt)
        self._session.note(What.SENT, command.event, command.payload, number)
        try:
            await self._send(self._parser.event(command.event, command.payload, number))
            async with asyncio.timeout(ANSWER_S):
                attempt.answer = await awaited
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            if socket is not None:
                await socket.close()
            await asyncio.sleep(CLOSE_S)
            raise Interrupted from error
        attempt.answered_at = now()
        self._count()
        return attempt.answer

    async def _send(self, frame: wire.Frame) -> None:
        if self._socket is None:
            raise ConnectionResetError
        if isinstance(frame, str):
            await self._socket.send_str(frame)
        else:
            await self._socket.send_bytes(frame)

    async def _watch(self, socket: ClientWebSocketResponse) -> None:
        """Find out when nobody is at the other end any more."""
        while True:
            await asyncio.sleep(1)
            if time.monotonic() - self._heard_at > QUIET_S:
                if not self._ready.is_set():
                    await socket.close()
                    return
                await self.try_once("trip:unsubscribe", {"trip_id": "a-sign-of-life"})

    def _end(self, session: Session) -> None:
        session.end()
        self._ready.clear()
        self._caught_up.clear()
        self._socket = None
        awaited, self._awaited = self._awaited, {}
        for future in awaited.values():
            if not future.done():
                future.set_exception(Interrupted())
                future.exception()  # who asked may have gone

    def _start(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
