"""One run of a store: its process started, asked until it serves, ended."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from realtime.embedded import lock, tie
from realtime.embedded.errors import EmbeddedError, PortTaken
from realtime.embedded.kinds import LOOPBACK, Kind

_READY_S = 120
"""Recovering after a crash takes the longer the more data there is."""
_ANSWER_S = 0.5
_POLL_S = 0.02
_END_S = 10
_LONGEST_REASON = 300
_PORT_IN_USE = re.compile("address (already )?in use", re.IGNORECASE)


async def start(kind: Kind, folder: Path, port: int) -> Process:
    """Start a store that has `folder` for itself; return its process when it serves.

    Raises `EmbeddedError`; `PortTaken` where another port will do.
    """
    try:
        kind.prepare(folder)
        with _log_of(folder).open("ab") as log:
            said_before = log.tell()
            process = await _spawn(kind, folder, port, log)
        await _until_it_serves(kind, port, process)
    except OSError as error:
        raise _failure(
            kind, folder, str(error) or f"it does not serve after {_READY_S} s"
        ) from error
    if process.returncode is not None:
        raise _death(kind, folder, said_before)
    return process


async def end(process: Process, port: int) -> None:
    """Let it end in order; kill it if that takes too long."""
    knocking = asyncio.create_task(_knock(port))
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(signum)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_S)
            break
    knocking.cancel()


async def _knock(port: int) -> None:
    """SecantusDB sees that it is to end when somebody connects, or after two seconds."""
    while True:
        await asyncio.sleep(_POLL_S)
        with suppress(OSError):
            (await asyncio.open_connection(LOOPBACK, port))[1].close()


async def _spawn(kind: Kind, folder: Path, port: int, log: BinaryIO) -> Process:
    """Raises `OSError`, and `EmbeddedError` where there is nothing to start."""
    store = [*kind.program(), *kind.arguments(port)]
    held = await _lock_of(kind, folder)
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", tie.__file__, str(os.getpid()), str(held)),
            *store,
            cwd=folder,
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[held],
        )
    finally:
        os.close(held)


async def _lock_of(kind: Kind, folder: Path) -> int:
    """The lock that its process will hold; ends one that a killed keeper left behind."""
    path = folder / "pid"
    for signum in (signal.SIGTERM, signal.SIGKILL):
        try:
            return lock.take(path)
        except lock.LockHeld as held:
            if held.holder:
                with suppress(ProcessLookupError):
                    os.kill(held.holder, signum)
        with suppress(lock.LockHeld):
            return await lock.take_within(path, _END_S)
    raise _failure(kind, folder, f"an earlier process that holds {path} does not end")


async def _until_it_serves(kind: Kind, port: int, process: Process) -> None:
    """Returns also when it has ended; ends it when it takes too long (`TimeoutError`)."""
    try:
        async with asyncio.timeout(_READY_S):
            while process.returncode is None:
                if await _serves(kind, port, process.pid):
                    return
                await asyncio.sleep(_POLL_S)
    except BaseException:
        await end(process, port)
        raise


async def _serves(kind: Kind, port: int, pid: int) -> bool:
    """Whether this very process answers: another one may have got the port."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await _asked(kind, port, pid)
    except OSError:
        return False


async def _asked(kind: Kind, port: int, pid: int) -> bool:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(kind.question)
        reply = b""
        while more := await reader.read(65536):
            reply += more
            if kind.serves(reply, pid):
                return True
        return False
    finally:
        writer.close()


def _log_of(folder: Path) -> Path:
    return folder / "log"


def _death(kind: Kind, folder: Path, said_before: int) -> EmbeddedError:
    """Why it ended, from what it logged in this run."""
    with _log_of(folder).open("rb") as log:
        log.seek(said_before)
        said = log.read().decode(errors="replace").strip()
    if _PORT_IN_USE.search(said):
        return PortTaken(f"the embedded {kind.title} lost its port to another process")
    return _failure(kind, folder, said.rpartition("\n")[2] or "it ended without a word")


def _failure(kind: Kind, folder: Path, reason: str) -> EmbeddedError:
    return EmbeddedError(
        f"the embedded {kind.title} does not start: {reason[:_LONGEST_REASON]}\n"
        f"Its log is {_log_of(folder)}. Look whether the disk is full; if its data is damaged, move"
        f" {folder} away to start with none, or set {kind.instead}"
    )
