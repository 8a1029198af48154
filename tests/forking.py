"""The process of `tests.nursery`: it has imported the server, and forks one for every birth."""

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Final, NoReturn

import msgspec

from realtime.__main__ import main as run
from tests.nursery import Birth

_LARGEST_BIRTH: Final = 1024 * 1024
_FILES: Final = 3


def main() -> None:
    """Fork a child for every birth that comes over standard input, until that ends."""
    births = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.freeze()
    lives: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([births.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, select.PIPE_BUF)
            _tell_ends(lives)
        if births.fileno() in ready:
            message, files, _, _ = socket.recv_fds(births, _LARGEST_BIRTH, _FILES)
            if not message:
                for pid in lives:  # none of them was waited for: no other process has its id
                    os.kill(pid, signal.SIGKILL)
                return
            pid = os.fork()
            if not pid:
                for file in (births.detach(), woken, waking, *lives.values()):
                    os.close(file)
                _live(msgspec.json.decode(message, type=Birth), *files)
            output, errors, told = files
            lives[pid] = told
            _tell(told, pid)
            os.close(output)
            os.close(errors)


def _live(birth: Birth, output: int, errors: int, told: int) -> NoReturn:
    """Be in this process what a program is that was started so."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.close(told)
    os.environ.clear()
    os.environ.update(birth.settings)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, number in ((nothing, 0), (output, 1), (errors, 2)):
        os.dup2(file, number)
        os.close(file)
    sys.exit(run(birth.arguments))


def _tell_ends(lives: dict[int, int]) -> None:
    while lives:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        told = lives.pop(pid)
        _tell(told, os.waitstatus_to_exitcode(status))
        os.close(told)


def _tell(told: int, number: int) -> None:
    with suppress(BrokenPipeError):  # whoever asked for it is gone
        os.write(told, b"%d\n" % number)


if __name__ == "__main__":
    main()
