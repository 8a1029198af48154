import pytest

from bench import plan
from bench.figures import Figure
from bench.goals import GOALS, Goal, verdicts
from bench.shapes import Outcome
from tests.bench.made_up import (
    IDLE,
    NODE,
    PICOWS,
    RELAY,
    RIDEWIRE,
    STOCK,
    outcome,
    results,
    rounds,
)


def goal(row: str, against: object = None) -> Goal:
    [found] = [one for one in GOALS if (one.row, one.against) == (row, against)]
    return found


def test_every_goal_is_of_a_row_and_a_contestant_in_it() -> None:
    rows = {row.name: row for row in plan.full().rows}
    for one in GOALS:
        assert one.against is None or one.against in rows[one.row].contestants


@pytest.mark.parametrize(
    ("row", "against", "says"),
    [
        ("relay", NODE, "events per CPU second: at least 2.5 times that of Node, socket.io"),
        ("relay", STOCK, "events per CPU second: at least 12 times that of python-socketio"),
        ("paced_relay", NODE, "p99 ms: at most 1 times that of Node, socket.io"),
        ("connect", None, "CPU µs per event: at most 650"),
    ],
)
def test_a_goal_says_what_is_expected(row: str, against: object, says: str) -> None:
    assert str(goal(row, against)) == says


@pytest.mark.parametrize(("found", "reached"), [(2.4, False), (2.5, True), (3, True)])
def test_what_is_to_be_at_least_so_much_is_reached_from_there_on(
    found: float, reached: bool
) -> None:
    assert goal("relay", NODE).reached(Figure(found, found, found)) is reached


@pytest.mark.parametrize(("found", "reached"), [(650, True), (651, False)])
def test_what_is_to_be_at_most_so_much_is_reached_up_to_there(found: float, reached: bool) -> None:
    assert goal("connect").reached(Figure(found, found, found)) is reached


def test_the_median_decides() -> None:
    made = results(
        rounds(RIDEWIRE, outcome(10), outcome(20), outcome(10)),
        rounds(NODE, outcome(30), outcome(30), outcome(30)),
        rounds(STOCK, outcome(110), outcome(110), outcome(110)),
    )
    to_node, to_stock = verdicts(made)
    assert (to_node.reached, to_stock.reached) == (True, False)


def test_beside_it_stands_what_is_to_be_had() -> None:
    made = results(
        rounds(RIDEWIRE, outcome(20), outcome(20)),
        rounds(NODE, outcome(40), outcome(60)),
        rounds(PICOWS, outcome(10), outcome(10)),
    )
    to_node, to_stock = verdicts(made)
    assert (to_node.found, to_node.limit) == (Figure(2.5, 2, 3), Figure(5, 4, 6))
    assert to_stock.limit is None


def test_what_was_not_measured_is_not_reached() -> None:
    [*found] = verdicts(results(rounds(RIDEWIRE, outcome(10))))
    assert [(one.found, one.reached) for one in found] == [(None, False)] * 2


def test_an_absolute_goal_needs_nobody_else() -> None:
    grown = Outcome(events=10_000, seconds=5, cpu_s=(1.0,), rss_after=10_000 * 19 * 1_024)
    made = results(rounds(RIDEWIRE, grown, row=IDLE), rows=(RELAY, IDLE))
    [found] = [one for one in verdicts(made) if one.row == IDLE]
    assert found.reached
