"""The measured archive has every point in its track, and the search finds who reports."""

import os

import pytest

from bench import archiving, nearby

pytestmark = [
    pytest.mark.usefixtures("on_shared_stores"),
    pytest.mark.skipif(
        not hasattr(os, "sched_getaffinity") or not {0, 1} <= os.sched_getaffinity(0),
        reason="the benchmark pins processes to two cores, which this machine cannot",
    ),
]


async def test_what_is_archived_is_measured_and_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "_IDLE_S", 0.1)
    result = await archiving.archived(drivers=5, ended=2, seconds=1)
    assert result.points >= 3
    assert result.missing == 0
    assert all(used > 0 for used in result.spent.cpu_s)


async def test_drivers_who_report_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nearby, "SEARCHES", ((100_000, 20),))
    await nearby.run(drivers=40, instances=1, seconds=0.5)
    assert "20 asked for, 20 found" in capsys.readouterr().out
