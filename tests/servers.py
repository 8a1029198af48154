"""Real server processes for tests: started on free ports, ended by their ids."""

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from tests.nursery import Process, started

ROOT: Final = Path(__file__).resolve().parent.parent
SECRET: Final = "a-secret-of-the-tests-long-enough-for-HS256"
_START_WITHIN_S: Final = 30
_LISTENS: Final = re.compile(r"listens on (http://\S+)")


class Server:
    """`python -m realtime serve` as a child process."""

    def __init__(self, process: Process, url: str, output: list[str]) -> None:
        self.process = process
        self.url = url
        self.output = output

    @classmethod
    async def start(cls, settings: Mapping[str, str], *, program: bool = False) -> Self:
        """Start one with these settings and nothing else; returns when it listens.

        As a program, if it must be (see `tests.nursery`).
        """
        process = await started(
            "serve",
            settings={**plain_environment(), "PORT": "0", "JWT_SECRET": SECRET, **settings},
            program=program or "WORKERS" in settings,
        )
        output: list[str] = []
        url = await asyncio.wait_for(_url(process, output), _START_WITHIN_S)
        server = cls(process, url, output)
        server._reading = asyncio.create_task(_read_on(process, output))
        return server

    async def stop(self) -> int:
        """Ctrl-C; its exit status."""
        return await self._end(signal.SIGINT)

    async def kill(self) -> int:
        return await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        try:
            status = await asyncio.wait_for(self.process.wait(), _START_WITHIN_S)
        except TimeoutError:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError("the server did not end:\n" + "\n".join(self.output)) from None
        await self._reading
        return status

    _reading: asyncio.Task[None]


async def _url(process: Process, output: list[str]) -> str:
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        output.append(line.rstrip("\n"))
        if found := _LISTENS.search(line):
            return found[1]
    raise AssertionError("the server did not start:\n" + "\n".join(output))


async def _read_on(process: Process, output: list[str]) -> None:
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        output.append(line.rstrip("\n"))


def plain_environment() -> dict[str, str]:
    """What a process needs, without settings that the tester may have."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ}
