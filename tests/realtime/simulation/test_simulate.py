"""The command as a person runs it: whole rides on a real server, and what it says of a bad one.

Between the clients and the server a meddler can stand that loses or doubles events or cuts
connections: then the simulation has to notice, or to get over it.
"""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMessage, WSMsgType, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from tests.apps import served
from tests.conftest import Cluster
from tests.nursery import Process, started
from tests.servers import SECRET, plain_environment

DEADLINE_S = 60

Frame = str | bytes
Meddling = Callable[[Frame], Iterable[Frame]]


class Place(Struct, frozen=True):
    """A running server: its address, and the environment in which its commands are run."""

    url: str
    environment: dict[str, str]


class Outcome(Struct, frozen=True):
    status: int
    output: str
    complaints: str

    @property
    def verdict(self) -> str:
        return self.output.rstrip().rpartition("\n")[2]


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    return {
        **plain_environment(),
        "DATA_DIR": str(data_dir),
        "PORT": "0",
        "LOG_LEVEL": "warning",
        **settings,
    }


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Place:
    settings = environment(tmp_path_factory.mktemp("simulation"), JWT_SECRET=SECRET)
    return Place(cluster.first, settings)


async def begin(settings: dict[str, str], *arguments: str) -> Process:
    return await started("simulate", *arguments, settings=settings, separate_errors=True)


async def end(process: Process) -> Outcome:
    output, complaints = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode is not None
    return Outcome(process.returncode, output.decode(), complaints.decode())


async def simulate(settings: dict[str, str], *arguments: str) -> Outcome:
    return await end(await begin(settings, *arguments))


