"""A connection to Redis that comes back: bare protocol, commands of one tick in one write."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from secrets import SystemRandom
from typing import Final, cast

import hiredis
from redis.exceptions import RedisError

from realtime.redis_address import RedisAddress

log = logging.getLogger(__name__)
_random: Final = SystemRandom()

# Seconds.
_CONNECT_WITHIN: Final = 5.0
_DRAIN_WITHIN: Final = 1.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0  # what Redis' return may cost of the 5 s in which all have caught up
_STEADY: Final = 5.0  # a connection that lasted longer is opened again at once


class Link:
    """A connection that comes back: opened and made known, and again after every loss."""

    def __init__(
        self,
        address: RedisAddress,
        name: str,
        high_water: int,
        on_up: Callable[["Connection"], None],
        on_down: Callable[[], None],
    ) -> None:
        self.connection: Connection | None = None
        """The one that stands, ready for commands."""
        self.problem: str | None = "not connected to Redis yet"
        self._address = address
        self._name = name
        self._high_water = high_water
        self._on_up = on_up
        self._on_down = on_down
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=self._name)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def drain(self) -> None:
        """Return when Redis has taken all that was sent; on failure too, after a second."""
        if self.connection is not None:
            with suppress(OSError):
                await asyncio.wait_for(self.connection.call(b"PING"), _DRAIN_WITHIN)

    def reconnect(self, reason: str) -> None:
        if self.connection is not None:
            self.connection.abort(reason)

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._use(await self._open())
            except TimeoutError:
                self._report("no answer in time")
            except (OSError, RedisError) as error:
                self._report(str(error))
            except Exception as error:  # a fault of ours must not end it for good either
                log.exception("the connection %s failed", self._name)
                self._report(repr(error))
            if asyncio.get_running_loop().time() - began > _STEADY:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause * _random.uniform(0.5, 1))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _open(self) -> "Connection":
        async with asyncio.timeout(_CONNECT_WITHIN):
            connection = await self._address.connect(lambda: Connection(self._high_water))
            try:
                await self._introduce(connection)
            except BaseException:
                connection.abort("never got ready")
                raise
        return connection

    async def _introduce(self, connection: "Connection") -> None:
        """Authenticate and tell the name. Channels belong to no database: none is selected."""
        if self._address.credentials:
            credentials = [part.encode() for part in self._address.credentials]
            reply = await connection.call(b"AUTH", *credentials)
            if isinstance(reply, hiredis.ReplyError):
                raise ConnectionRefusedError(_without_password(str(reply), credentials[-1]))
        reply = await connection.call(b"CLIENT", b"SETNAME", self._name.encode())
        # Whoever may publish and subscribe need not be allowed to have a name.
        if isinstance(reply, hiredis.ReplyError) and not str(reply).startswith("NOPERM"):
            raise ConnectionRefusedError(str(reply))

    async def _use(self, connection: "Connection") -> None:
        """Hold the connection until it is lost, which it is in the end. Raises ConnectionError."""
        self.connection, self.problem = connection, None
        log.info("connected to %s as %s", self._address, self._name)
        try:
            self._on_up(connection)
            raise ConnectionResetError(await connection.lost)
        finally:
            self.connection = None
            self.problem = "not connected to Redis"
            connection.abort("closed")
            self._on_down()

    def _report(self, what: str) -> None:
        problem = f"{self._address}: {what}"
        if problem != self.problem:
            log.warning("%s is not connected to Redis at %s", self._name, problem)
        self.problem = problem


class Connection(asyncio.Protocol):
    """Redis' protocol on one socket: the commands of one event-loop tick leave in one write."""

    def __init__(self, high_water: int) -> None:
        self.writable = False
        """It stands, and less than `high_water` bytes wait for Redis to take them."""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The reason, once it is lost."""
        self.on_reply: Callable[[object], None] = lambda _reply: None
        """Gets every reply but numbers, such as PUBLISH's, which tell nobody anything."""
        self._high_water = high_water
        self._call_soon = asyncio.get_running_loop().call_soon
        self._reader = hiredis.Reader()
        self._pending: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(self._high_water)
        self.writable = True

    def connection_lost(self, error: Exception | None) -> None:
        self._end(str(error) if error else "closed by Redis")

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = not self.lost.done()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        next_reply = self._reader.gets
        try:
            while (reply := next_reply()) is not False:
                if reply.__class__ is not int:
                    self.on_reply(reply)
        except hiredis.ProtocolError as error:
            self.abort(f"not Redis' protocol: {error}")

    def send(self, command: bytes) -> None:
        if not self._pending:
            self._call_soon(self._flush)
        self._pending.append(command)

    async def call(self, *words: bytes) -> object:
        """Return the first reply that is not a number, as PUBLISH's are; ignore all after it.

        Raises ConnectionError if the connection is lost before.
        """
        reply: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def take(received: object) -> None:
            if not reply.done():
                reply.set_result(received)

        self.on_reply = take
        self.send(command(*words))
        await asyncio.wait((reply, self.lost), return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise ConnectionResetError(self.lost.result())
        return reply.result()

    def abort(self, reason: str) -> None:
        self._end(reason)
        self._transport.abort()

    def _end(self, reason: str) -> None:
        self.writable = False
        if not self.lost.done():
            self.lost.set_result(reason)

    def _flush(self) -> None:
        if not self.lost.done():
            self._transport.write(b"".join(self._pending))
        self._pending.clear()


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%b\r\n" % (len(word), word) for word in words
    )


def _without_password(text: str, password: bytes) -> str:
    """Leave out what Redis may quote of the command that it refused."""
    text = text.partition(", with args")[0]
    return text if password.decode() not in text else text.split()[0]
