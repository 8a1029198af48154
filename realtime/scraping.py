"""Whichever process Prometheus asks answers for all workers of the server.

They tell each other what they count, over sockets in a folder that is theirs alone. One that does
not answer in time is left out, and the answer says so.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from realtime.counting import Reading
from realtime.exposition import Family, chosen, merged, rendered, text

_log = logging.getLogger(__name__)

ANSWER_WITHIN_S: Final = 1.0
WORKER: Final = "worker"
"""The label by which workers are told apart. One that is started again keeps its number."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Family]).decode


class Worker(Struct, frozen=True):
    """One process of several: its number, from 1 on, and the folder where they find each other."""

    number: int
    among: int
    folder: str

    @property
    def address(self) -> str:
        return self.address_of(self.number)

    @property
    def others(self) -> list[int]:
        return [number for number in range(1, self.among + 1) if number != self.number]

    def address_of(self, number: int) -> str:
        return str(Path(self.folder) / f"{number}.sock")


class Scraping:
    """Renders what this process counts, and what the other workers do."""

    def __init__(self, registry: CollectorRegistry, worker: Worker | None = None) -> None:
        """Without `worker` the process is the only one."""
        self._registry = registry
        self._worker = worker
        self._labels = {} if worker is None else {WORKER: str(worker.number)}
        self._process = ProcessCollector(registry=None)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Have the other workers ask. Without a place for the socket each answers for itself."""
        if self._worker is None:
            return
        try:
            self._server = await asyncio.start_unix_server(self._tell, self._worker.address)
        except OSError as error:
            _log.warning("other workers cannot ask this one for its metrics: %s", error)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def answer(self, accept: str) -> tuple[bytes, str]:
        """The exposition of all workers and its content type, by an `Accept` header."""
        content_type = chosen(accept)
        if self._worker is None:
            return text(await self._own(), content_type), content_type
        own, *told = await asyncio.gather(
            self._own(), *(self._ask(self._worker, number) for number in self._worker.others)
        )
        heard = dict(zip(self._worker.others, map(bool, told), strict=True))
        up = _up({self._worker.number: True, **heard})
        return text(merged([up, own, *told]), content_type), content_type

    async def _own(self) -> list[Family]:
        counted = rendered(self._registry.collect(), self._labels)
        # In a thread, because it looks at every open file.
        process = await asyncio.to_thread(self._process.collect)
        return counted + rendered(process, self._labels)

    async def _tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(_encode(await self._own()))
            await writer.drain()
        except ConnectionError:
            pass  # it waits no longer
        finally:
            writer.close()

    async def _ask(self, worker: Worker, number: int) -> list[Family]:
        """What another worker counts; nothing if it does not say so in time."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reader, writer = await asyncio.open_unix_connection(worker.address_of(number))
                try:
                    return _decode(await reader.read())
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.DecodeError):
            return []


def up_reading() -> Reading:
    """Whose numbers are in an answer."""
    return Reading("ridewire_worker_up", "1 for a worker whose numbers are here, else 0.", WORKER)


def _up(workers: Mapping[int, bool]) -> list[Family]:
    reading = up_reading()
    reading.read = lambda: {str(number): workers[number] for number in sorted(workers)}
    return rendered(reading.collect(), {})
