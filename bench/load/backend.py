"""READ_TRIPS and CREATE_TRIPS: a company's own backend, over HTTP connections that it keeps open.

Each connection has one request on its way. Without a rate the next one follows its answer at once.
With a rate requests are made evenly, and wait where no connection is free; delays count from the
time when a request was to be sent.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import cycle
from time import perf_counter
from typing import Final

from bench.load.cast import Cast
from bench.load.http import HttpClient
from bench.load.metronome import Metronome
from bench.load.record import Record
from bench.load.together import STRAGGLERS_S, until
from bench.load.window import measured
from bench.load.wishes import Wish, Wishes
from bench.shapes import Outcome, Scenario, Task

TRIPS_READ: Final = 200
"""So many trips are read in turn."""


class Backend:
    """Sends wishes over its connections."""

    def __init__(
        self, clients: list[HttpClient], next_wish: Callable[[], Wish], record: Record
    ) -> None:
        self.is_eager = False
        """Whether a wish follows each answer, without being asked for."""
        self.under_way = 0
        """Wishes without an answer yet, those included that wait for a connection."""
        self._idle = clients
        self._waiting: deque[float] = deque()
        """When each of the wishes that wait for a connection was to be sent."""
        self._next_wish = next_wish
        self._record = record

    def begin(self) -> None:
        """Send on every connection, and again whenever one has its answer."""
        self.is_eager = True
        while self._idle:
            self.send(perf_counter())

    def send(self, at: float) -> None:
        """`at` is when it should be."""
        self.under_way += 1
        if self._idle:
            self._send(self._idle.pop(), at)
        else:
            self._waiting.append(at)

    def _send(self, client: HttpClient, at: float) -> None:
        wish = self._next_wish()
        client.ask(wish.request, partial(self._answered, client, wish, at))

    def _answered(
        self, client: HttpClient, wish: Wish, at: float, status: int, body: bytes
    ) -> None:
        self.under_way -= 1
        if wish.is_right(status, body):
            self._record.delays.append(perf_counter() - at)
            self._record.events += 1
        else:
            self._record.is_wrong(f"answer {status}: {body.decode(errors='replace')}")
        self._idle.append(client)
        if self._waiting:
            self._send(self._idle.pop(), self._waiting.popleft())
        elif self.is_eager:
            self.send(perf_counter())


async def run(task: Task) -> Outcome:
    record = Record()
    url = task.target.urls[0]
    clients = [await HttpClient.connect(url, record) for _ in range(task.clients)]
    backend = Backend(clients, await _wishes(task, clients[0], record), record)
    metronome = Metronome(task.rate, lambda _, at: backend.send(at)) if task.rate else None
    if metronome is None:
        backend.begin()
    result = await measured(task, record)
    if metronome is not None:
        metronome.stop()
    backend.is_eager = False
    await until(lambda: not backend.under_way, within_s=STRAGGLERS_S)
    record.is_missing("answer", backend.under_way)
    return record.outcome(result.spent, events=result.events, delays=result.delays)


async def _wishes(task: Task, client: HttpClient, record: Record) -> Callable[[], Wish]:
    """What gives one wish after the other."""
    wishes = Wishes(task.target.urls[0], Cast(task.target, record).token("service", "backend", []))
    if task.scenario is Scenario.CREATE_TRIPS:
        return wishes.create
    return cycle([await wishes.read_one_more(client) for _ in range(TRIPS_READ)]).__next__
