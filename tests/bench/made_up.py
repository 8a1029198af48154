"""Results made by hand: a plan of few rows, outcomes with the numbers that a test is about."""

from bench.accounting import Machine
from bench.plan import Contestant, Plan, Row
from bench.results import Measured, Results
from bench.shapes import Outcome, Scenario

RIDEWIRE, NODE, STOCK, PICOWS = Contestant

RELAY = Row("relay", Scenario.RELAY, (RIDEWIRE, NODE, STOCK, PICOWS), clients=100, seconds=10)
IDLE = Row("idle", Scenario.IDLE, (RIDEWIRE, NODE, STOCK), clients=10_000, seconds=5)

MACHINE = Machine(
    cpu="Abacus",
    cores=2,
    memory=24 * 2**30,
    kernel="Linux 6.1",
    python="CPython 3.11.7",
    node="v20.20.2",
    valkey="9.1.2",
    packages={"aiohttp": "3.14.5", "secantusdb": "0.7.0b3"},
    node_packages={"socket.io": "4.8.4"},
)


def outcome(
    cpu_us: float, *, missing: int = 0, wrong: int = 0, p99_ms: float | None = None, note: str = ""
) -> Outcome:
    """A thousand events in half a second, of so much CPU each."""
    return Outcome(
        events=1_000,
        seconds=0.5,
        cpu_s=(cpu_us / 1_000,),
        p50_ms=1,
        p99_ms=p99_ms,
        missing=missing,
        wrong=wrong,
        generator_busy=0.7,
        note=note,
    )


def rounds(contestant: Contestant, *outcomes: Outcome, row: Row = RELAY) -> list[Measured]:
    return [Measured(row.name, contestant, n, one) for n, one in enumerate(outcomes, start=1)]


def results(*measured: list[Measured], rows: tuple[Row, ...] = (RELAY,), count: int = 3) -> Results:
    flat = tuple(one for several in measured for one in several)
    return Results("2026-02-03", MACHINE, Plan(rows, count), flat)
