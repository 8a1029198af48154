"""The clients that people have, against the example: both parsers, both transports, and binary."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import pytest
import socketio

from realtime.engine import Limits
from tests.clients import WAIT_S, JsClient, JsProcess, PythonClient, Refused
from tests.conformance.conftest import PATIENT, Mount, Mounted
from tests.hostile.process import until

TRANSPORTS: Final = (["websocket"], ["polling"], ["polling", "websocket"])
BYTES: Final = bytes(range(256))
NODES_BYTES: Final = {"type": "Buffer", "data": list(BYTES)}
"""As they are in the JSON that Node prints and is told."""


@pytest.fixture(params=TRANSPORTS, ids="-to-".join)
def transports(request: pytest.FixtureRequest) -> Sequence[str]:
    chosen: list[str] = request.param
    return chosen


class Python:
    """python-socketio's own client in one namespace; it acknowledges with what it is asked."""

    def __init__(self, parser: str, namespace: str) -> None:
        serializer = "msgpack" if parser == "msgpack" else "default"
        self.client: Any = socketio.AsyncClient(serializer=serializer, reconnection=False)
        self.namespace = namespace
        self.heard: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.client.on("*", self._hear, namespace=namespace)

    async def connect(self, url: str, transports: Sequence[str], auth: Any = None) -> None:
        await self.client.connect(
            url, auth=auth, transports=list(transports), namespaces=[self.namespace]
        )

    async def hears(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self.heard.get(), WAIT_S)

    async def emit(self, event: str, *values: Any) -> None:
        await self.client.emit(event, values, namespace=self.namespace)

    async def call(self, event: str, *values: Any) -> Any:
        return await self.client.call(event, values, namespace=self.namespace, timeout=WAIT_S)

    async def _hear(self, event: str, *values: Any) -> tuple[Any, ...]:
        self.heard.put_nowait((event, *values))
        return values


VALUES: Final = ({"bytes": BYTES, "list": [BYTES, None, "Grüße 👋"]}, 5, b"")
NODES_VALUE: Final = {"bytes": NODES_BYTES, "list": [NODES_BYTES, None, "Grüße 👋"]}


@pytest.mark.parametrize("namespace", ["/", "/custom"])
async def test_python_is_understood(
    server: Mounted, parser: str, transports: Sequence[str], namespace: str
) -> None:
    client = Python(parser, namespace)
    await client.connect(server.url, transports, {"token": "123"})
    assert await client.hears() == ("auth", {"token": "123"})
    await client.emit("message", *VALUES)
    assert await client.hears() == ("message-back", *VALUES)
    assert await client.call("message-with-ack", *VALUES) == VALUES
    large = bytes(PATIENT.max_payload // 2)
    await client.emit("message", large)
    assert await client.hears() == ("message-back", large)
    await client.client.disconnect()


async def test_python_is_asked_and_answers(
    server: Mounted, parser: str, transports: Sequence[str]
) -> None:
    client = Python(parser, "/asking")
    await client.connect(server.url, transports)
    await client.emit("ask", *VALUES)
    assert await client.hears() == ("question", *VALUES)
    assert await client.hears() == ("answered", *VALUES)
    await client.client.disconnect()


@pytest.mark.parametrize("namespace", ["/", "/custom"])
async def test_node_is_understood(
    server: Mounted, js: JsProcess, parser: str, transports: Sequence[str], namespace: str
) -> None:
    client = await js.connect(
        server.url + namespace,
        {"token": "123"},
        parser=parser,
        transports=transports,
        headers={},
    )
    if len(transports) > 1:
        await asyncio.wait_for(client.upgraded.wait(), WAIT_S)
    assert await client.hears("auth") == {"token": "123"}
    await client.emit("message", NODES_VALUE)
    assert await client.hears("message-back") == NODES_VALUE
    assert await client.call("message-with-ack", NODES_VALUE) == NODES_VALUE
    await client.close()


async def test_node_is_asked_and_answers(
    server: Mounted, js: JsProcess, parser: str, transports: Sequence[str]
) -> None:
    client = await js.connect(
        f"{server.url}/asking", None, parser=parser, transports=transports, headers={}
    )
    await client.emit("ask", NODES_VALUE)
    assert await client.hears("question") == NODES_VALUE
    assert await client.hears("answered") == NODES_VALUE
    await client.close()


@pytest.mark.parametrize("kind", ["python", "node"])
async def test_an_unknown_namespace_is_refused_as_clients_expect(
    server: Mounted, js: JsProcess, kind: str, parser: str, transports: Sequence[str]
) -> None:
    if kind == "node":
        with pytest.raises(Refused, match="Invalid namespace"):
            await js.connect(
                f"{server.url}/unknown", None, parser=parser, transports=transports, headers={}
            )
        return
    refused: asyncio.Queue[Any] = asyncio.Queue()
    client = Python(parser, "/unknown")
    client.client.on("connect_error", refused.put, namespace="/unknown")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(server.url, transports)
    assert await asyncio.wait_for(refused.get(), WAIT_S) == {"message": "Invalid namespace"}


async def test_clients_answer_pings(mount: Mount, js: JsProcess, transports: Sequence[str]) -> None:
    server = await mount(Limits(ping_interval_s=0.05, ping_timeout_s=60))
    python = Python("json", "/")
    await python.connect(server.url, transports)
    node = await js.connect(server.url, None, parser="json", transports=transports, headers={})
    sockets = list(server.gateway.engine.sockets.values())
    assert len(sockets) == 2
    first = [socket._ping_at for socket in sockets]
    # Only an answer moves the time of the next ping.
    await until(lambda: all(s._ping_at > at + 0.2 for s, at in zip(sockets, first, strict=True)))
    await python.client.disconnect()
    await node.close()


async def test_clients_share_nothing_but_the_server(server: Mounted, js: JsProcess) -> None:
    """A JSON and a msgpack client of each kind, each in its own words."""
    opened = [
        *(await asyncio.gather(*(_python(server, parser) for parser in ("json", "msgpack")))),
        *(await asyncio.gather(*(_node(server, js, parser) for parser in ("json", "msgpack")))),
    ]
    for number, client in enumerate(opened):
        await client.emit("message", {"number": number})
    for number, client in enumerate(opened):
        assert await client.hears("message-back") == {"number": number}
        assert client.heard("message-back") == [{"number": number}]
        await client.close()


async def _python(server: Mounted, parser: str) -> PythonClient:
    return await PythonClient.connect(
        server.url, None, parser=parser, transports=["websocket"], headers={}
    )


async def _node(server: Mounted, js: JsProcess, parser: str) -> JsClient:
    return await js.connect(server.url, None, parser=parser, transports=["websocket"], headers={})
