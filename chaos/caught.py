"""Whether the checks see what is broken on purpose: one short round with broken servers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from chaos.breakages import BREAKAGES, command
from chaos.checks.violation import Violation
from chaos.faults import KINDS
from chaos.load.city import Size
from chaos.plan import Strike, Wave
from chaos.round import Plan, run

SIZE: Final = Size.of(40, pace_s=0.4)
SECONDS: Final = 6.0
ANSWERS: Final = 400
"""Before a fault, that there is something to lose."""
LASTS_S: Final = 2.0
PATIENCE_S: Final = 5.0
SEED: Final = 1


async def violations_of(
    names: Sequence[str], size: Size = SIZE, seconds: float = SECONDS
) -> Sequence[Violation]:
    """What a round with these breakages brings to light. Raises ProcessFailed."""
    rng = Random(SEED)  # noqa: S311 - any will do
    kinds = [kind for name in names for kind in BREAKAGES[name].faults]
    waves = [
        Wave(ANSWERS, [Strike(kind, KINDS[kind](rng.randrange(2)), 0.0, LASTS_S)]) for kind in kinds
    ]
    outcome = await run(Plan(SEED, size, waves, seconds, command(*names), PATIENCE_S))
    return outcome.violations


def line(name: str, found: Mapping[str, int]) -> str:
    """What was seen of a breakage."""
    verdict = "caught" if BREAKAGES[name].promise in found else "NOT CAUGHT"
    return f"{name}: {BREAKAGES[name].what}: {verdict}: {_seen(name, found)}"


def markdown(found: Mapping[str, Mapping[str, int]]) -> str:
    """For the page."""
    rows = [
        f"| `{name}` | {BREAKAGES[name].what} | {_seen(name, seen)} |"
        for name, seen in found.items()
    ]
    head = ["| Broken | Which means | Promises that were seen to be broken, how often |"]
    return "\n".join([*head, "| --- | --- | --- |", *rows])


def _seen(name: str, found: Mapping[str, int]) -> str:
    """The one that it is about first."""
    promises = sorted(found, key=lambda promise: (promise != BREAKAGES[name].promise, promise))
    return "; ".join(f"{promise} ({found[promise]})" for promise in promises) or "none"


def by_promise(violations: Sequence[Violation]) -> Counter[str]:
    return Counter(violation.promise for violation in violations)
