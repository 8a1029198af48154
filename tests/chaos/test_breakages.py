"""The checks see what is broken on purpose; `python -m chaos --breakages` tries it all."""

import inspect

import pytest

from chaos import broken_server
from chaos.breakages import BREAKAGES
from chaos.caught import by_promise, violations_of
from chaos.checks import promises
from chaos.faults import KINDS

QUICK = ("newest-wins-off",)
"""One that needs no fault."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", QUICK)
async def test_a_server_that_breaks_a_promise_is_caught(name: str) -> None:
    found = by_promise(await violations_of(name))
    assert BREAKAGES[name].promise in found


def test_each_breakage_can_be_started() -> None:
    functions = dict(inspect.getmembers(broken_server, inspect.isfunction))
    assert {name.replace("-", "_") for name in BREAKAGES} <= set(functions)


def test_each_breaks_a_promise_that_there_is() -> None:
    known = {value for name, value in vars(promises).items() if name.isupper()}
    assert {breakage.promise for breakage in BREAKAGES.values()} <= known


def test_the_faults_that_show_them_are_known() -> None:
    assert {fault for breakage in BREAKAGES.values() for fault in breakage.faults} <= set(KINDS)
