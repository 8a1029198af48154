"""What can be seen of a server process from outside: its log and its memory."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.clients import WAIT_S
from tests.servers import Server


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition that only looking can tell."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - neither a log nor /proc can be awaited
            await asyncio.sleep(0.01)


async def logged(server: Server, *words: str, after: int = 0) -> None:
    """Wait for a line with all these words, `after` so many lines."""
    await until(lambda: any(all(w in line for w in words) for line in server.output[after:]))


def resident(server: Server) -> int:
    """Bytes of memory that the process holds now."""
    pid = server.process.pid
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(li for li in status.read_text().splitlines() if li.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)  # noqa: S603, S607
    return int(told.stdout) * 1024
