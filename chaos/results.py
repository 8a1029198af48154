"""What rounds came to: the line of one, the table of all, the page that is published."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from chaos.faults import KINDS
from chaos.round import CONVERGED_WITHIN_S, Outcome

SOON_S: Final = 5.0
"""What takes longer is told of, even where it is no violation yet."""


class Row(Struct, frozen=True):
    """One kind of fault over all rounds. Seconds; of waves that never converged the limit."""

    kind: str
    times: int
    converged_s: Sequence[float]
    violations: int

    def cells(self) -> list[str]:
        name = KINDS[self.kind].name if self.kind in KINDS else self.kind
        seconds = [_at(self.converged_s, share) for share in (0.5, 0.95, 1.0)]
        return [name, str(self.times), *seconds, str(self.violations)]


HEADER: Final = ["fault", "times", "median s", "p95 s", "max s", "violations"]


def line(number: int, outcome: Outcome) -> str:
    """One round."""
    faults = ", ".join("+".join(wave.kinds) for wave in outcome.healed) or "none"
    took = max((wave.converged_s or CONVERGED_WITHIN_S for wave in outcome.healed), default=0.0)
    return (
        f"round {number} seed {outcome.seed}: {outcome.clients} clients,"
        f" {outcome.seconds:.0f} s, faults {faults}; {outcome.commands:,} commands"
        f" ({outcome.commands / max(outcome.seconds, 1):.0f}/s), {outcome.acknowledged:,}"
        f" acknowledged, {outcome.received:,} received, {outcome.reconnects} reconnects,"
        f" up to date after {took:.1f} s at most,"
        f" {len(outcome.violations)} violations"
    )


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """By kind; a wave of several counts for each of them, and a round's violations do, too."""
    found = []
    for kind in sorted({kind for o in outcomes for wave in o.healed for kind in wave.kinds}):
        waves = [wave for o in outcomes for wave in o.healed if kind in wave.kinds]
        times = sum(wave.kinds.count(kind) for wave in waves)
        took = [CONVERGED_WITHIN_S if w.converged_s is None else w.converged_s for w in waves]
        violations = sum(
            len(o.violations) for o in outcomes if any(kind in wave.kinds for wave in o.healed)
        )
        found.append(Row(kind, times, sorted(took), violations))
    return found


def table(outcomes: Sequence[Outcome]) -> str:
    """For a terminal."""
    lines = [HEADER, *(row.cells() for row in rows(outcomes))]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in lines
    )


def markdown(outcomes: Sequence[Outcome]) -> str:
    """For the page: what was run in a sentence, and the table."""
    commands = sum(o.commands for o in outcomes)
    seconds = sum(o.seconds for o in outcomes)
    faults = sum(len(wave.kinds) for o in outcomes for wave in o.healed)
    clients = min(o.clients for o in outcomes)
    violations = sum(len(o.violations) for o in outcomes)
    told = (
        f"{len(outcomes)} rounds from seed {outcomes[0].seed} on, {seconds:,.0f} s in all, each"
        f" with {clients} clients or more on two instances: {faults} faults, {commands:,} commands"
        f" ({commands / max(seconds, 1):.0f} a second, those of the faults included),"
        f" {sum(o.received for o in outcomes):,} events received,"
        f" {sum(o.reconnects for o in outcomes):,} reconnections, {violations} violations."
    )
    lines = [
        "| " + " | ".join(cells) + " |" for cells in (HEADER, *(r.cells() for r in rows(outcomes)))
    ]
    lines.insert(1, "| --- " + "| ---: " * (len(HEADER) - 1) + "|")
    return "\n".join([told, "", *lines])


def details(outcome: Outcome) -> Iterator[str]:
    """Every violation of a round, how to have it again; and what was late."""
    for violation in outcome.violations:
        yield f"VIOLATION {violation}"
    for wave in outcome.healed:
        if wave.converged_s is None or wave.converged_s > SOON_S:
            yield f"late after {'+'.join(wave.kinds)}: {wave.converged_s} s, last {wave.last}"
    if outcome.violations:
        yield f"to repeat: python -m chaos --rounds 1 --seed {outcome.seed}"


def timelines(outcome: Outcome) -> Iterator[str]:
    """Everything that was recorded about what violations are about."""
    for topic, lines in outcome.timelines.items():
        yield f"--- {topic}"
        yield from (str(v) for v in outcome.violations if v.about == topic)
        yield from lines


def _at(ordered: Sequence[float], share: float) -> str:
    """The value below which this share of them is."""
    return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.1f}"
