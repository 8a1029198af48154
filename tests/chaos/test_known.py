"""Since when it is certain that something was stored."""

from math import inf

from chaos.checks.known import Growing


def test_a_greater_number_tells_of_those_before_it() -> None:
    versions = Growing()
    for number, at in ((1, 10.0), (4, 20.0), (2, 25.0), (5, 30.0)):
        versions.note("t1", number, at)
    assert [versions.since("t1", number) for number in (1, 2, 4, 5, 6)] == [10, 20, 20, 30, inf]
    assert [versions.newest_at("t1", at) for at in (9, 10, 25, 99)] == [0, 1, 4, 5]
    assert versions.newest_at("t2", 99) == 0
