"""Become another program: on one core, with open files enough, dying with who started it.

    python pinned.py CORE PARENT COMMAND...

Threads and processes that COMMAND starts are on that core, too.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(core: str, parent: str, *command: str) -> None:
    os.sched_setaffinity(0, {int(core)})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the process to die with is gone already")
    os.execvp(command[0], command)  # noqa: S606 - a shell would be one process too many


if __name__ == "__main__":
    main(*sys.argv[1:])
