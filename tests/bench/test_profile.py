"""Where a server's time goes: py-spy looks into a real one under load."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from bench import profile
from bench.plan import Row
from bench.shapes import Scenario
from tests.bench.made_up import RIDEWIRE

pytestmark = [
    pytest.mark.usefixtures("on_shared_stores"),
    pytest.mark.skipif(
        not hasattr(os, "sched_getaffinity") or not {0, 1} <= os.sched_getaffinity(0),
        reason="the benchmark pins processes to two cores, which this machine cannot",
    ),
]

ROW = Row("relay", Scenario.RELAY, (RIDEWIRE,), clients=20, seconds=0.5, warm_up_s=0.1)


async def test_a_relay_is_sampled_and_every_sample_is_in_a_layer() -> None:
    for seconds in (1, 2, 4, 8):  # other tests may have the cores of all that takes part
        found = await profile.profile(ROW, seconds=seconds)
        if not found.problem:
            break
    assert found.problem == ""
    assert found.samples > 0
    assert sum(found.shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in found.shares.values())
    assert any(name.startswith("kernel") for name in found.shares)


async def test_without_py_spy_the_profile_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await profile.profile(ROW, seconds=1)
    assert "py-spy is not installed" in found.problem
    assert found.shares == {}


async def test_a_py_spy_that_may_not_look_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "py-spy"
    refusing.write_text("#!/bin/sh\necho 'Permission Denied: try sudo' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda *_args, **_more: str(refusing))
    found = await profile.profile(ROW, seconds=1)
    assert found.problem == "py-spy could not look into the server: Permission Denied: try sudo"


def test_stacks_are_those_of_the_thread_that_serves() -> None:
    raw = (
        "main (realtime/__main__.py:41);run (realtime/serving.py:68);read (libc.so.6) 7\n"
        "_bootstrap (threading.py:1002);poll (libc.so.6) 90\n"
    )
    [(stack, count)] = profile.stacks_of_server(raw)
    assert count == 7
    assert stack[-1] == "read (libc.so.6)"


def test_py_spy_comes_with_the_benchmark() -> None:
    assert shutil.which("py-spy", path=str(Path(sys.executable).parent))
