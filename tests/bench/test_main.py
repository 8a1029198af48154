from pathlib import Path

import pytest

from bench import plan
from bench.__main__ import PUBLISHED, folder_for, main
from bench.plan import Plan
from tests.bench.made_up import NODE, RIDEWIRE, outcome, results, rounds


def test_the_whole_benchmark_is_published() -> None:
    assert folder_for(plan.full()) == PUBLISHED


@pytest.mark.parametrize(
    "chosen",
    [plan.quick(), plan.full().only(["relay"]), plan.full().in_rounds(1)],
    ids=["quick", "some rows", "one round"],
)
def test_less_than_that_never_takes_the_place_of_what_is_published(chosen: Plan) -> None:
    assert folder_for(chosen) == PUBLISHED / "quick"


def test_page_and_plot_can_be_made_anew_from_the_results(tmp_path: Path) -> None:
    results(rounds(RIDEWIRE, outcome(16))).save(tmp_path / "results.json")
    assert main(["--render", "--output", str(tmp_path)]) == 0
    assert "16.0" in (tmp_path / "results.md").read_text("utf-8")
    assert "16.0" in (tmp_path / "results.svg").read_text("utf-8")


def test_the_exit_status_tells_a_spoiled_round_of_ridewire_only(tmp_path: Path) -> None:
    for contestant, status in ((RIDEWIRE, 1), (NODE, 0)):
        results(rounds(contestant, outcome(16, missing=1))).save(tmp_path / "results.json")
        assert main(["--render", "--output", str(tmp_path)]) == status


def test_results_that_are_not_there_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--render", "--output", str(tmp_path)]) == 1
    assert "results.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--only", "tea"], ["--rounds", "0"], ["--rounds", "many"], ["--profile", "idle"]],
)
def test_misuse_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
