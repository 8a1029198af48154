"""Become another program that dies with the process that started it.

    python tie.py PARENT LOCK COMMAND...

Signs LOCK, an inherited descriptor, with its process id, which COMMAND keeps. On Linux the kernel
kills COMMAND when the thread that started it is gone; elsewhere LOCK tells the next start of it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: str, lock: str, *command: str) -> None:
    os.pwrite(int(lock), f"{os.getpid()}\n".encode(), 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):
            sys.exit("the process to die with is gone already")
    os.execv(command[0], command)  # noqa: S606 - a shell would be one process too many


if __name__ == "__main__":
    main(*sys.argv[1:])
