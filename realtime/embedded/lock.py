"""A lock file that cannot be left behind: the kernel frees it when its last holder is gone.

The lock goes with the descriptor: a child that inherits it holds the lock as long as it lives.
So a lock that is held proves that its holder lives, and the file's text, the holder's process
id, is then no leftover that meanwhile names a stranger.
"""

import asyncio
import fcntl
import os
from pathlib import Path

_POLL_S = 0.05


class LockHeld(Exception):
    """`holder` is a process id, or None in the moment before it is written."""

    def __init__(self, path: Path, holder: int | None) -> None:
        super().__init__(f"{path} is held by process {holder or '(unknown)'}")
        self.holder = holder


def take(path: Path) -> int:
    """Lock the file and return its descriptor. Raises `LockHeld`, or `OSError` if it cannot be."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
    except OSError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise LockHeld(path, holder) from None
        raise
    return descriptor


async def take_within(path: Path, patience_s: float) -> int:
    """Wait for the lock. Raises what `take` raises, `LockHeld` only after `patience_s`."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            return take(path)
        except LockHeld:
            if asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(_POLL_S)


def sign(descriptor: int) -> None:
    """Write this process down as the holder. Raises `OSError`."""
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
