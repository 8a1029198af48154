"""Every kind of fault happens once to a busy cluster, and every promise holds."""

from random import Random

import pytest

from chaos import plan
from chaos.faults import BRIEF
from chaos.load.city import Size
from chaos.results import details, timelines
from chaos.round import Plan, run

SEED = 0
CLIENTS = 16
ANSWERS = 25
"""Between two waves of faults."""
LONGEST_FAULT_S = 1.0
SLACK_S = 60.0
"""How fast the machine is that tests run on is not what they are about."""


@pytest.mark.timeout(300)
async def test_nothing_acknowledged_is_lost_whatever_fails() -> None:
    rng = Random(SEED)  # noqa: S311 - to be repeated, not a secret
    waves = plan.one_of_each(rng, BRIEF, ANSWERS, LONGEST_FAULT_S)
    assert {strike.kind for wave in waves for strike in wave.strikes} == set(BRIEF)
    outcome = await run(
        Plan(SEED, Size.of(CLIENTS, pace_s=1.2), waves, seconds=0.0, slack_s=SLACK_S)
    )
    assert outcome.acknowledged > len(waves) * ANSWERS / 2
    assert outcome.reconnects > 0
    assert not outcome.violations, "\n".join([*details(outcome), *timelines(outcome)])
