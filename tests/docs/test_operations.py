"""docs/operations.md says what is so: every metric, every label, the alerts' metrics."""

import ast
import re
from collections.abc import Iterator

import pytest
from msgspec import Struct
from prometheus_client.process_collector import ProcessCollector

from realtime import logs
from realtime.counting import Instrument
from realtime.metrics import Metrics
from realtime.scraping import WORKER, up_reading
from tests.docs.markdown import ROOT, Document, Row, plain

OPERATIONS = Document("docs/operations.md")
LINES = OPERATIONS.table("Logs")
_SAMPLES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}


def _instruments() -> list[Instrument]:
    return [*Metrics().instruments, up_reading()]


def _name(instrument: Instrument) -> str:
    return f"{instrument.name}_total" if instrument.kind == "counter" else instrument.name


def _rows() -> Iterator[Row]:
    for heading in OPERATIONS.subsections("Metrics"):
        for table in OPERATIONS.tables("Metrics", heading):
            yield from (row for row in table if "Metric" in row)


def _samples() -> dict[str, frozenset[str]]:
    """Every sample's name, and its labels."""
    labels = {
        f"{instrument.name}{suffix}": frozenset({*instrument.labels, WORKER, "le", "instance"})
        for instrument in _instruments()
        for suffix in _SAMPLES[instrument.kind]
    }
    return labels | {name: frozenset({WORKER}) for name in _of_the_process()}


def _of_the_process() -> set[str]:
    """Those that the operating system here tells, named as they are in the text format."""
    return {
        sample.name
        for family in ProcessCollector(registry=None).collect()
        for sample in family.samples
    }


def test_every_metric_is_described_and_no_other() -> None:
    described = [(row["Metric"], row["Type"], row["Labels"], row["Meaning"]) for row in _rows()]
    registered = [
        (_name(each), each.kind, ", ".join(each.labels), plain(each.about))
        for each in _instruments()
    ]
    assert sorted(described) == sorted(registered)


def test_the_metrics_of_the_process_are_described() -> None:
    told = set(re.findall(r"`(process_\w+)`", OPERATIONS.section("Metrics")))
    assert _of_the_process() <= told
    assert len(told) == 6


def test_every_label_is_described_and_no_other() -> None:
    described = {row["Label"].partition(" of ")[0] for row in OPERATIONS.table("Metrics", "Labels")}
    used = {label for instrument in _instruments() for label in instrument.labels}
    assert described == used - {WORKER, "version", "python", "method", "status"}


def test_the_alerts_ask_for_samples_and_labels_that_there_are() -> None:
    asked = re.findall(
        r"\b((?:ridewire|process)_\w+)(?:\{([^}]*)\})?", OPERATIONS.code_named("alerts")
    )
    samples = _samples()
    assert len(asked) > 10
    for name, matchers in asked:
        labels = set(re.findall(r"(\w+)[=!]", matchers))
        assert labels <= samples[name], name
    grouped = re.findall(r"by \(([^)]*)\)", OPERATIONS.code_named("alerts"))
    known = frozenset().union(*samples.values())
    assert {label.strip() for labels in grouped for label in labels.split(",")} <= known


@pytest.mark.parametrize("instrument", _instruments(), ids=lambda each: str(each.name))
def test_names_follow_the_conventions_of_prometheus(instrument: Instrument) -> None:
    assert re.fullmatch(r"ridewire_[a-z]+(_[a-z]+)*", instrument.name)
    assert instrument.about.endswith(".")
    assert not instrument.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms"))
    if instrument.kind == "histogram":
        assert instrument.name.endswith(("_seconds", "_size"))


class Line(Struct, frozen=True):
    """A call of a logger: its message with `…` for what is filled in, and the method's name."""

    message: str
    method: str
    is_fault: bool
    """Whether it has a traceback."""


class TestLogs:
    def test_every_line_is_described(self) -> None:
        described = {row["Line"] for row in LINES}
        written = {line.message for line in _lines()}
        assert described <= written
        assert {line.message for line in _lines() if not line.is_fault} <= described

    def test_lines_have_the_levels_that_are_described(self) -> None:
        described = {row["Line"]: row["Level"].split(", ") for row in LINES}
        for line in _lines():
            if line.message in described and line.method != "log":
                level = "error" if line.method == "exception" else line.method
                assert described[line.message] == [level], line

    def test_the_numbers_are_those_of_the_code(self) -> None:
        text = " ".join(OPERATIONS.section("Logs").split())
        numbers = {5: "five", 1_000: "thousand", 10: "ten"}
        most = f"errors the first {numbers[logs.MOST_WARNINGS]} of a kind"
        assert f"in {numbers[int(logs.WINDOW_S)]} seconds, of warnings and {most}" in text
        assert f"of others the first {numbers[logs.MOST_OTHERS]}" in text


def _lines() -> Iterator[Line]:
    """All that a server on stores of its own writes, with the rides' handlers."""
    for path in sorted((ROOT / "realtime").rglob("*.py")):
        if path.parent.name in ("simulation", "embedded") or path.name == "plain.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("log" | "_log"), attr=method), args=args
                ):
                    texts = [a.value for a in args if isinstance(a, ast.Constant)]
                    extras = {keyword.arg for keyword in node.keywords}
                    if texts and texts[0] != "%s":
                        message = str(texts[0]).replace("%s", "…")
                        yield Line(message, method, method == "exception" or "exc_info" in extras)
