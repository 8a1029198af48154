"""A server process from its listening socket to its last breath."""

import asyncio
import errno
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Final

import uvloop
from aiohttp import web
from msgspec import Struct

from models.errors import Unavailable
from models.mongo import SchemaError
from realtime.app import Instance
from realtime.heads import Runner
from realtime.scraping import Worker
from realtime.settings import Settings, Url

_log = logging.getLogger(__name__)

BACKLOG: Final = 1_024
SHUTDOWN_S: Final = 2.0
SILENT_S: Final = 75.0
"""For a request's head to come, whole, from the connection's start or the last answer on: longer
than proxies keep what they do not use."""
MAX_HEADER: Final = 16 * 1024
"""Bytes of one header: twice the longest token, so that a longer one is told so."""
MAX_HEADERS: Final = 64
"""Of a request: twice what a browser and the proxies before it send. Together they are what a
connection without a token can have remembered."""
OVERTIME_S: Final = 4
"""For the end, beyond the time that the clients have to leave."""
GARBAGE_AFTER: Final = 10_000
"""Objects more than before, after which the garbage collector looks for cycles."""
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a server in peace: Ctrl-C, an operator, a terminal that was closed."""


class CannotServe(Exception):
    """The server cannot start as it was asked to. The message says what to do."""


class Site(Struct, frozen=True):
    """What a process serves: settings, the stores to use, where it listens."""

    settings: Settings
    redis_url: str
    mongodb_url: str
    socket: socket.socket
    worker: Worker | None = None
    """Which of several processes it is; None for the only one."""


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address; `shared` lets others bind to the same one.

    Raises CannotServe when the address is taken or not this machine's.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = infos[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        raise CannotServe(_why_not(host, port, error)) from error
    return listening


def run(site: Site, ready: Callable[[], None], *, signals: Iterable[signal.Signals]) -> None:
    """Serve until one of the signals comes; a second one ends the process at once.

    `ready` is called once clients may come. Raises CannotServe.
    """
    uvloop.run(serve(site, ready, signals))


async def serve(site: Site, ready: Callable[[], None], signals: Iterable[signal.Signals]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, _stop_once, loop, number, stopping)
    try:
        instance = await Instance.start(
            site.settings, site.redis_url, site.mongodb_url, site.worker
        )
    except Unavailable as error:
        where = Url(site.mongodb_url).redacted
        raise CannotServe(f"{where} does not answer: check MONGODB_URL") from error
    except SchemaError as error:
        raise CannotServe(str(error)) from error
    runner = runner_of(instance.app)
    try:
        await runner.setup()
        door = web.SockSite(runner, site.socket, backlog=BACKLOG)
        await door.start()
        _freeze()
        ready()
        await stopping.wait()
        _log.info("stopping")
        _end_within(site.settings.drain_s + OVERTIME_S)
        await instance.drain()
        await door.stop()
    finally:
        site.socket.close()
        await instance.close()
        await runner.cleanup()


def runner_of(app: web.Application) -> web.AppRunner:
    """What speaks HTTP for an application, and waits for nobody for long."""
    return Runner(
        app,
        handle_signals=False,
        access_log=None,
        shutdown_timeout=SHUTDOWN_S,
        keepalive_timeout=SILENT_S,
        auto_decompress=False,  # no client compresses what it sends, but a bomb does
        max_field_size=MAX_HEADER,
        max_headers=MAX_HEADERS,
    )


def _end_within(seconds: int) -> None:
    """Whatever hangs then, the process ends: SIGALRM's default is that."""
    signal.alarm(seconds)


def _freeze() -> None:
    """What is there when clients may come stays: the garbage collector need not look at it again.

    It also comes less often than its defaults have it, which are not made for a process with some
    hundred thousand objects that live for hours.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)


def _stop_once(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, stopping: asyncio.Event
) -> None:
    """The first signal ends in peace; the next one finds its default again."""
    stopping.set()
    loop.remove_signal_handler(number)


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: set PORT to another one (PORT=0 takes a free one)"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights: set PORT to one above 1023"
    return f"cannot listen on {host}, port {port} ({error.strerror or error}): check HOST and PORT"
