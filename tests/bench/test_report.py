from pathlib import Path

import pytest
from msgspec import structs

from bench import plan, report
from bench.plan import Plan
from bench.results import Counting, Measured, Profile, Results
from tests.bench.made_up import (
    IDLE,
    MACHINE,
    NODE,
    PICOWS,
    RIDEWIRE,
    STOCK,
    outcome,
    results,
    rounds,
)
from tests.docs.markdown import Document, Row

MADE = results(
    rounds(RIDEWIRE, outcome(16, p99_ms=1.5), outcome(15, p99_ms=2.5), outcome(17, p99_ms=2)),
    rounds(NODE, outcome(48), outcome(45), outcome(51)),
    rounds(STOCK, outcome(240), outcome(9, missing=7, note="7 locations"), outcome(255)),
    [Measured("relay", PICOWS, n, failure="it said last:\n" + "no | port\n" * 30) for n in (1, 2)],
)


@pytest.fixture
def page(tmp_path: Path) -> Document:
    path = tmp_path / "results.md"
    path.write_text(report.text(MADE), "utf-8")
    return Document(str(path))


def contestants(page: Document) -> dict[str, Row]:
    return {row[""]: row for row in page.table("Relay")}


def test_a_row_says_how_big_it_is_and_what_an_event_is(page: Document) -> None:
    assert "100 drivers" in page.section("Relay")
    assert "An event is a location delivered." in page.section("Relay")


def test_a_contestant_has_medians_and_spread(page: Document) -> None:
    ours = contestants(page)["Ridewire"]
    assert ours["CPU µs per event"] == "16.0 (15.0…17.0)"
    assert ours["events per CPU second"] == "62,500"
    assert ours["events/s"] == "2,000"
    assert ours["p50 ms"] == "1.00"
    assert ours["p99 ms"] == "2.00 (1.50…2.50)"
    assert ours["server busy %"] == "3.20"
    assert ours["generator busy %"] == "70.0"


def test_ridewire_is_compared_with_the_others_and_not_with_itself(page: Document) -> None:
    ratio = "Ridewire ÷ this, events per CPU second"
    compared = {name: row[ratio] for name, row in contestants(page).items()}
    assert compared["Ridewire"] == "—"
    assert compared["Node, socket.io"] == "3.00"


def test_a_contestant_of_whom_not_all_rounds_count_is_marked(page: Document) -> None:
    assert [*contestants(page)] == [
        "Ridewire",
        "Node, socket.io",
        "python-socketio (2 of 3 rounds)",
        "picows, bare (0 of 2 rounds)",
    ]
    assert contestants(page)["picows, bare (0 of 2 rounds)"]["CPU µs per event"] == "—"


def test_spoiled_rounds_are_listed_with_why(page: Document) -> None:
    lost, *failed = page.table("Rounds that do not count")
    assert lost == {
        "Row": "Relay",
        "Contestant": "python-socketio",
        "Round": "2",
        "Why": "7 missing, 7 locations",
    }
    assert [row["Round"] for row in failed] == ["1", "2"]


def test_what_a_server_said_is_cut_short_and_breaks_no_table() -> None:
    [line] = [line for line in report.text(MADE).splitlines() if "it said last" in line][:1]
    assert "no / port" in line
    assert len(line) < 300


def test_what_the_generator_remarked_on_a_round_that_counts_is_told() -> None:
    made = results(rounds(NODE, outcome(48), outcome(48, note="it was slow\nto start")))
    assert "\n- Node, socket.io, round 2: it was slow to start\n" in report.text(made)


def test_without_spoiled_rounds_the_page_says_so() -> None:
    assert "in every round everything arrived" in report.text(results(rounds(NODE, outcome(1))))


def test_goals_are_told_with_whether_they_are_reached(page: Document) -> None:
    to_node, to_stock = page.table("Goals")
    assert (to_node["Measured"], to_node["Reached"]) == ("3.00", "yes")
    assert to_stock["Row"] == "Relay, 100"
    assert to_stock["Reached"] == "yes"


