"""The two text formats, read by the parsers of Prometheus' own library."""

from collections.abc import Iterable

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from realtime.counting import Instrument, Reading, Spread, Tally
from realtime.exposition import OPENMETRICS, TEXT, chosen, merged, rendered, text

_PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
    "escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
_HOSTILE = 'a"b\\c\nridewire_forged 1'


def instruments() -> list[Instrument]:
    tally = Tally("events", "Events.", "event")
    tally.counts[_HOSTILE] += 1
    tally.counts["a"] += 2
    spread = Spread("seconds", "Seconds.", "event")
    spread.observe(0.3, "a")
    reading = Reading("temperature", "Degrees.", "room", "side")
    reading.read = lambda: {("1", "left"): -0.5, ("1", "right"): 1e300}
    return [tally, spread, reading]


def parsed(body: bytes, content_type: str) -> list[Metric]:
    parse = (
        openmetrics_parser.text_string_to_metric_families
        if content_type == OPENMETRICS
        else text_string_to_metric_families
    )
    families: Iterable[Metric] = parse(body.decode())
    return list(families)


def collected() -> list[Metric]:
    return [metric for instrument in instruments() for metric in instrument.collect()]


def samples(metrics: Iterable[Metric]) -> set[tuple[str, frozenset[tuple[str, str]], float]]:
    return {
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for metric in metrics
        for sample in metric.samples
    }


@pytest.mark.parametrize("content_type", [TEXT, OPENMETRICS])
class TestFormats:
    def test_what_was_collected_is_read(self, content_type: str) -> None:
        metrics = collected()
        read = parsed(text(rendered(metrics, {}), content_type), content_type)
        assert [(m.name, m.type, m.documentation) for m in read] == [
            (m.name, m.type, m.documentation) for m in metrics
        ]
        assert samples(read) == samples(metrics)

    def test_processes_are_put_together_metric_by_metric(self, content_type: str) -> None:
        parts = [rendered(collected(), {"worker": number}) for number in ("1", "2")]
        read = parsed(text(merged(parts), content_type), content_type)
        assert len(read) == len(instruments())
        for number in ("1", "2"):
            of_one = {
                (name, labels - {("worker", number)}, value)
                for name, labels, value in samples(read)
                if ("worker", number) in labels
            }
            assert of_one == samples(collected())


def test_merging_changes_none_of_the_parts() -> None:
    part = rendered(collected(), {})
    before = [list(family.lines) for family in part]
    merged([part, part])
    assert [family.lines for family in part] == before


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0", OPENMETRICS),
        ("Application/OpenMetrics-Text;version=1.0.0;q=0.5,text/plain;q=0.4", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.7", TEXT),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=much", TEXT),
        (_PROMETHEUS_3, OPENMETRICS),
        (",;=,", TEXT),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(accept: str, content_type: str) -> None:
    assert chosen(accept) == content_type
