"""Counters, gauges and histograms, as Prometheus' own library reads them."""

from prometheus_client import CollectorRegistry

from realtime.counting import Instrument, Reading, Spread, Tally


def value(instrument: Instrument, suffix: str = "", **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(instrument)
    return registry.get_sample_value(f"{instrument.name}{suffix}", labels)


class TestTally:
    def test_it_counts_by_one_label_or_by_several(self) -> None:
        points = Tally("points", "Points.", "outcome")
        points.counts["accepted"] += 2
        assert value(points, "_total", outcome="accepted") == 2
        commands = Tally("commands", "Commands.", "event", "outcome")
        commands.counts["trip:create", "ok"] += 1
        assert value(commands, "_total", event="trip:create", outcome="ok") == 1

    def test_without_a_label_it_begins_at_zero(self) -> None:
        assert value(Tally("skipped", "Skipped."), "_total") == 0

    def test_what_is_counted_elsewhere_is_added(self) -> None:
        sent = Tally("sent", "Sent.", "event")
        sent.elsewhere = lambda: {"a": 3, "b": 4}
        sent.counts["a"] += 1
        assert value(sent, "_total", event="a") == 4
        assert value(sent, "_total", event="b") == 4


def test_a_reading_is_made_when_somebody_asks() -> None:
    alive = Reading("alive", "Whether.")
    assert value(alive) is None
    readings = iter([1, 0])
    alive.read = lambda: {(): next(readings)}
    family = [
        sample.value for _ in range(2) for metric in alive.collect() for sample in metric.samples
    ]
    assert family == [1, 0]


class TestSpread:
    def test_a_value_falls_into_every_bucket_that_it_is_not_above(self) -> None:
        seconds = Spread("seconds", "Seconds.", bounds=(0.1, 1.0))
        for each in (0.05, 0.1, 0.5, 7.0):
            seconds.observe(each)
        buckets = [value(seconds, "_bucket", le=bound) for bound in ("0.1", "1.0", "+Inf")]
        assert buckets == [2, 3, 4]
        assert value(seconds, "_count") == 4
        assert value(seconds, "_sum") == 0.05 + 0.1 + 0.5 + 7.0

    def test_a_weight_is_as_many_values(self) -> None:
        seconds = Spread("seconds", "Seconds.", "origin", bounds=(1.0,))
        seconds.observe(0.5, "local", 100)
        assert value(seconds, "_bucket", origin="local", le="1.0") == 100
        assert value(seconds, "_sum", origin="local") == 50

    def test_without_a_label_it_begins_at_zero(self) -> None:
        assert value(Spread("seconds", "Seconds."), "_count") == 0