def test_a_missed_goal_and_one_without_numbers_are_told_apart() -> None:
    slow = results(rounds(RIDEWIRE, outcome(40)), rounds(NODE, outcome(48)))
    missed, unknown = [line for line in report.text(slow).splitlines() if "times that of" in line]
    assert missed.endswith("| 1.20 | — | **no** |")
    assert unknown.endswith("| — | — | — |")


def test_hardware_and_versions_are_named(page: Document) -> None:
    on = page.section("Measured on")
    for part in ("Abacus, 2 cores, 24 GiB", "Linux 6.1", "socket.io 4.8.4", "Valkey 9.1.2"):
        assert part in on
    assert "2026-02-03" in page.text


def test_a_paced_row_tells_its_rate() -> None:
    row = plan.full().only(["paced_relay"]).rows[-1]
    paced = [Measured(row.name, NODE, 1, outcome(48), rate=9_822.0)]
    assert "9,822 locations a second" in report.text(results(paced, rows=(row,)))


def profiled(profile: Profile, tmp_path: Path) -> Document:
    """A page with a profile of the relay, of which each location takes 16 µs."""
    path = tmp_path / "profiled.md"
    path.write_text(report.text(structs.replace(MADE, profiles=(profile,))), "utf-8")
    return Document(str(path))


def test_a_profile_tells_where_each_microsecond_goes(tmp_path: Path) -> None:
    shares = {"kernel: writing": 0.25, "encode": 0.125, "event loop": 0.625}
    page = profiled(Profile("relay", shares, samples=1_000), tmp_path)
    table = page.table("Where the time goes: Relay")
    told = {row["Layer"]: row["CPU µs per event"] for row in table}
    assert told == {
        "kernel: writing": "4.00",
        "encode": "2.00",
        "event loop": "10.00",
        "all": "16.00",
    }
    assert all(row["What for"] for row in table)
    assert "1,000 stacks" in page.section("Where the time goes: Relay")


def test_a_profile_that_was_not_measured_says_why(tmp_path: Path) -> None:
    page = profiled(Profile("relay", problem="py-spy is not installed"), tmp_path)
    section = page.section("Where the time goes: Relay")
    assert section.strip() == "Not measured: py-spy is not installed."


def test_the_cost_of_counting_is_a_share_of_a_relayed_location(tmp_path: Path) -> None:
    path = tmp_path / "counting.md"
    counting = Counting(alone=(900, 800, 1_000), together=(150, 160, 170))
    path.write_text(report.text(structs.replace(MADE, counting=counting)), "utf-8")
    alone, together = Document(str(path)).table("What counting costs")
    assert [*alone.values()][1:] == ["0.90", "5.62"]
    assert [*together.values()][1:] == ["0.16", "1.00"]


def test_who_has_fewer_clients_is_named() -> None:
    row = structs.replace(IDLE, fewer={STOCK: 3_000})
    made = results(rounds(RIDEWIRE, outcome(1), row=row), rows=(row,))
    assert "10,000 riders" in report.text(made)
    assert "python-socketio has 3,000." in report.text(made)


@pytest.mark.parametrize("chosen", [plan.full(), plan.quick()], ids=["full", "quick"])
def test_a_page_can_be_made_of_every_plan(chosen: Plan) -> None:
    everything = [
        Measured(row.name, who, n, outcome(20))
        for row in chosen.rows
        for who in row.contestants
        for n in range(1, chosen.rounds + 1)
    ]
    page = report.text(Results("2026-02-03", MACHINE, chosen, tuple(everything)))
    assert ("A short run" in page) is chosen.quick
    assert page.count("\n## ") == 3 + len(chosen.rows)


def test_progress_is_a_line_with_the_numbers_of_the_round() -> None:
    assert report.progress(Measured("relay", NODE, 2, outcome(48))) == (
        "relay, round 2, node: CPU µs per event 48.0, events per CPU second 20,833,"
        " events/s 2,000, p50 ms 1.00, server busy % 9.60, generator busy % 70.0"
    )


def test_progress_tells_a_spoiled_round() -> None:
    told = report.progress(Measured("relay", NODE, 2, outcome(48, wrong=1)))
    assert told == "relay, round 2, node: SPOILED, 1 wrong"
