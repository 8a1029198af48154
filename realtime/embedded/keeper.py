"""The keeper: a process that has the stores as children and outlives the server, if only shortly.

    python -m realtime.embedded.keeper DATA_DIR NAME=PORT...

Port 0 is any free one. Says what happens in lines of JSON: `{"ports": {NAME: PORT}}` once when all
serve, or `{"error": message}`; `{"log": line}` at any time. Ends the stores and itself when its
standard input is at its end, and by nothing else: a terminal's Ctrl-C or a service manager that
stops the whole group leaves it running until the server is done.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Coroutine, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from realtime.embedded import child, lock
from realtime.embedded.errors import EmbeddedError, PortTaken
from realtime.embedded.kinds import KINDS, LOOPBACK, Kind

_PORTS = range(20_000, 30_000)
"""Below those that systems give to outgoing connections: one of these could get the port of a
store that is down for a moment, even by connecting to itself."""
_PORTS_TO_TRY = 10
_STEADY_S = 30
"""A store that served this long did not die of being started."""
_LONGEST_PAUSE_S = 10
_EARLIER_KEEPER_S = 30


class Kept:
    """A store that is started again on its port whenever it ends. Port 0 is any free one."""

    def __init__(self, kind: Kind, data_dir: Path, port: int) -> None:
        self.kind = kind
        self.port = port
        self._folder = data_dir / kind.name
        self._process: Process | None = None

    async def start(self) -> None:
        """Return when it serves. Raises `EmbeddedError`."""
        if self.port:
            self._process = await child.start(self.kind, self._folder, self.port)
        else:
            await self._start_on_a_free_port()

    async def keep(self) -> None:
        """Goes on until it is cancelled."""
        pause_s = 0.0
        while True:
            served_long = await self._until_it_ends()
            pause_s = 0 if served_long else min(2 * pause_s + 0.1, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)
            try:
                await self.start()
            except EmbeddedError as error:
                _say(log=str(error))

    async def end(self) -> None:
        if self._process:
            await child.end(self._process, self.port)

    async def _start_on_a_free_port(self) -> None:
        for _ in range(_PORTS_TO_TRY):
            port = _free_port()
            with suppress(PortTaken):
                self._process = await child.start(self.kind, self._folder, port)
                self.port = port
                return
        raise EmbeddedError(f"the embedded {self.kind.title} finds no free port on {LOOPBACK}")

    async def _until_it_ends(self) -> bool:
        """Whether it served for long. False at once if it does not run."""
        if self._process is None:
            return False
        began = asyncio.get_running_loop().time()
        status = await self._process.wait()
        self._process = None
        _say(log=f"the embedded {self.kind.title} ended ({status}); starting it again")
        return asyncio.get_running_loop().time() - began > _STEADY_S


async def run(data_dir: Path, ports: dict[str, int]) -> None:
    """Have the stores until the input ends."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, lambda: None)
    stores = [Kept(KINDS[name], data_dir, port) for name, port in ports.items()]
    work = asyncio.create_task(_serve(stores, data_dir))
    input_end = asyncio.create_task(_until_input_ends())
    await asyncio.wait([work, input_end], return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    await asyncio.wait([work])
    await _all(store.end() for store in stores)
    if not work.cancelled():
        work.result()


async def _serve(stores: list[Kept], data_dir: Path) -> None:
    try:
        lock.sign(await lock.take_within(data_dir / "keeper.pid", _EARLIER_KEEPER_S))
        await _all(store.start() for store in stores)
    except* lock.LockHeld as held:
        _say(error=f"earlier stores do not end: {held.exceptions[0]}")
    except* (EmbeddedError, OSError) as errors:
        _say(error="\n".join(map(str, errors.exceptions)))
    else:
        _say(ports={store.kind.name: store.port for store in stores})
        await _all(store.keep() for store in stores)


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


async def _until_input_ends() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()


def _free_port() -> int:
    """One that nobody has at this moment."""
    while True:
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def _say(**what: object) -> None:
    # The server may be gone, and with it the reader.
    with suppress(OSError):
        os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    asyncio.run(
        run(
            Path(sys.argv[1]),
            {name: int(port) for name, port in (word.split("=") for word in sys.argv[2:])},
        )
    )
