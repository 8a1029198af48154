"""Several processes' numbers in one answer: here several in one process, over the same sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from realtime.counting import Tally
from realtime.exposition import OPENMETRICS, TEXT
from realtime.scraping import Scraping, Worker, up_reading

Values = dict[str | None, float]
"""By worker."""


class Process:
    def __init__(self, worker: Worker | None) -> None:
        self.registry = CollectorRegistry()
        self.events = Tally("events", "Events.")
        self.registry.register(self.events)
        self.scraping = Scraping(self.registry, worker)

    async def values(self, name: str) -> Values:
        body, _ = await self.scraping.answer("")
        return {
            sample.labels.get("worker"): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
            if sample.name == name
        }


Start = Callable[[int], Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a worker, by its number, of three."""
    running: list[Process] = []

    async def start_one(number: int) -> Process:
        running.append(Process(Worker(number, 3, str(tmp_path))))
        await running[-1].scraping.start()
        return running[-1]

    yield start_one
    for process in running:
        await process.scraping.close()


async def test_the_only_process_has_no_number() -> None:
    only = Process(None)
    await only.scraping.start()
    only.events.counts[()] += 1
    assert await only.values("events_total") == {None: 1}
    assert await only.values(up_reading().name) == {}


async def test_whichever_worker_is_asked_answers_for_all(start: Start) -> None:
    workers = [await start(number) for number in (1, 2, 3)]
    for count, worker in enumerate(workers, start=5):
        worker.events.counts[()] += count
    for worker in workers:
        assert await worker.values("events_total") == {"1": 5, "2": 6, "3": 7}
        assert await worker.values(up_reading().name) == {"1": 1, "2": 1, "3": 1}


async def test_a_worker_that_is_gone_is_left_out_and_comes_back_from_zero(start: Start) -> None:
    first, second, _third = [await start(number) for number in (1, 2, 3)]
    second.events.counts[()] += 6
    await second.scraping.close()
    assert await first.values("events_total") == {"1": 0, "3": 0}
    assert await first.values(up_reading().name) == {"1": 1, "2": 0, "3": 1}
    await start(2)
    assert await first.values("events_total") == {"1": 0, "2": 0, "3": 0}


async def test_a_worker_that_says_nothing_costs_a_second_at_most(
    start: Start, tmp_path: Path
) -> None:
    first = await start(1)
    heard = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard.wait()
        writer.close()

    mute = await asyncio.start_unix_server(say_nothing, Worker(2, 3, str(tmp_path)).address)
    try:
        assert await first.values("events_total") == {"1": 0}
    finally:
        heard.set()
        mute.close()


async def test_a_worker_that_talks_nonsense_is_left_out(start: Start, tmp_path: Path) -> None:
    first = await start(1)

    async def talk_nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xc1nonsense")
        writer.close()

    other = await asyncio.start_unix_server(talk_nonsense, Worker(2, 3, str(tmp_path)).address)
    try:
        assert await first.values("events_total") == {"1": 0}
    finally:
        other.close()


async def test_a_worker_without_a_place_for_its_socket_answers_for_itself(tmp_path: Path) -> None:
    alone = Process(Worker(1, 2, str(tmp_path / "not there")))
    await alone.scraping.start()
    assert await alone.values("events_total") == {"1": 0}
    assert await alone.values(up_reading().name) == {"1": 1, "2": 0}
    await alone.scraping.close()


async def test_the_content_type_is_that_of_the_format() -> None:
    only = Process(None)
    assert (await only.scraping.answer(""))[1] == TEXT
    body, content_type = await only.scraping.answer("application/openmetrics-text")
    assert content_type == OPENMETRICS
    assert body.endswith(b"# EOF\n")
