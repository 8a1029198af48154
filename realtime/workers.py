"""Several server processes on one port: started together, started again, ended together."""

import asyncio
import logging
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import Final

from msgspec.structs import replace

from realtime import logs, serving
from realtime.scraping import Worker
from realtime.serving import CannotServe, Site

_log = logging.getLogger(__name__)
_spawn = multiprocessing.get_context("spawn")

GRACE_S: Final = 4.0
"""For a worker to end in peace, beyond the time that it has for its clients."""
PAUSE_S: Final = 1.0
"""Between a worker's death and its successor."""


def run(sites: list[Site], ready: Callable[[], None]) -> None:
    """Run one worker per site until SIGINT or SIGTERM. Raises CannotServe."""
    with _folder() as folder:
        workers = [
            replace(site, worker=Worker(number, len(sites), folder))
            for number, site in enumerate(sites, start=1)
        ]
        asyncio.run(_Workers(workers).run(ready))


class _Workers:
    def __init__(self, sites: list[Site]) -> None:
        self._sites = sites
        self._stopping = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in serving.STOPPING:
            loop.add_signal_handler(number, self._stop, number)
        up = [loop.create_future() for _ in self._sites]
        keeping = [
            asyncio.create_task(self._keep(site, started))
            for site, started in zip(self._sites, up, strict=True)
        ]
        try:
            await asyncio.gather(*up)
            if not self._stopping.is_set():
                ready()
            await self._stopping.wait()
        finally:
            self._stopping.set()
            await asyncio.gather(*keeping, return_exceptions=True)

    def _stop(self, number: signal.Signals) -> None:
        """The first signal ends the workers in peace; the next one finds its default again."""
        self._stopping.set()
        asyncio.get_running_loop().remove_signal_handler(number)

    async def _keep(self, site: Site, started: asyncio.Future[None]) -> None:
        """Keep one worker running until all stop. The first start must succeed."""
        while not self._stopping.is_set():
            status = await self._run_one(site, started)
            if not started.done():
                started.set_exception(CannotServe("a worker could not start: its log says why"))
                return
            if not self._stopping.is_set():
                died = {"worker": site.worker and site.worker.number, "status": status}
                _log.error("a worker died and is started again", extra=died)
                await asyncio.sleep(PAUSE_S)
        if not started.done():
            started.set_result(None)

    async def _run_one(self, site: Site, started: asyncio.Future[None]) -> int | None:
        loop = asyncio.get_running_loop()
        here, there = _spawn.Pipe(duplex=False)
        process = _spawn.Process(target=_work, args=(site, there), daemon=True)
        process.start()
        there.close()
        ended = loop.create_future()
        loop.add_reader(here.fileno(), _note_started, loop, here, started)
        loop.add_reader(process.sentinel, _settle, loop, process.sentinel, ended)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.terminate()
            await asyncio.wait((ended,), timeout=site.settings.drain_s + GRACE_S)
        if not ended.done():
            process.kill()
            await ended
        stopping.cancel()
        loop.remove_reader(here.fileno())
        here.close()
        process.join()
        return process.exitcode


def _note_started(
    loop: asyncio.AbstractEventLoop, pipe: Pipe, started: asyncio.Future[None]
) -> None:
    loop.remove_reader(pipe.fileno())
    try:
        pipe.recv_bytes()
    except EOFError:
        return
    if not started.done():
        started.set_result(None)


def _settle(loop: asyncio.AbstractEventLoop, fd: int, ended: asyncio.Future[None]) -> None:
    loop.remove_reader(fd)
    ended.set_result(None)


def _work(site: Site, started: Pipe) -> None:
    """A worker process. Ctrl-C reaches the parent, which then ends it; so does the parent's end."""
    logs.configure(site.settings.log_level, site.settings.log_format)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def ready() -> None:
        _watch_parent()
        started.send_bytes(b"started")

    try:
        serving.run(site, ready, signals=(signal.SIGTERM,))
    except CannotServe as error:
        _log.error("%s", error)
        raise SystemExit(1) from error


def _folder() -> "tempfile.TemporaryDirectory[str]":
    """Where the workers find each other; nobody else may look into it. Raises CannotServe."""
    try:
        return tempfile.TemporaryDirectory(prefix="ridewire-", ignore_cleanup_errors=True)
    except OSError as error:
        raise CannotServe(f"WORKERS needs a folder for temporary files: {error}") from error


def _watch_parent() -> None:
    """Stop when the parent is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop = asyncio.get_running_loop()
        sentinel = parent.sentinel

        def orphaned() -> None:
            loop.remove_reader(sentinel)
            os.kill(os.getpid(), signal.SIGTERM)

        loop.add_reader(sentinel, orphaned)


def sites(site: Site, workers: int) -> list[Site]:
    """The site and its likes: one listening socket per worker, all on one port."""
    host = site.settings.host
    port = site.socket.getsockname()[1]
    others = [serving.listen(host, port, shared=True) for _ in range(workers - 1)]
    return [site, *(replace(site, socket=other) for other in others)]
