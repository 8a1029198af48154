"""Background work that nobody awaits: kept alive, logged when it fails, ended with the server."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

CANCELLATIONS: Final = 5
"""How often work is cancelled: libraries swallow one now and then."""
CANCEL_WITHIN_S: Final = 1.0
_log = logging.getLogger(__name__)


class Tasks:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def stop(self, finish_s: float = 0) -> None:
        """Give what runs some seconds to finish, then cancel it and wait for its end."""
        if finish_s and self._running:
            await asyncio.wait(list(self._running), timeout=finish_s)
        for _ in range(CANCELLATIONS):
            for task in self._running:
                task.cancel()
            if not self._running:
                return
            await asyncio.wait(list(self._running), timeout=CANCEL_WITHIN_S)
        _log.error("background work does not end", extra={"tasks": len(self._running)})

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("background work failed", exc_info=error)
