"""The checks see what is broken on purpose; `python -m chaos --breakages` tries it all."""

import subprocess
import sys

import pytest

from chaos.breakages import BREAKAGES
from chaos.caught import by_promise, violations_of
from chaos.checks import promises
from chaos.faults import KINDS
from chaos.load.city import Size

QUICK = (
    "newest-wins-off",
    "points-forgotten",
    "strangers-let-in",
    "receipts-forgotten",
    "pages-cut-short",
    "answered-twice",
)
"""Some that need no fault, and break a promise each."""


@pytest.mark.timeout(300)
async def test_a_server_that_breaks_promises_is_caught_at_each() -> None:
    found = by_promise(await violations_of(QUICK, Size.of(16, pace_s=0.3), seconds=3.0))
    assert {BREAKAGES[name].promise for name in QUICK} <= set(found)


def test_each_breakage_can_be_started() -> None:
    """In a process that serves nobody: what they replace has to be there."""
    code = "import sys; from chaos import broken_server; "
    code += "[getattr(broken_server, name.replace('-', '_'))() for name in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *BREAKAGES], check=True)  # noqa: S603 - our own


def test_each_breaks_a_promise_that_there_is() -> None:
    known = {value for name, value in vars(promises).items() if name.isupper()}
    assert {breakage.promise for breakage in BREAKAGES.values()} <= known


def test_the_faults_that_show_them_are_known() -> None:
    assert {fault for breakage in BREAKAGES.values() for fault in breakage.faults} <= set(KINDS)
