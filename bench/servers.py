"""The servers that are measured, and the stores that they share: started, pinned, ended."""

import asyncio
import itertools
import os
import re
import secrets
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from msgspec import Struct
from redis.asyncio import Redis

from bench import pinned
from bench.accounting import pin
from bench.plan import Contestant
from bench.shapes import Target
from realtime.embedded import EmbeddedStores

ROOT: Final = Path(__file__).resolve().parents[1]
NODE_PEER: Final = ROOT / "bench" / "peers" / "node"
SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
"""Of the stores, the load generator, and who runs it all."""
REDIS_DATABASES: Final = 16

_START_WITHIN_S: Final = 60
_END_WITHIN_S: Final = 3
"""Nothing is measured any more; python-socketio may need a minute for who has left."""
_LAST_LINES: Final = 50
_LISTENS: Final = re.compile(r"listens on (http://\S+)")
_KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


class Stores(Struct, frozen=True):
    """Where Redis and MongoDB serve."""

    redis_url: str
    mongodb_url: str


class Program(Struct, frozen=True):
    """How a contestant is started, and whether trips are made through its commands."""

    command: tuple[str, ...]
    settings: Mapping[str, str] = {}
    has_trips: bool = False


UNBOUNDED: Final = {
    "CONNECTS_PER_S": "100000",
    "LOCATIONS_PER_S": "1000",
    "CONNECTIONS_PER_USER": "100000",
    "COMMANDS_PER_S": "100000",
    "REPORTS_PER_S": "1000000",
}
"""Without the limits by which Ridewire does less than it is asked to: here it has to do all."""

PROGRAMS: Final[Mapping[Contestant, Program]] = {
    Contestant.RIDEWIRE: Program(
        (sys.executable, "-m", "realtime", "serve"),
        {"RIDEWIRE_ENV": "production", **UNBOUNDED},
        has_trips=True,
    ),
    Contestant.NODE: Program(
        ("node", str(NODE_PEER / "server.mjs")),
        {"NODE_ENV": "production"},
    ),
    Contestant.STOCK: Program((sys.executable, "-m", "bench.peers.stock")),
    Contestant.PICOWS: Program((sys.executable, "-m", "bench.peers.bare")),
}


def on_server_core(*command: str) -> tuple[str, ...]:
    """What runs a command on `SERVER_CORE`, where it ends with this process."""
    own = (sys.executable, "-I", "-S", pinned.__file__, str(SERVER_CORE), str(os.getpid()))
    return (*own, *command)


class ServerFailed(Exception):
    """A server did not start, or ended while it was needed. The message has its last words."""


@asynccontextmanager
async def stores() -> AsyncIterator[Stores]:
    """Empty embedded stores, pinned to `LOAD_CORE`; gone with their data afterwards.

    Raises CannotPin and EmbeddedError.
    """
    with tempfile.TemporaryDirectory(prefix="ridewire-bench-") as folder:
        started = await asyncio.to_thread(_start_stores, Path(folder))
        try:
            yield Stores(str(started.redis_url), str(started.mongodb_url))
        finally:
            await asyncio.to_thread(started.stop)


@asynccontextmanager
async def contestant(name: Contestant, shared: Stores, instances: int = 1) -> AsyncIterator[Target]:
    """Fresh processes of one contestant, pinned to `SERVER_CORE`, in empty databases.

    Raises ServerFailed, at the end also when one of them is not there any more.
    """
    chosen = PROGRAMS[name]
    secret = secrets.token_urlsafe(48)
    own = await own_databases(shared)
    async with AsyncExitStack() as stack:
        settings = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "JWT_SECRET": secret,
            "REDIS_URL": own.redis_url,
            "MONGODB_URL": own.mongodb_url,
            **chosen.settings,
        }
        servers = [
            await stack.enter_async_context(running(chosen.command, settings))
            for _ in range(instances)
        ]
        yield Target(
            urls=tuple(server.url for server in servers),
            pids=tuple(server.pid for server in servers),
            has_trips=chosen.has_trips,
            secret=secret,
        )


class Server:
    """A process that says in a line of its output where it listens."""

    def __init__(self, process: Process, output: asyncio.StreamReader) -> None:
        self._process = process
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(output))

    @classmethod
    async def start(cls, command: Sequence[str], settings: Mapping[str, str]) -> Self:
        """Start it on `SERVER_CORE` with these settings and nothing else; returns when it listens.

        Raises ServerFailed.
        """
        process = await asyncio.create_subprocess_exec(
            *on_server_core(*command),
            cwd=ROOT,
            env={**_plain_environment(), **settings},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        server = cls(process, _output(process))
        try:
            await asyncio.wait_for(asyncio.shield(server._url), _START_WITHIN_S)
        except TimeoutError:
            await server.end()
            raise server.failure("did not start") from None
        return server

    @property
    def url(self) -> str:
        return self._url.result()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        """Until it has ended; its exit status."""
        return await self._process.wait()

    async def end(self) -> None:
        """In order, or else by force."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), _END_WITHIN_S)
                break
        await self._reading

    def failure(self, what: str) -> ServerFailed:
        return ServerFailed("\n".join([f"a server {what}; it said last:", *self._said]))

    async def _read(self, output: asyncio.StreamReader) -> None:
        """Read to the end, so that the process never waits for a reader."""
        async for line in output:
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            found = _LISTENS.search(text)
            if found and not self._url.done():
                self._url.set_result(found[1])
        if not self._url.done():
            self._url.set_exception(self.failure("ended before it listened"))


@asynccontextmanager
async def running(command: Sequence[str], settings: Mapping[str, str]) -> AsyncIterator[Server]:
    """A server that is ended afterwards. Raises ServerFailed, at the end also when it is gone."""
    server = await Server.start(command, settings)
    try:
        yield server
    except Exception as error:
        if not server.runs:
            raise server.failure("ended while it was needed") from error
        raise
    else:
        if not server.runs:
            raise server.failure("ended while it was needed")
    finally:
        await server.end()


_numbers = itertools.count()


async def own_databases(shared: Stores) -> Stores:
    """A Redis and a MongoDB database that are empty, and nobody else's: nor is it the one that
    Redis has for who names none.

    They stay until the stores end: SecantusDB takes seconds to drop one.
    """
    number = next(_numbers)
    redis_number = 1 + number % (REDIS_DATABASES - 1)
    redis_url = urlsplit(shared.redis_url)._replace(path=f"/{redis_number}").geturl()
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    mongodb_url = urlsplit(shared.mongodb_url)._replace(path=f"/bench-{number}").geturl()
    return Stores(redis_url, mongodb_url)


def _output(process: Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise ServerFailed("its output is not piped")
    return process.stdout


def _start_stores(folder: Path) -> EmbeddedStores:
    pin(LOAD_CORE)  # of this thread; those that it starts inherit it
    return EmbeddedStores.start(folder, redis=True, mongodb=True)


def _plain_environment() -> dict[str, str]:
    """What a process needs, without settings that the user may have."""
    return {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
