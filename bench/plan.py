"""Which rows a run of the benchmark has: a load, its size and time, and who is put under it."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from bench.shapes import Scenario


class Contestant(StrEnum):
    RIDEWIRE = "ridewire"
    NODE = "node"
    """socket.io on Node with @socket.io/redis-adapter."""
    STOCK = "stock"
    """python-socketio with its AsyncRedisManager."""
    PICOWS = "picows"
    """A bare WebSocket server that passes the same frames through Redis: the limit, no rival."""


class Row(Struct, frozen=True):
    """One load, to which every contestant is put in turn."""

    name: str
    scenario: Scenario
    contestants: tuple[Contestant, ...]
    clients: int
    """As `bench.shapes.Task.clients` counts them."""
    seconds: float
    """Measured, where the load does not end by itself."""
    instances: int = 1
    """Server processes. With two, drivers are on one and riders on the other."""
    warm_up_s: float = 0.0
    """Before that. Node compiles what runs often only after a while."""
    half_of: str = ""
    """The row, run before, that gives the rate of this one: half of what the slowest of this one's
    contestants carried there."""
    in_flight: int = 1
    """Locations of a fan-out that are on their way at a time."""
    fewer: dict[Contestant, int] = {}
    """The clients of those that would need minutes for so many."""

    def clients_of(self, contestant: Contestant) -> int:
        return self.fewer.get(contestant, self.clients)


class Plan(Struct, frozen=True):
    rows: tuple[Row, ...]
    rounds: int
    quick: bool = False
    """Whether sizes and times are those of a short run, which shows less."""

    def only(self, names: Collection[str]) -> "Plan":
        """The rows of these names, and those that they need."""
        needed = {row.half_of for row in self.rows if row.name in names} | {*names}
        return Plan(tuple(row for row in self.rows if row.name in needed), self.rounds, self.quick)

    def in_rounds(self, rounds: int) -> "Plan":
        return Plan(self.rows, rounds, self.quick)

    @property
    def trials(self) -> int:
        return self.rounds * sum(len(row.contestants) for row in self.rows)

    @property
    def estimate_s(self) -> float:
        """How long it takes, roughly: with servers that start and clients that connect."""
        trials_s = sum(_trial_s(row, who) for row in self.rows for who in row.contestants)
        insight_s = _QUICK_INSIGHT_S if self.quick else _INSIGHT_S
        return self.rounds * trials_s + len(self.rows) * _STORES_S + insight_s


class _Size(NamedTuple):
    clients: int
    seconds: float = 0.0
    of_stock: int = 0
    """Clients of python-socketio, if it has fewer."""


_R, _N, _S, _P = Contestant
_ALL: Final = (_R, _N, _S, _P)
_PEERS: Final = (_R, _N, _S)
_PAIR: Final = (_R, _N)

_FULL: Final = {
    "relay": _Size(100, 6),
    "relay_two": _Size(100, 6),
    "paced_relay": _Size(100, 6),
    "fan_out": _Size(1_000, 5),
    "fan_out_burst": _Size(1_000, 5),
    "city": _Size(2_000, 10),
    "connect": _Size(3_000),
    "idle": _Size(10_000, 1, of_stock=3_000),
    "leave": _Size(10_000, of_stock=3_000),
    "chat": _Size(200, 6),
    "read_trips": _Size(50, 4),
    "read_trips_paced": _Size(50, 4),
    "create_trips": _Size(50, 4),
    "create_trips_paced": _Size(50, 4),
}
_QUICK: Final = {
    "relay": _Size(100, 1),
    "relay_two": _Size(100, 1),
    "paced_relay": _Size(100, 1),
    "fan_out": _Size(300, 1),
    "fan_out_burst": _Size(300, 1),
    "city": _Size(200, 1.5),
    "connect": _Size(500),
    "idle": _Size(500, 0.5),
    "leave": _Size(500),
    "chat": _Size(50, 1),
    "read_trips": _Size(20, 0.5),
    "read_trips_paced": _Size(20, 0.5),
    "create_trips": _Size(20, 0.5),
    "create_trips_paced": _Size(20, 0.5),
}
NAMES: Final = tuple(_FULL)


def full() -> Plan:
    return Plan(_rows(_FULL, warm_up_s=2, most=_PEERS), rounds=3)


def quick() -> Plan:
    """A few minutes in all: to see that everything runs, and about how it compares."""
    return Plan(_rows(_QUICK, warm_up_s=1, most=_PAIR), rounds=1, quick=True)


def _rows(
    size: Mapping[str, _Size], warm_up_s: float, most: tuple[Contestant, ...]
) -> tuple[Row, ...]:
    """`most` are the contestants of most rows."""

    def row(
        name: str,
        scenario: Scenario,
        contestants: tuple[Contestant, ...],
        *,
        instances: int = 1,
        half_of: str = "",
        in_flight: int = 1,
    ) -> Row:
        clients, seconds, of_stock = size[name]
        fewer = {_S: of_stock} if of_stock else {}
        rest = (instances, warm_up_s, half_of, in_flight, fewer)
        return Row(name, scenario, contestants, clients, seconds, *rest)

    return (
        row("relay", Scenario.RELAY, _ALL),
        row("relay_two", Scenario.RELAY, (*most, _P), instances=2),
        # python-socketio cannot carry half of Node's rate.
        row("paced_relay", Scenario.PACED_RELAY, _PAIR, half_of="relay"),
        row("fan_out", Scenario.FAN_OUT, (*most, _P)),
        row("fan_out_burst", Scenario.FAN_OUT, _PAIR, in_flight=4),
        row("city", Scenario.CITY, most),
        row("connect", Scenario.CONNECT, most),
        row("idle", Scenario.IDLE, most),
        row("leave", Scenario.LEAVE, most),
        row("chat", Scenario.CHAT, most),
        row("read_trips", Scenario.READ_TRIPS, _PAIR),
        row("read_trips_paced", Scenario.READ_TRIPS, _PAIR, half_of="read_trips"),
        row("create_trips", Scenario.CREATE_TRIPS, _PAIR),
        row("create_trips_paced", Scenario.CREATE_TRIPS, _PAIR, half_of="create_trips"),
    )


_START_S: Final = 2.0
"""A server and the generator, until they are ready, and their end."""
_STORES_S: Final = 2.5
"""Those of a row."""
# The profiles and what counting costs, at the end.
_INSIGHT_S: Final = 130.0
_QUICK_INSIGHT_S: Final = 60.0
_AT_ONCE: Final = {Scenario.CONNECT, Scenario.IDLE}
"""Loads that do not warm up."""
_CLIENT_S: Final = {
    Scenario.RELAY: 0.004,
    Scenario.PACED_RELAY: 0.004,
    Scenario.FAN_OUT: 0.0015,
    Scenario.CITY: 0.009,
    Scenario.CONNECT: 0.0013,
    Scenario.IDLE: 0.0013,
    Scenario.LEAVE: 0.0016,
    Scenario.CHAT: 0.02,
    Scenario.READ_TRIPS: 0.015,
    Scenario.CREATE_TRIPS: 0.001,
}
"""One of `Row.clients`, with all that it needs before a load begins, and at its end."""


def _trial_s(row: Row, contestant: Contestant) -> float:
    clients_s = row.clients_of(contestant) * _CLIENT_S[row.scenario]
    warm_up_s = 0.0 if row.scenario in _AT_ONCE else row.warm_up_s
    return _START_S + clients_s + warm_up_s + row.seconds
