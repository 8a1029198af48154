"""The results in bench/: page and picture are made of them, and the README shows both."""

from bench import plan, plot, report
from bench.plan import Contestant
from bench.results import Results
from tests.docs.markdown import ROOT, Document

RESULTS = ROOT / "bench" / "results.json"
PAGE = RESULTS.with_suffix(".md")
PICTURE = RESULTS.with_suffix(".svg")


def test_they_are_those_of_the_whole_benchmark() -> None:
    assert Results.load(RESULTS).plan == plan.full()


def test_the_page_is_made_of_them() -> None:
    assert PAGE.read_text("utf-8") == report.text(Results.load(RESULTS))


def test_the_picture_is_made_of_them() -> None:
    assert PICTURE.read_text("utf-8") == plot.picture(Results.load(RESULTS))


def test_the_readme_shows_them() -> None:
    assert {"bench/results.md", "bench/results.svg"} <= {*Document("README.md").links()}


def test_most_rounds_of_ridewire_count_and_the_others_are_told() -> None:
    results, page = Results.load(RESULTS), PAGE.read_text("utf-8")
    for row in results.plan.rows:
        assert len(results.good(row, Contestant.RIDEWIRE)) > results.plan.rounds / 2
    assert not [*results.spoiled()] or "Rounds that do not count" in page
