"""The example server, on a port of its own for every test, and its heart in the test's hands."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import product
from typing import Final

import pytest
from aiohttp import web

from examples.echo import add_engineio, add_socketio
from realtime.engine import Limits
from realtime.plain import PlainClient, PlainNamespace
from tests.conformance.sessions import TRANSPORTS, Client, Session

PATIENT: Final = Limits(
    ping_interval_s=60, ping_timeout_s=60, max_payload=100_000, connect_within_s=30
)
"""No heartbeat comes in between by itself."""


class Mounted:
    """An application with the example's two servers, and a namespace that asks back."""

    def __init__(self, limits: Limits) -> None:
        self.app = web.Application()
        self.gateway = add_socketio(self.app, limits)
        self.echo = add_engineio(self.app, limits)
        self.gateway.add(asking())
        self.runner = web.AppRunner(self.app, shutdown_timeout=1)

    async def start(self) -> None:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()

    async def stop(self) -> None:
        await self.runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    def later(self, seconds: float) -> None:
        """Look after every client as if it were so much later."""
        now = asyncio.get_running_loop().time() + seconds
        for engine in (self.gateway.engine, self.echo.engine):
            for socket in list(engine.sockets.values()):
                socket.beat(now)


Mount = Callable[[Limits], Awaitable[Mounted]]


@pytest.fixture
async def mount() -> AsyncIterator[Mount]:
    started: list[Mounted] = []

    async def mount(limits: Limits) -> Mounted:
        mounted = Mounted(limits)
        await mounted.start()
        started.append(mounted)
        return mounted

    yield mount
    for mounted in started:
        await mounted.stop()


@pytest.fixture
async def server(mount: Mount) -> Mounted:
    return await mount(PATIENT)


WAYS: Final = tuple(product(("json", "msgpack"), TRANSPORTS))


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1].__name__}")
async def client(request: pytest.FixtureRequest, server: Mounted) -> AsyncIterator[Client]:
    """A client of either parser on either transport that has joined nothing yet."""
    parser, transport = request.param
    client = await Client.open(server.url, parser, transport)
    yield client
    client.close()


@pytest.fixture(params=TRANSPORTS, ids=lambda transport: transport.__name__)
def transport(request: pytest.FixtureRequest) -> type[Session]:
    chosen: type[Session] = request.param
    return chosen


@pytest.fixture(params=["json", "msgpack"])
def parser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def asking() -> PlainNamespace:
    """`/asking`: has its client acknowledge, and says what with; counts; sends away."""
    namespace = PlainNamespace("/asking")

    @namespace.on("ask")
    async def ask(client: PlainClient, *values: object) -> None:
        client.emit("answered", *await client.call("question", *values))

    @namespace.on("count")
    async def count(client: PlainClient, to: int) -> None:
        for number in range(1, to + 1):
            client.emit("counted", number)
            await asyncio.sleep(0)

    @namespace.on("send-away")
    def send_away(client: PlainClient) -> None:
        client.disconnect()

    return namespace


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does, no exception gets as far as the log."""
    yield
    assert [record for record in caplog.get_records("call") if record.exc_info] == []
