from random import Random

import pytest

from chaos import plan
from chaos.faults import KINDS


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_is_a_plan(seed: int) -> None:
    first, second = (plan.waves(_chance(seed), tuple(KINDS), 5, 1_000) for _ in range(2))
    assert [_shape(wave) for wave in first] == [_shape(wave) for wave in second]
    assert sum(len(wave.strikes) for wave in first) >= 5


@pytest.mark.parametrize("seed", range(20))
def test_faults_at_once_do_not_need_the_same(seed: int) -> None:
    rng = _chance(seed)
    for wave in plan.waves(rng, tuple(KINDS), 5, 1_000) + plan.one_of_each(
        rng, tuple(KINDS), 100, 2.0
    ):
        needs = [need for strike in wave.strikes for need in strike.fault.needs]
        assert len(needs) == len(set(needs))


def test_each_kind_can_be_had_once() -> None:
    waves = plan.one_of_each(_chance(1), tuple(KINDS), 100, 2.0)
    kinds = [strike.kind for wave in waves for strike in wave.strikes]
    assert sorted(kinds) == sorted(KINDS)
    assert all(strike.lasts_s <= 2 for wave in waves for strike in wave.strikes)


def _chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - to be repeated, not a secret


def _shape(wave: plan.Wave) -> tuple[int, list[tuple[str, int, float, float]]]:
    return wave.answers, [
        (strike.kind, strike.fault.place, strike.after_s, strike.lasts_s) for strike in wave.strikes
    ]
