"""What /metrics answers: Prometheus' text format 0.0.4 and OpenMetrics 1.0.

A process renders its own samples, with the number of its worker in them where there are several,
and what several have rendered is put together family by family.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_OPENMETRICS_TYPE: Final = OPENMETRICS.partition(";")[0]
_TEXT_TYPE: Final = TEXT.partition(";")[0]


class Family(Struct, frozen=True, array_like=True):
    """A metric and its samples, each a line as both formats have it."""

    name: str
    kind: str
    about: str
    lines: list[str]


def rendered(metrics: Iterable[Metric], labels: Mapping[str, str]) -> list[Family]:
    """`labels` are put before those of every sample."""
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            [_line(sample, labels) for sample in metric.samples],
        )
        for metric in metrics
    ]


def merged(parts: Iterable[Iterable[Family]]) -> list[Family]:
    """The families of several processes; samples of one metric stand together."""
    families: dict[str, Family] = {}
    for family in (family for part in parts for family in part):
        known = families.get(family.name)
        if known is None:
            families[family.name] = Family(
                family.name, family.kind, family.about, list(family.lines)
            )
        else:
            known.lines.extend(family.lines)
    return list(families.values())


def text(families: Iterable[Family], content_type: str) -> bytes:
    """In one of the two formats."""
    is_openmetrics = content_type == OPENMETRICS
    lines = []
    for family in families:
        suffix = "_total" if family.kind == "counter" and not is_openmetrics else ""
        lines.append(f"# HELP {family.name}{suffix} {family.about}")
        lines.append(f"# TYPE {family.name}{suffix} {family.kind}")
        lines += family.lines
    if is_openmetrics:
        lines.append("# EOF")
    return "\n".join([*lines, ""]).encode()


def chosen(accept: str) -> str:
    """The content type to answer with, by an `Accept` header (RFC 9110, section 12.5.1)."""
    weights = {_OPENMETRICS_TYPE: 0.0, _TEXT_TYPE: 0.0}
    for part in accept.split(","):
        kind, *options = (piece.strip().lower() for piece in part.split(";"))
        named = dict(option.partition("=")[::2] for option in options)
        if kind == _OPENMETRICS_TYPE and named.get("version", "1.0.0") != "1.0.0":
            continue
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(named.get("q", "1")))
    wanted = weights[_OPENMETRICS_TYPE]
    return OPENMETRICS if wanted and wanted >= weights[_TEXT_TYPE] else TEXT


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _line(sample: Sample, labels: Mapping[str, str]) -> str:
    named = {**labels, **sample.labels}
    if not named:
        return f"{sample.name} {_number(sample.value)}"
    inner = ",".join([f'{name}="{_escaped(value)}"' for name, value in named.items()])
    return f"{sample.name}{{{inner}}} {_number(sample.value)}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    """As both formats take it; they know `inf` and `nan` in any case, with a sign or without."""
    return repr(float(value))
