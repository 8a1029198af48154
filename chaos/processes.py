"""The processes of a cluster: each can be killed, frozen and started again where it was."""

import asyncio
import os
import re
import secrets
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from realtime.embedded import child
from realtime.embedded.errors import EmbeddedError
from realtime.embedded.kinds import LOOPBACK, Kind, Secantus, Valkey

ROOT: Final = Path(__file__).resolve().parents[1]
SERVE: Final = (sys.executable, "-m", "realtime", "serve")
_PORTS: Final = range(20_000, 30_000)
"""Below those that systems give to outgoing connections."""
_START_WITHIN_S: Final = 90
_START_PAUSE_S: Final = 0.3
_LAST_LINES: Final = 200
_LISTENS: Final = re.compile(r"listens on (http://\S+)")
_KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


class ProcessFailed(Exception):
    """A process did not do what it should. The message has its last words."""


class Supervised:
    """A process that faults may be done to, and that is otherwise meant to run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: Process | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def send(self, number: signal.Signals) -> None:
        """To the process, if there is one."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    async def kill(self) -> None:
        """As `kill -9` does; returns when it is gone."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Wait for its end; its exit status."""
        return await self._process.wait() if self._process is not None else 0


class SyncedRedis(Valkey):
    """Writes each command to its disk before it answers: when it is killed it has what it said."""

    def arguments(self, port: int) -> list[str]:
        return [*super().arguments(port), "--appendfsync", "always"]


REDIS: Final = SyncedRedis()
MONGODB: Final = Secantus()


class Store(Supervised):
    """Redis or MongoDB as the server embeds it, at one port and with one folder for its life."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        super().__init__(kind.name)
        self._kind = kind
        self._folder = folder / kind.name
        self._port = free_port()

    @property
    def url(self) -> str:
        return self._kind.url(self._port)

    async def start(self) -> None:
        """Return when it serves. Raises ProcessFailed."""
        try:
            self._process = await child.start(self._kind, self._folder, self._port)
        except EmbeddedError as error:
            raise ProcessFailed(str(error)) from error


class Instance(Supervised):
    """A server process at a port of its own, started again as a service manager would."""

    def __init__(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> None:
        super().__init__(name)
        self.port = free_port()
        self._command = command
        self._settings = {**settings, "HOST": LOOPBACK, "PORT": str(self.port)}
        self.exceptions: list[str] = []
        """What it logged with a traceback: the last line of each."""
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._listens = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Return when it listens; it is tried again while it ends, as it does without MongoDB.

        Raises ProcessFailed.
        """
        try:
            async with asyncio.timeout(_START_WITHIN_S):
                while not await self._started():  # noqa: ASYNC110 - a pause, not a wait
                    await asyncio.sleep(_START_PAUSE_S)
        except TimeoutError:
            raise self.failure("did not start") from None

    def failure(self, what: str) -> ProcessFailed:
        return ProcessFailed("\n".join([f"instance {self.name} {what}; it said:", *self._said]))

    async def _started(self) -> bool:
        """Whether it came to listen, before it ended."""
        self._listens.clear()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            env=plain_environment() | self._settings,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        listening = asyncio.create_task(self._listens.wait())
        await asyncio.wait({self._reading, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        return self._listens.is_set()

    async def _read(self, process: Process) -> None:
        """Read to the end, so that the process never waits for a reader."""
        traces = False
        async for line in process.stdout or ():  # type: ignore[union-attr]
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            if traces and text and not text.startswith(" "):
                self.exceptions.append(text)
            traces = text.startswith("Traceback") or (traces and text.startswith(" "))
            if _LISTENS.search(text):
                self._listens.set()
        await process.wait()


def free_port() -> int:
    """One that nobody has at this moment, and that no outgoing connection gets."""
    while True:
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def plain_environment() -> dict[str, str]:
    """What a process needs, without settings that the user may have."""
    return {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
