"""What the server counts, for Prometheus. Few and meaningful; no user ids in labels."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from realtime import __version__

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Tally(Collector):
    """Counts by one label, at the price of an addition: for what happens thousands of times a
    second. For one thread only.
    """

    def __init__(self, name: str, about: str, label: str) -> None:
        self.counts: defaultdict[str, int] = defaultdict(int)
        self._name = name
        self._about = about
        self._label = label

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._about, labels=(self._label,))
        for value, count in self.counts.items():
            family.add_metric((value,), count)
        yield family


class _BusMessages(Collector):
    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "ridewire_bus_messages",
            "Messages between instances, by what became of them here.",
            labels=("direction",),
        )
        for direction, count in self._counts().items():
            family.add_metric((direction,), count)
        yield family


class Metrics:
    """One registry per server, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.connections = Gauge(
            "ridewire_connections",
            "Open authenticated connections.",
            ("role", "parser"),
            registry=self.registry,
        )
        self.refused = Counter(
            "ridewire_refused_connections_total",
            "Connections that were not accepted.",
            ("code",),
            registry=self.registry,
        )
        self.commands = Counter(
            "ridewire_commands_total",
            "Commands by event and outcome (`ok` or the error's code); points have their own.",
            ("event", "outcome"),
            registry=self.registry,
        )
        self.points = Tally(
            "ridewire_points",
            "Points of drivers by outcome (`accepted` or why they were rejected).",
            "outcome",
        )
        self.facts = Tally("ridewire_facts", "Events published by this instance.", "event")
        for tally in (self.points, self.facts):
            self.registry.register(tally)
        self.bus_alive = Gauge(
            "ridewire_bus_alive",
            "1 while publications come back through Redis.",
            registry=self.registry,
        )
        build = Gauge("ridewire_build_info", "The version.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)

    def watch_bus(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Have what the bus counts itself in every exposition."""
        self.registry.register(_BusMessages(counts))

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