class Meddler:
    """Passes WebSocket frames on, those for clients through its meddling."""

    def __init__(self, upstream: str, meddle: Meddling) -> None:
        self.url = ""
        self._upstream = upstream
        self._meddle = meddle
        self._clients: set[web.WebSocketResponse] = set()

    @classmethod
    @asynccontextmanager
    async def between(cls, upstream: str, meddle: Meddling) -> AsyncIterator[Self]:
        meddler = cls(upstream, meddle)
        application = web.Application()
        application.router.add_get("/socket.io/", meddler._connect)
        async with served(application, shutdown_timeout=0) as meddler.url:
            yield meddler

    async def cut(self) -> int:
        """Cut every connection; how many there were."""
        clients = list(self._clients)
        for client in clients:
            await client.close()
        return len(clients)

    async def _connect(self, request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse()
        await client.prepare(request)
        self._clients.add(client)
        async with (
            ClientSession() as session,
            session.ws_connect(f"{self._upstream}{request.path_qs}") as server,
        ):
            down = asyncio.create_task(pass_on(server, client, self._meddle))
            await pass_on(client, server, lambda frame: [frame])
            down.cancel()
        self._clients.discard(client)
        return client


Socket = web.WebSocketResponse | ClientWebSocketResponse


async def pass_on(source: Socket, target: Socket, meddle: Meddling) -> None:
    with suppress(ConnectionError):
        while (message := await received(source)).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            for frame in meddle(message.data):
                if isinstance(frame, str):
                    await target.send_str(frame)
                else:
                    await target.send_bytes(frame)
    await target.close()


async def received(source: Any) -> WSMessage:
    message: WSMessage = await source.receive()
    return message


def says(frame: Frame, *words: str) -> bool:
    """Whether a frame, JSON or msgpack, holds all these words."""
    data = frame.encode() if isinstance(frame, str) else frame
    return all(word.encode() in data for word in words)


async def test_whole_rides_are_driven_and_everything_arrives(server: Place) -> None:
    outcome = await simulate(
        server.environment, "--url", server.url, "--drivers", "4", "--rate", "5", "--seconds", "4"
    )
    assert outcome.status == 0, outcome
    assert outcome.verdict.startswith("All is well: 4 rides finished")
    assert re.search(r"rides +4 started, 4 finished", outcome.output)
    assert re.search(r"connections +9 opened, 0 times", outcome.output)
    assert re.search(r"locations +\d+ +\d+ +0 +0 +0", outcome.output)


async def test_points_may_go_wrong_on_recorded_rides_and_it_is_told_how(
    server: Place, tmp_path: Path
) -> None:
    trace = tmp_path / "cab.txt"
    fixes = [f"{52.5 + n / 10_000:.5f} 13.4 {int(n > 1)} {1_000 + 2 * n}" for n in range(60)]
    trace.write_text("\n".join(fixes))
    outcome = await simulate(
        server.environment,
        *("--url", server.url, "--drivers", "4", "--rate", "10", "--seconds", "6"),
        *("--traces", str(trace)),
        *("--faults", "loss=0.05,jitter=5,teleport=0.02,duplicate=0.2,reorder=0.1,tunnel=0.01"),
    )
    assert outcome.status == 0, outcome
    assert re.search(r"faults +\d+ duplicate, \d+ loss, \d+ reorder", outcome.output)
    assert re.search(r"points +\d+ sent, \d+ accepted", outcome.output)
    assert re.search(r"rejected +[1-9]\d* duplicate.*[1-9]\d* stale", outcome.output)


async def test_a_fault_that_there_is_not_is_named(tmp_path: Path) -> None:
    outcome = await simulate(environment(tmp_path), "--faults", "rain=0.5")
    assert outcome.status == 2
    assert "tunnel; got 'rain=0.5'" in outcome.complaints


async def test_lost_and_doubled_events_are_noticed(server: Place) -> None:
    def meddle(frame: Frame) -> Iterable[Frame]:
        if says(frame, "trip:location") or says(frame, "trip:status", "arriving"):
            return []
        return [frame, frame] if says(frame, "chat:message") else [frame]

    async with Meddler.between(server.url, meddle) as meddler:
        outcome = await simulate(
            server.environment, "--url", meddler.url, "--drivers", "4", "--seconds", "7"
        )
    assert outcome.status == 1, outcome
    assert outcome.verdict.startswith("NOT GOOD")
    for problem in ("locations lost", "status events lost", "messages doubled"):
        assert re.search(rf"{problem}: \d+", outcome.verdict)


async def test_clients_whose_connections_are_cut_come_back_and_miss_nothing(server: Place) -> None:
    rides_begun = asyncio.Event()

    def watch(frame: Frame) -> Iterable[Frame]:
        if says(frame, "trip:location"):
            rides_begun.set()
        return [frame]

    async with Meddler.between(server.url, watch) as meddler:
        running = await begin(
            server.environment, "--url", meddler.url, "--drivers", "3", "--seconds", "5"
        )
        await asyncio.wait_for(rides_begun.wait(), DEADLINE_S)
        assert await meddler.cut() > 2
        outcome = await end(running)
    assert outcome.status == 0, outcome
    assert re.search(r"opened, [1-9]\d* times reconnected", outcome.output)


async def test_control_c_ends_the_rides_and_counts(server: Place) -> None:
    rides_begun = asyncio.Event()

    def watch(frame: Frame) -> Iterable[Frame]:
        if says(frame, "trip:location"):
            rides_begun.set()
        return [frame]

    async with Meddler.between(server.url, watch) as meddler:
        running = await begin(
            server.environment, "--url", meddler.url, "--drivers", "1", "--seconds", "600"
        )
        await asyncio.wait_for(rides_begun.wait(), DEADLINE_S)
        running.send_signal(signal.SIGINT)
        outcome = await end(running)
    assert outcome.status == 0, outcome
    assert outcome.verdict.startswith("All is well: 1 ride finished")


async def test_without_a_server_it_says_where_it_looked(tmp_path: Path) -> None:
    outcome = await simulate(environment(tmp_path), "--url", "http://127.0.0.1:9")
    assert outcome.status == 1
    assert "ridewire: http://127.0.0.1:9: no Ridewire answers there" in outcome.complaints


async def test_with_another_secret_it_says_that_its_tokens_are_refused(
    server: Place, tmp_path: Path
) -> None:
    outcome = await simulate(environment(tmp_path), "--url", server.url)
    assert outcome.status == 1
    assert "the server refuses the simulation's tokens" in outcome.complaints


async def test_without_a_key_to_sign_with_it_says_what_is_missing(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    outcome = await simulate(environment(tmp_path, JWT_PUBLIC_KEY=pem))
    assert outcome.status == 1
    assert "set JWT_SECRET" in outcome.complaints


async def test_a_file_that_is_no_trace_is_named(server: Place, tmp_path: Path) -> None:
    wrong = tmp_path / "cab.txt"
    wrong.write_text("not a trace\n")
    outcome = await simulate(server.environment, "--url", server.url, "--traces", str(wrong))
    assert outcome.status == 1
    assert f"ridewire: {wrong}, line 1: expected latitude" in outcome.complaints
