"""Counters, gauges and histograms for Prometheus at the price of an addition: for one thread only.

They hold plain numbers in dictionaries, which whoever counts changes in place; everything else is
done when somebody asks. Labels with several names are told by a tuple, one by a string, none by ().
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

Key = str | tuple[str, ...]
"""The values of the labels, in order."""
Counts = defaultdict[Key, int]

SECONDS: Final = (
    *(0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
"""Upper bounds of the buckets of a duration."""


class Instrument(Collector):
    """Something that is counted or measured, as it is described to Prometheus."""

    kind: str

    def __init__(self, name: str, about: str, *labels: str) -> None:
        self.name = name
        self.about = about
        self.labels = labels


class Tally(Instrument):
    """A counter; its name ends in `_total`."""

    kind = "counter"

    def __init__(self, name: str, about: str, *labels: str) -> None:
        super().__init__(name, about, *labels)
        self.counts: Counts = defaultdict(int)
        self.elsewhere: Callable[[], Mapping[Key, int]] = dict
        """Counts that somebody else keeps, besides these."""
        if not labels:
            self.counts[()] = 0

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self.name, self.about, labels=self.labels)
        elsewhere = self.elsewhere()
        for key in {**self.counts, **elsewhere}:
            family.add_metric(_values(key), self.counts.get(key, 0) + elsewhere.get(key, 0))
        yield family


class Reading(Instrument):
    """A gauge that is read when somebody asks."""

    kind = "gauge"

    def __init__(self, name: str, about: str, *labels: str) -> None:
        super().__init__(name, about, *labels)
        self.read: Callable[[], Mapping[Key, float]] = dict

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(self.name, self.about, labels=self.labels)
        for key, value in self.read().items():
            family.add_metric(_values(key), value)
        yield family


class Spread(Instrument):
    """A histogram."""

    kind = "histogram"

    def __init__(
        self, name: str, about: str, *labels: str, bounds: tuple[float, ...] = SECONDS
    ) -> None:
        """`bounds` are the upper bounds of the buckets but the last one, ascending."""
        super().__init__(name, about, *labels)
        self._bounds = bounds
        self._names = [*(repr(float(bound)) for bound in bounds), "+Inf"]
        self._of: dict[Key, _Distribution] = {}
        if not labels:
            self._distribution(())

    def observe(self, value: float, key: Key = (), weight: int = 1) -> None:
        """Note that a value occurred, `weight` times."""
        found = self._of.get(key) or self._distribution(key)
        found.counts[bisect_left(self._bounds, value)] += weight
        found.total += value * weight

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self.name, self.about, labels=self.labels)
        for key, found in self._of.items():
            buckets = list(zip(self._names, accumulate(found.counts), strict=True))
            family.add_metric(_values(key), buckets, found.total)
        yield family

    def _distribution(self, key: Key) -> "_Distribution":
        made = self._of[key] = _Distribution(len(self._names))
        return made


class _Distribution:
    """How many values fell into each bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, size: int) -> None:
        self.counts = [0] * size
        self.total = 0.0


def _values(key: Key) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key
