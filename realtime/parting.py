"""How a WebSocket connection is closed so that its client still reads what was written last."""

import asyncio
from typing import Final

from aiohttp.base_protocol import BaseProtocol

CLOSE_WITHIN_S: Final = 5.0
"""How long a client may take to read what was written last."""


class _Parting(asyncio.Protocol):
    """What is left of a connection: what was written last leaves, what comes is not read."""

    def __init__(self) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


def is_open(transport: asyncio.Transport) -> bool:
    return not (transport.is_closing() or isinstance(transport.get_protocol(), _Parting))


def part(transport: asyncio.Transport) -> asyncio.Future[None]:
    """Close once the client has read what was written; done when it is closed.

    Closing at once, with input unread, would have the kernel throw away what was written.
    """
    protocol, parting = transport.get_protocol(), _Parting()
    if not is_open(transport) or not isinstance(protocol, BaseProtocol):
        parting.connection_lost(None)
        return parting.over
    protocol.transport = None  # or it closes the transport
    protocol.connection_lost(ConnectionResetError("the server closes"))
    transport.set_protocol(parting)
    transport.resume_reading()
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()
    asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, transport.abort)
    return parting.over
