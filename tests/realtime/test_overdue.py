"""Who waits for an answer has one in time, and one only."""

import asyncio

from realtime.overdue import Overdue


async def heard(answers: list[object], count: int) -> None:
    async with asyncio.timeout(5):
        while len(answers) < count:  # noqa: ASYNC110 - it is told synchronously
            await asyncio.sleep(0.001)


async def test_an_answer_in_time_is_passed_on_once() -> None:
    answers: list[object] = []
    overdue = Overdue(0.01)
    overdue.bound(answers.append)(True)
    overdue.bound(answers.append)
    await heard(answers, 2)
    assert answers == [True, False]


async def test_what_comes_too_late_is_left_out() -> None:
    answers: list[object] = []
    overdue = Overdue(0.01)
    told = [overdue.bound(answers.append) for _ in range(3)]
    await heard(answers, 3)
    told[0](True)
    assert answers == [False] * 3


async def test_those_who_came_later_wait_as_long() -> None:
    loop = asyncio.get_running_loop()
    answers: list[object] = []
    overdue = Overdue(0.05)
    overdue.bound(answers.append)
    await asyncio.sleep(0.02)
    began = loop.time()
    overdue.bound(lambda _: answers.append(loop.time() - began))
    await heard(answers, 2)
    assert answers[0] is False
    assert isinstance(answers[1], float)
    assert answers[1] >= 0.05
