"""The results as a page: what was measured how and on what, a table per row, goals."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Final

from bench import counting, layers
from bench.accounting import Machine
from bench.figures import CPU, Figure, Measure, figure, number, ratio
from bench.goals import Verdict, verdicts
from bench.plan import Contestant, Row
from bench.results import Measured, Profile, Results
from bench.shapes import HTTP
from bench.views import CALLED, VIEWS

NOTHING: Final = "—"
_GIB: Final = 2**30
_LONGEST: Final = 200
"""Characters of what a server or the generator said."""
_SHORT: Final = (
    "**A short run**, with fewer clients and less time than the goals are meant for: it shows that"
    " everything works, and roughly how it compares."
)
_METHOD: Final = (
    "Every server is a new process for each round of each row, pinned to one core; the load"
    " generator, Redis and MongoDB share another one of the same machine. Rounds go in turn: each"
    " contestant once, then each again. CPU is that of the server's processes by the operating"
    " system's accounting, over the same window as the events; where a row has two instances, it"
    " is that of both. Times are from sending to receipt, on the generator's clock; in a paced"
    " row, from when it was to be sent. The generator checks that every delivery is the right one"
    " at the right client and that none is missing; a round where one is does not count. Busy is"
    " the share of a core. Where the generator and the stores beside it, whose shares are not"
    " counted, filled theirs, that was the limit of what came through in a second, and not the"
    " server. Everybody is first and last in some round."
)
_SAME_WORK: Final = (
    "Nothing is switched off in Ridewire: tokens, rights, payloads and points are checked, newest"
    " positions are kept in Redis, metrics are counted. Some of its limits are set so that it does"
    " all that it is asked to: it shows every location (`LOCATIONS_PER_S`), lets everybody in at"
    " once (`CONNECTS_PER_S`, `CONNECTIONS_PER_USER`) and takes all that comes (`COMMANDS_PER_S`,"
    " `REPORTS_PER_S`). Node and python-socketio check the token,"
    " whose claim says which trips are its bearer's, and the points, keep the newest in Redis and"
    " messages in the same MongoDB; they number no messages, and read no database when a client"
    " comes or subscribes. They are set up for speed: WebSocket only, no compression, no timer per"
    " Redis command and bufferutil on Node; a Redis pool of 2,000 and handlers in the receiving"
    " task on python-socketio. Ridewire writes messages of several conversations in one insert, and"
    " newest positions by one script, the work of which is Redis's. picows is no rival but the"
    " limit: it passes the same frames through Redis to who asked for them, and does nothing else."
)
_OVER_HTTP: Final = (
    "Over HTTP, Node has routes of its own on its bare `http` server: they check the token and the"
    " body, and create each trip once in the same MongoDB, with a majority and on disk. It tells"
    " nobody of a new trip, and keeps nothing to find a user's trips by. python-socketio and picows"
    " have no such interface, and take no part in these rows."
)
_READING: Final = (
    "Numbers are medians of the rounds, with the lowest and the highest in brackets. “Ridewire ÷"
    " this” is Ridewire's number divided by the contestant's of the same round, and of these the"
    " median. Beside what Ridewire makes of a goal stands what picows does, where it takes part."
)


_PROFILE: Final = (
    "CPU of Ridewire for {event}, by what it is for: shares of {samples} stacks that py-spy saw in"
    " another Ridewire under the same load. The kernel's part and that of other threads are by the"
    " operating system's account."
)
_COUNTING: Final = (
    "What a relayed location adds to the server's counters and histograms, in a loop over the same"
    " instruments on the servers' core. It is counted by itself, and timed with all others that"
    " leave in the same turn of the event loop. What reading `/metrics` costs stands with the idle"
    " connections."
)


def text(results: Results) -> str:
    """The page, in Markdown."""
    blocks = [
        "# How fast Ridewire is",
        *_introduction(results),
        "## Goals",
        _goals(list(verdicts(results))),
        *_spoiled(list(results.spoiled())),
        *(block for row in results.plan.rows for block in _row(results, row)),
        *_profiles(results),
        *_counting(results),
        "## Measured on",
        _table(("", ""), _machine(results.machine)),
    ]
    return "\n\n".join(blocks) + "\n"


def profiled(results: Results) -> str:
    """The part of the page that tells where the time goes."""
    return "\n\n".join(_profiles(results))


def progress(measured: Measured) -> str:
    """What came of one round, as one line; more where a server or the generator failed."""
    name = f"{measured.row}, round {measured.round}, {measured.contestant}"
    told = measured.spoiled
    if told or measured.outcome is None:
        return f"{name}: SPOILED, {told}"
    view, outcome = VIEWS[measured.row], measured.outcome
    values = ((measure.title, measure.of(outcome)) for measure in view.columns)
    shown = (f"{title} {number(value)}" for title, value in values if value is not None)
    return f"{name}: {', '.join(shown)}"


def _introduction(results: Results) -> Iterator[str]:
    plan = results.plan
    rounds = f"{plan.rounds} round" + ("s" if plan.rounds > 1 else "")
    command = "make bench QUICK=1" if plan.quick else "make bench"
    yield f"Made by `{command}` on {results.date}, {rounds} a row."
    if plan.quick:
        yield _SHORT
    yield "![CPU of the server, latency and memory, by contestant](results.svg)"
    yield from (_METHOD, _SAME_WORK)
    if any(row.scenario in HTTP for row in plan.rows):
        yield _OVER_HTTP
    yield _READING


def _goals(found: Sequence[Verdict]) -> str:
    if not found:
        return "None of the rows that were run has one."
    return _table(
        ("Row", "Goal", "Measured", CALLED[Contestant.PICOWS], "Reached"),
        (
            (
                *(_title(verdict.row), str(verdict.goal)),
                *(_cell(verdict.found), _cell(verdict.limit), _reached(verdict)),
            )
            for verdict in found
        ),
    )


def _reached(verdict: Verdict) -> str:
    if verdict.found is None:
        return NOTHING
    return "yes" if verdict.reached else "**no**"


def _spoiled(spoiled: Sequence[Measured]) -> Iterator[str]:
    yield "## Rounds that do not count"
    if not spoiled:
        yield "None: in every round everything arrived, and was right."
        return
    yield _table(
        ("Row", "Contestant", "Round", "Why"),
        (
            (VIEWS[m.row].title, CALLED[m.contestant], str(m.round), _one_line(m.spoiled))
            for m in spoiled
        ),
    )


def _row(results: Results, row: Row) -> Iterator[str]:
    view = VIEWS[row.name]
    yield f"## {view.title}"
    yield f"{_load(results, row)} An event is {view.event}."
    ratios = [f"Ridewire ÷ this, {measure.title}" for measure in view.compared]
    yield _table(
        ("", *(measure.title for measure in view.columns), *ratios),
        (_contestant(results, row, contestant) for contestant in row.contestants),
        align="---:",
    )
    yield from _notes(results, row)


def _load(results: Results, row: Row) -> str:
    rates = {measured.rate for measured in results.measured if measured.row == row.name}
    rate = number(max(rates, default=0))
    load = VIEWS[row.name].load.format(clients=f"{row.clients:,}", rate=rate)
    fewer = (f" {CALLED[who]} has {clients:,}." for who, clients in row.fewer.items())
    return load + "".join(fewer)


def _contestant(results: Results, row: Row, contestant: Contestant) -> tuple[str, ...]:
    view = VIEWS[row.name]
    ratios: Iterable[Figure | None] = (
        ratio(results, row, contestant, measure) for measure in view.compared
    )
    if contestant is Contestant.RIDEWIRE:
        ratios = [None for _ in view.compared]
    return (
        _named(results, row, contestant),
        *(_measured(results, row, contestant, measure) for measure in view.columns),
        *map(_cell, ratios),
    )


def _named(results: Results, row: Row, contestant: Contestant) -> str:
    """With how many rounds count, unless all do."""
    rounds, good = (len(of(row, contestant)) for of in (results.of, results.good))
    name = CALLED[contestant]
    return name if good == rounds else f"{name} ({good} of {rounds} rounds)"


def _measured(results: Results, row: Row, contestant: Contestant, measure: Measure) -> str:
    found = figure(results, row, contestant, measure)
    return found.text(with_spread=measure.with_spread) if found else NOTHING


def _notes(results: Results, row: Row) -> Iterator[str]:
    """What the generator remarked on rounds that count."""
    notes = [
        f"- {CALLED[contestant]}, round {number}: {_one_line(outcome.note)}"
        for contestant in row.contestants
        for number, outcome in results.good(row, contestant).items()
        if outcome.note
    ]
    if notes:
        yield "\n".join(notes)


def _profiles(results: Results) -> Iterator[str]:
    for found in results.profiles:
        yield from _profile(results, found)


def _profile(results: Results, found: Profile) -> Iterator[str]:
    yield f"## Where the time goes: {VIEWS[found.row].title}"
    cpu = _cpu(results, found.row)
    if found.problem or cpu is None:
        yield f"Not measured: {_one_line(found.problem) or 'no round counts'}."
        return
    yield _PROFILE.format(event=VIEWS[found.row].event, samples=f"{found.samples:,}")
    about = {layer.name: layer.about for layer in layers.LAYERS}
    whole = ("all", 1.0, "as measured in the row")
    parts = [(name, share, about[name]) for name, share in found.shares.items()]
    yield _table(
        ("Layer", "CPU µs per event", "%", "What for"),
        (
            (name, f"{share * cpu.median:.2f}", number(share * 100), does)
            for name, share, does in (*parts, whole)
        ),
    )


def _counting(results: Results) -> Iterator[str]:
    found = results.counting
    if found is None:
        return
    yield "## What counting costs"
    yield _COUNTING
    cpu = _cpu(results, "relay")
    cases = {"alone in its turn of the event loop": found.alone} | {
        f"with {counting.TOGETHER - 1} others in it": found.together
    }
    yield _table(
        ("A location", "CPU µs", "% of a relayed one's"),
        (
            (case, f"{median(ns) / 1e3:.2f}", number(median(ns) / cpu.median / 10) if cpu else "")
            for case, ns in cases.items()
        ),
        align="---:",
    )


def _cpu(results: Results, name: str) -> Figure | None:
    """Ridewire's CPU µs per event in a row."""
    rows = [row for row in results.plan.rows if row.name == name]
    return figure(results, rows[0], Contestant.RIDEWIRE, CPU) if rows else None


def _machine(machine: Machine) -> Iterator[tuple[str, str]]:
    python, node = machine.packages, machine.node_packages
    memory = f"{machine.memory / _GIB:.0f} GiB"
    yield "Machine", f"{machine.cpu}, {machine.cores} cores, {memory}, {machine.kernel}"
    yield "Python", machine.python
    yield "Its packages", _versions(python)
    yield "Node", machine.node or NOTHING
    yield "Its packages", _versions(node)
    yield "Redis", f"Valkey {machine.valkey or NOTHING}"
    yield "MongoDB", f"SecantusDB {python.get('secantusdb', NOTHING)}"


def _versions(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))


def _title(row: Row) -> str:
    return f"{VIEWS[row.name].title}, {row.clients:,}"


def _cell(found: Figure | None) -> str:
    return found.text() if found else NOTHING


def _one_line(said: str) -> str:
    return textwrap.shorten(said, _LONGEST).replace("|", "/")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---") -> str:
    """All but the first column aligned as given."""
    lines = [head, ["---", *(align for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
