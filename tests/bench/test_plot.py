from pathlib import Path

from bench import plan, plot
from bench.results import Measured, Results
from tests.bench.made_up import MACHINE, NODE, RIDEWIRE, outcome, results, rounds


def drawn(made: Results, tmp_path: Path) -> str:
    path = tmp_path / "results.svg"
    plot.draw(made, path)
    return path.read_text("utf-8")


def test_contestants_and_their_numbers_are_text_in_the_picture(tmp_path: Path) -> None:
    made = results(rounds(RIDEWIRE, outcome(16)), rounds(NODE, outcome(48), outcome(50)))
    picture = drawn(made, tmp_path)
    for text in ("Relay: CPU µs per event", "Ridewire", "16.0", "Node, socket.io", "49.0"):
        assert f">{text}</text>" in picture


def test_who_has_no_round_that_counts_has_no_bar_but_a_word(tmp_path: Path) -> None:
    made = results(rounds(RIDEWIRE, outcome(16)), rounds(NODE, outcome(48, missing=1)))
    assert "no round counts" in drawn(made, tmp_path)


def test_every_row_of_the_plan_has_a_panel(tmp_path: Path) -> None:
    whole = plan.full()
    everything = [
        Measured(row.name, who, 1, outcome(20)) for row in whole.rows for who in row.contestants
    ]
    picture = drawn(Results("2026-02-03", MACHINE, whole, tuple(everything)), tmp_path)
    assert picture.count(">Ridewire</text>") == len(whole.rows)


def test_the_same_results_make_the_same_picture(tmp_path: Path) -> None:
    made = results(rounds(RIDEWIRE, outcome(16)), rounds(NODE, outcome(48)))
    assert drawn(made, tmp_path) == drawn(made, tmp_path)
