"""Whether the checks see what is broken on purpose: one short round with broken servers."""

from collections import Counter
from collections.abc import Sequence
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


async def violations_of(name: str) -> Sequence[Violation]:
    """What a round with this breakage brings to light. Raises ProcessFailed."""
    rng = Random(SEED)  # noqa: S311 - any will do
    faults = [KINDS[kind](rng.randrange(2)) for kind in BREAKAGES[name].faults]
    kinds = zip(BREAKAGES[name].faults, faults, strict=True)
    waves = [Wave(ANSWERS, [Strike(kind, fault, 0.0, LASTS_S)]) for kind, fault in kinds]
    outcome = await run(Plan(SEED, SIZE, waves, SECONDS, command(name), PATIENCE_S))
    return outcome.violations


def by_promise(violations: Sequence[Violation]) -> Counter[str]:
    return Counter(violation.promise for violation in violations)
