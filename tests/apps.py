"""An aiohttp application on a free port of its own."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

SMALLEST: Final = 4_096
"""Of a buffer, of which the kernel has two at least."""


@asynccontextmanager
async def served(
    app: web.Application,
    *,
    tls: ssl.SSLContext | None = None,
    sends_ahead: bool = True,
    **options: Any,
) -> AsyncIterator[str]:
    """Its URL. `options` are the runner's; whoever is there at the end has 0.1 s to leave.

    Without `sends_ahead` the kernel takes little of what the client does not read.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    if not sends_ahead:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALLEST)
    runner = web.AppRunner(app, **{"shutdown_timeout": 0.1, **options})
    try:
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
