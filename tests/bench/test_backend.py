"""The load over HTTP: what a server may answer wrongly, or not at all, is seen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
import pytest

from bench.load import backend
from bench.load.client import Refused
from bench.load.http import HttpClient, request
from bench.load.record import Record
from bench.load.together import until
from bench.shapes import Outcome, Scenario, Target, Task
from tests.servers import SECRET

Answer = Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]] | None]
"""What a server makes of a method and a trip: status and body; None where it does not answer."""


class SmallServer:
    """Enough of a server to keep trips, and to tell them rightly or not."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._trips: dict[str, dict[str, Any]] = {}
        self._numbers = count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._take(head.decode(), reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    async def _take(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, path, *_ = head.split()
        if method == "POST":
            length = int(head.rpartition("Content-Length: ")[2])
            trip = self._created(msgspec.json.decode(await reader.readexactly(length)))
        else:
            trip = self._trips[path.rpartition("/")[2]]
        answer = self._answer(method, trip)
        if answer is not None:
            status, content = answer
            body = msgspec.json.encode(content)
            answered = f"HTTP/1.1 {status} Whatever\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(answered[:9].encode())
            await asyncio.sleep(0)  # a client gets it in parts
            writer.write(answered[9:].encode() + body)

    def _created(self, draft: dict[str, Any]) -> dict[str, Any]:
        trip_id = str(next(self._numbers))
        trip = {"id": trip_id, "status": "requested", "version": 1, "driver_id": None, **draft}
        self._trips[trip_id] = trip
        return trip


def rightly(method: str, trip: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return (201 if method == "POST" else 200), trip


def for_somebody_else(method: str, trip: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return rightly(method, {**trip, "rider_id": "somebody else"})


def as_if_it_were_read(_method: str, trip: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 200, trip


def not_a_trip(_method: str, _trip: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 201, {"ok": True}


def never(_method: str, _trip: dict[str, Any]) -> None:
    return None


def another_one_when_read(method: str, trip: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return rightly(method, trip if method == "POST" else {**trip, "id": "another"})


@asynccontextmanager
async def small_server(answer: Answer) -> AsyncIterator[str]:
    server = await asyncio.start_server(SmallServer(answer).serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def loaded(answer: Answer, scenario: Scenario, rate: float = 0) -> Outcome:
    async with small_server(answer) as url:
        target = Target((url,), (), has_trips=False, secret=SECRET)
        task = Task(scenario, target, clients=2, seconds=0.1, warm_up_s=0.1, rate=rate)
        return await backend.run(task)


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is not waited for."""
    monkeypatch.setattr(backend, "STRAGGLERS_S", 0.05)


@pytest.mark.parametrize("scenario", [Scenario.READ_TRIPS, Scenario.CREATE_TRIPS])
@pytest.mark.parametrize("rate", [0, 100])
async def test_right_answers_count(scenario: Scenario, rate: float) -> None:
    outcome = await loaded(rightly, scenario, rate)
    assert (outcome.missing, outcome.wrong) == (0, 0), outcome.note
    assert outcome.events > 0
    assert outcome.p50_ms is not None


@pytest.mark.parametrize("answer", [for_somebody_else, as_if_it_were_read, not_a_trip])
async def test_a_wrong_answer_to_a_new_trip_is_seen(answer: Answer) -> None:
    outcome = await loaded(answer, Scenario.CREATE_TRIPS)
    assert outcome.wrong > 0
    assert outcome.events == 0


async def test_a_trip_that_is_not_the_one_asked_for_is_seen() -> None:
    outcome = await loaded(another_one_when_read, Scenario.READ_TRIPS)
    assert outcome.wrong > 0


async def test_answers_that_do_not_come_are_missing() -> None:
    assert (await loaded(never, Scenario.CREATE_TRIPS)).missing == 2


async def test_requests_that_wait_for_a_connection_are_missing_too() -> None:
    assert (await loaded(never, Scenario.CREATE_TRIPS, rate=200)).missing > 2


async def test_trips_that_cannot_be_created_cannot_be_read() -> None:
    with pytest.raises(Refused, match="not created"):
        await loaded(not_a_trip, Scenario.READ_TRIPS)


async def test_a_connection_that_ends_before_its_answer_is_missing() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    record = Record()
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname())
        client = await HttpClient.connect(url, record)
        client.ask(request("GET", url), lambda _status, _body: None)
        assert await until(lambda: record.missing == 1, within_s=10)


def test_a_request_is_what_http_says() -> None:
    sent = request("POST", "http://example.test:8080/v1/trips", "a.b.c", {"client_id": "1"})
    head, _, body = sent.decode().partition("\r\n\r\n")
    assert head.split("\r\n") == [
        "POST /v1/trips HTTP/1.1",
        "Host: example.test:8080",
        "Authorization: Bearer a.b.c",
        "Content-Type: application/json",
        "Content-Length: 18",
    ]
    assert body == '{"client_id": "1"}'
