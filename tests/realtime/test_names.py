"""Names that nobody can guess."""

import re

from realtime.names import new_name


def test_no_two_names_are_alike() -> None:
    names = [new_name() for _ in range(1_000)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]{20}", name, re.ASCII) for name in names)
