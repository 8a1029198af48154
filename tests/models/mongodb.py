"""MongoDB for tests: databases of their own, and stores that may be killed or misunderstood."""

import asyncio
import secrets
import signal
import socket
import subprocess
import sys
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pymongo

_READY_WITHIN = 60


class Server:
    """An embedded store as a process that can be killed, frozen and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self._port}/?retryWrites=false"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self._process = self._start()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _start(self) -> subprocess.Popen[bytes]:
        configuration = self._folder / "secantusd.toml"
        configuration.touch()
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, "-P", "-m", "secantus"),
                    *("--config", str(configuration)),
                    *("--host", "127.0.0.1"),
                    *("--port", str(self._port)),
                    *("--storage-path", str(self._folder / "data")),
                    "--sync-on-commit",
                ],
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready(process)
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError((self._folder / "log").read_text())
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        process.kill()
        raise RuntimeError(f"the store is not ready after {_READY_WITHIN} s")


class LossyProxy:
    """Stands between a driver and a store; can lose an insert's answer, or swallow a question."""

    def __init__(self, url: str) -> None:
        self._store = urlsplit(url)
        self._loses_next = False
        self._swallows_next = False
        self._server: asyncio.Server | None = None
        self.lost = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()

    @property
    def url(self) -> str:
        if not self._server:
            raise RuntimeError("the proxy was not started")
        port = self._server.sockets[0].getsockname()[1]
        proxied = self._store._replace(netloc=f"127.0.0.1:{port}").geturl()
        return with_options(proxied, "directConnection=true")

    def lose_next_answer(self) -> None:
        self._loses_next = True

    def swallow_next_question(self) -> None:
        """The connection on which a document is looked for next says nothing any more."""
        self._swallows_next = True

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        store_reader, store_writer = await asyncio.open_connection(
            self._store.hostname, self._store.port
        )
        loses = asyncio.Event()
        with suppress(ConnectionError):
            await asyncio.gather(
                self._ask(reader, store_writer, loses), self._answer(store_reader, writer, loses)
            )

    async def _ask(self, reader: StreamReader, writer: StreamWriter, loses: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if self._swallows_next and b"find\0" in data:
                self._swallows_next = False
                while await reader.read(65_536):
                    pass
                break
            if self._loses_next and b"insert\0" in data:
                self._loses_next = False
                loses.set()
            writer.write(data)
        writer.close()

    async def _answer(
        self, reader: StreamReader, writer: StreamWriter, loses: asyncio.Event
    ) -> None:
        while data := await reader.read(65_536):
            if loses.is_set():
                self.lost += 1
                break
            writer.write(data)
        writer.close()


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    running = Server(folder)
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def new_database(url: str) -> Iterator[str]:
    """The address of a database that nobody else has, dropped in the end."""
    name = f"ridewire_test_{secrets.token_hex(8)}"
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with pymongo.timeout(60), client(url) as mongodb:
            mongodb.drop_database(name)


def with_options(url: str, options: str) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, options)))
    return parts._replace(query=query).geturl()


def client(url: str) -> pymongo.MongoClient[dict[str, object]]:
    """For a look behind the stores."""
    return pymongo.MongoClient(url)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
