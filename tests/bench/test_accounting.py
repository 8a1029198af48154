"""What the operating system tells of a process."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench import accounting
from bench.accounting import CannotPin, Machine, Reading

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
    before = Reading.take([child.pid])
    deadline = time.monotonic() + 30
    while Reading.take([child.pid]).since(before).cpu_s[0] < 0.05:
        assert time.monotonic() < deadline
    spent = Reading.take([child.pid]).since(before)
    assert spent.seconds >= spent.cpu_s[0]
    assert spent.own_cpu_s > 0


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
    assert machine.packages["python-socketio"] == "5.18.1"
    assert machine.packages["picows"]
