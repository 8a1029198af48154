"""What the operating system tells of a process."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench import accounting
from bench.accounting import CannotPin, Machine, Reading, Ticks
from bench.servers import NODE_PEER

SPIN = "import sys\nprint(flush=True)\nwhile True: pass"
WAIT = "import sys\nprint(flush=True)\nsys.stdin.read()"


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the code it is parametrized with, and has begun to."""
    with subprocess.Popen(  # noqa: S603 - the code stands above
        [sys.executable, "-c", request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.parametrize("child", [SPIN], indirect=True)
def test_the_cpu_time_of_another_process_grows_while_it_works(
    child: subprocess.Popen[str],
) -> None:
    began = time.perf_counter()
    before = Reading.take([child.pid])
    while (spent := Reading.take([child.pid]).since(before)).cpu_s[0] < 0.05:
        assert time.perf_counter() < began + 30
    tick = 1 / os.sysconf("SC_CLK_TCK")  # by which the kernel's account may have lagged before
    assert spent.cpu_s[0] <= time.perf_counter() - began + tick
    assert spent.own_cpu_s > 0


@pytest.mark.parametrize("child", [SPIN], indirect=True)
def test_a_process_that_only_computes_is_hardly_in_the_kernel(
    child: subprocess.Popen[str],
) -> None:
    before, main_ns = Ticks.take(child.pid), accounting.main_thread_ns(child.pid)
    deadline = time.monotonic() + 30
    while Ticks.take(child.pid).user - before.user < 10:
        assert time.monotonic() < deadline
    assert Ticks.take(child.pid).system_share_since(before) < 0.5
    assert accounting.main_thread_ns(child.pid) > main_ns


@pytest.mark.parametrize("child", [WAIT], indirect=True)
def test_a_process_tells_its_memory_and_its_files(child: subprocess.Popen[str]) -> None:
    assert accounting.memory(child.pid) > 1024 * 1024
    assert accounting.open_files(child.pid) >= 3


def test_a_file_that_is_opened_is_counted() -> None:
    before = accounting.open_files(os.getpid())
    with open(os.devnull, "rb"):
        assert accounting.open_files(os.getpid()) == before + 1


@pytest.mark.parametrize("child", [WAIT], indirect=True)
def test_a_process_keeps_to_its_core(child: subprocess.Popen[str]) -> None:
    core = min(os.sched_getaffinity(0))
    accounting.pin(core, child.pid)
    assert os.sched_getaffinity(child.pid) == {core}


@pytest.mark.parametrize("child", [WAIT], indirect=True)
def test_a_core_that_is_not_there_is_named(child: subprocess.Popen[str]) -> None:
    with pytest.raises(CannotPin, match="core 1000"):
        accounting.pin(1000, child.pid)


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    allowed = accounting.raise_open_files()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == allowed


def test_a_machine_tells_what_it_is_and_what_runs_on_it() -> None:
    machine = Machine.this()
    assert machine.cpu
    assert machine.cores == os.cpu_count()
    assert machine.memory > 0
    assert machine.python.startswith("CPython 3.")
    assert ", built " in machine.python
    assert machine.packages["python-socketio"] == "5.18.1"
    assert machine.packages["picows"]


@pytest.mark.skipif(
    not (NODE_PEER / "node_modules").exists(), reason="npm ci in bench/peers/node was not run"
)
def test_the_packages_on_node_are_those_that_are_installed() -> None:
    installed = Machine.this().node_packages
    assert {"socket.io", "engine.io", "ws", "mongodb", "bson"} <= installed.keys()
    for name, version in installed.items():
        package = json.loads((NODE_PEER / "node_modules" / name / "package.json").read_text())
        assert package["version"] == version
    assert ("bufferutil" in installed) is (NODE_PEER / "node_modules" / "bufferutil").exists()
