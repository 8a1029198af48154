"""The results in bench/: page and picture are made of them, and the README shows both."""

import pytest

from bench import plan, plot, report
from bench.results import Results
from tests.docs.markdown import ROOT, Document

RESULTS = ROOT / "bench" / "results.json"
PAGE = RESULTS.with_suffix(".md")
PICTURE = RESULTS.with_suffix(".svg")

pytestmark = pytest.mark.skipif(
    not any(path.exists() for path in (RESULTS, PAGE, PICTURE)),
    reason="no results are published yet: `make bench` writes them",
)


def test_they_are_those_of_the_whole_benchmark() -> None:
    published = Results.load(RESULTS).plan
    assert [row.name for row in published.rows] == list(plan.NAMES)
    assert published.rounds >= 3
    assert not published.quick


def test_the_page_is_made_of_them() -> None:
    assert PAGE.read_text("utf-8") == report.text(Results.load(RESULTS))


def test_the_picture_is_made_of_them() -> None:
    assert PICTURE.read_text("utf-8") == plot.picture(Results.load(RESULTS))


def test_the_readme_shows_them() -> None:
    assert {"bench/results.md", "bench/results.svg"} <= {*Document("README.md").links()}


def test_every_round_of_ridewire_counts() -> None:
    assert not [one for one in Results.load(RESULTS).spoiled() if one.contestant == "ridewire"]
