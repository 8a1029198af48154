"""Names that nobody can guess."""

import os
import re

from realtime.names import new_name


def test_no_two_names_are_alike() -> None:
    names = [new_name() for _ in range(1_000)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]{20}", name, re.ASCII) for name in names)


def test_a_forked_process_has_names_of_its_own() -> None:
    new_name()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, new_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() != new_name()
    os.close(read)
    os.close(write)
