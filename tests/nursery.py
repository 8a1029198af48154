"""Processes of `python -m realtime` without their imports, which take nine tenths of a start.

They are forked from a process that has imported everything. So what is to be seen of them from
outside, their arguments and their first environment, is that process': a test of these starts a
program. So does one of several workers, which begin as the program that their parent was. What a
module made up at random when it was imported would be the same in all of them; none does that.
"""

import asyncio
import os
import socket
import subprocess
import sys
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

ROOT: Final = Path(__file__).resolve().parents[1]
_FORKS: Final = sys.platform == "linux"
"""Elsewhere, libraries of the system may not outlive a fork, or packets come without an end."""


class Birth(Struct, array_like=True):
    """What a process is to do, with which settings."""

    arguments: Sequence[str]
    settings: Mapping[str, str]


class Born:
    """Such a process, as far as `asyncio.subprocess.Process` is asked of here."""

    def __init__(self, pid: int, stdout: StreamReader, stderr: StreamReader | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._ended: asyncio.Task[None]

    @classmethod
    async def of(cls, birth: Birth, *, separate_errors: bool) -> Self:
        stdout, output = await _pipe()
        stderr, errors = await _pipe() if separate_errors else (None, os.dup(output))
        life, told = await _pipe()
        _nursery().bear(birth, output, errors, told)
        born = cls(int(await life.readline()), stdout, stderr)
        born._ended = asyncio.create_task(born._end(life))
        return born

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it ended, and we are yet to be told
                os.kill(self.pid, number)

    async def wait(self) -> int:
        await asyncio.shield(self._ended)
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Everything that it said and is going to say: output, and errors where separate."""
        complained = asyncio.create_task(self.stderr.read()) if self.stderr is not None else None
        said = await self.stdout.read()
        await self.wait()
        return said, await complained if complained is not None else b""

    async def _end(self, life: StreamReader) -> None:
        self.returncode = int(await life.readline())


Process = asyncio.subprocess.Process | Born


async def started(
    *arguments: str,
    settings: Mapping[str, str],
    program: bool = False,
    separate_errors: bool = False,
) -> Process:
    """`python -m realtime` with these arguments, in an environment of these settings.

    Forked if it may be, unless it has to be a `program`. Its errors go to its output, or are to be
    read separately.
    """
    if _FORKS and not program:
        return await Born.of(Birth(arguments, settings), separate_errors=separate_errors)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "realtime", *arguments),
        cwd=ROOT,
        env=settings,
        stdout=PIPE,
        stderr=PIPE if separate_errors else STDOUT,
        start_new_session=True,
    )


class Nursery:
    """The process that forks them; it ends with the process that started it."""

    def __init__(self) -> None:
        self._births, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking"],
                cwd=ROOT,
                stdin=theirs.fileno(),
                stdout=DEVNULL,
                start_new_session=True,
            )

    def bear(self, birth: Birth, *files: int) -> None:
        """Fork one whose output, errors and fate go to these files, which are closed here."""
        socket.send_fds(self._births, [msgspec.json.encode(birth)], files)
        for file in files:
            os.close(file)

    def end(self) -> None:
        self._births.close()
        self._process.wait()


@cache
def _nursery() -> Nursery:
    return Nursery()


def end() -> None:
    """End it if there was one."""
    if _nursery.cache_info().currsize:
        _nursery().end()
        _nursery.cache_clear()


async def _pipe() -> tuple[StreamReader, int]:
    """What reads, and the file to write to."""
    read, write = os.pipe()
    reader = StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb")
    )
    return reader, write
