"""Writers that share a write."""

import asyncio

import pytest

from models.errors import Unavailable
from models.grouped import SLOW_S, Grouped


class Ledger:
    """Takes groups of numbers while it is open; tells each its negative."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.is_writing = asyncio.Event()
        self.is_open = asyncio.Event()

    async def write(self, numbers: list[int]) -> list[int]:
        self.groups.append(numbers)
        self.is_writing.set()
        await self.is_open.wait()
        if 0 in numbers:
            raise Unavailable("zero")
        return [-number for number in numbers]


def writers(group: Grouped[int, int], numbers: range) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(group.add(number)) for number in numbers]


async def test_who_comes_while_a_write_is_under_way_shares_the_next() -> None:
    ledger = Ledger()
    group = Grouped(ledger.write, at_most=100)
    first = writers(group, range(1, 2))
    await ledger.is_writing.wait()
    others = writers(group, range(2, 5))
    await asyncio.sleep(0)
    ledger.is_open.set()
    assert await asyncio.gather(*first, *others) == [-1, -2, -3, -4]
    assert ledger.groups == [[1], [2, 3, 4]]


async def test_a_group_has_a_largest_size_and_each_size_is_told() -> None:
    ledger = Ledger()
    ledger.is_open.set()
    sizes: list[int] = []
    group = Grouped(ledger.write, at_most=2, on_group=sizes.append)
    assert await asyncio.gather(*writers(group, range(1, 6))) == [-1, -2, -3, -4, -5]
    assert ledger.groups == [[1, 2], [3, 4], [5]]
    assert sizes == [2, 2, 1]


async def test_a_slow_group_does_not_delay_others() -> None:
    slow, others = Ledger(), Ledger()
    others.is_open.set()
    group: Grouped[int, int] = Grouped(
        lambda numbers: (slow if 1 in numbers else others).write(numbers), at_most=3, at_once=2
    )
    first = writers(group, range(1, 2))
    await slow.is_writing.wait()
    assert await asyncio.gather(*writers(group, range(2, 9))) == [-n for n in range(2, 9)]
    assert others.groups == [[2, 3, 4], [5, 6, 7], [8]]
    assert not first[0].done()
    slow.is_open.set()
    assert await asyncio.gather(*first) == [-1]


async def test_no_more_groups_are_under_way_than_may_be() -> None:
    ledger = Ledger()
    group = Grouped(ledger.write, at_most=1, at_once=2)
    tasks = writers(group, range(1, 5))
    await ledger.is_writing.wait()
    await asyncio.sleep(4 * SLOW_S)  # in which more would begin
    assert ledger.groups == [[1], [2]]
    ledger.is_open.set()
    assert await asyncio.gather(*tasks) == [-1, -2, -3, -4]


async def test_what_is_slow_is_the_groups_own_affair() -> None:
    ledger = Ledger()
    patient, impatient = (
        Grouped(ledger.write, at_most=1, at_once=2, slow_s=slow_s) for slow_s in (60, 0)
    )
    tasks = [*writers(patient, range(1, 3)), *writers(impatient, range(3, 5))]
    async with asyncio.timeout(10):
        while len(ledger.groups) < 3:  # noqa: ASYNC110 - it is noted synchronously
            await asyncio.sleep(0)
    assert ledger.groups == [[1], [3], [4]]
    ledger.is_open.set()
    assert await asyncio.gather(*tasks) == [-1, -2, -3, -4]


async def test_a_failure_is_told_to_everybody_in_the_group_only() -> None:
    ledger = Ledger()
    ledger.is_open.set()
    group = Grouped(ledger.write, at_most=2)
    results = await asyncio.gather(*writers(group, range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable, int, int]


async def test_who_gives_up_before_its_turn_is_left_out() -> None:
    ledger = Ledger()
    group = Grouped(ledger.write, at_most=100)
    first = writers(group, range(1, 2))
    await ledger.is_writing.wait()
    waiting = writers(group, range(2, 5))
    await asyncio.sleep(0)
    waiting[1].cancel()
    ledger.is_open.set()
    results = await asyncio.gather(*first, *waiting, return_exceptions=True)
    assert ledger.groups == [[1], [2, 4]]
    assert isinstance(results[2], asyncio.CancelledError)
    assert (results[1], results[3]) == (-2, -4)


async def test_who_gives_up_while_it_is_written_harms_nobody() -> None:
    ledger = Ledger()
    group = Grouped(ledger.write, at_most=100)
    first, second = writers(group, range(1, 3))
    await ledger.is_writing.wait()
    first.cancel()
    ledger.is_open.set()
    assert await second == -2
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await group.add(7) == -7


async def test_when_several_come_groups_that_are_not_full_begin_apart() -> None:
    ledger = Ledger()
    ledger.is_open.set()
    group = Grouped(ledger.write, at_most=3, apart_s=3_600)
    assert await group.add(9) == -9, "alone"
    assert await asyncio.gather(*writers(group, range(1, 3))) == [-1, -2]
    others = writers(group, range(3, 5))
    for _ in range(10):
        await asyncio.sleep(0)
    assert ledger.groups[1:] == [[1, 2]], "there is room for one more"
    assert await asyncio.gather(*others, group.add(5)) == [-3, -4, -5]
    assert ledger.groups[2:] == [[3, 4, 5]]


async def test_who_waits_for_more_to_come_waits_a_moment_only() -> None:
    ledger = Ledger()
    ledger.is_open.set()
    group = Grouped(ledger.write, at_most=3, apart_s=0.02)
    for numbers in (range(1, 3), range(3, 5)):
        assert await asyncio.gather(*writers(group, numbers)) == [-number for number in numbers]
    assert ledger.groups == [[1, 2], [3, 4]]
