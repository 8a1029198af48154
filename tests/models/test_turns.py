"""Much work leaves turns for others."""

import asyncio

from models.turns import IN_A_TURN, in_turns


async def test_others_have_a_turn_after_so_much_of_it() -> None:
    turns = 0
    working = True

    async def count() -> None:
        nonlocal turns
        while working:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    weights = [IN_A_TURN // 2] * 10
    assert [weight async for weight in in_turns(weights, int)] == weights
    working = False
    await counting
    assert turns == 5


async def test_little_is_done_at_once() -> None:
    later = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(later.set_result, None)
    assert [weight async for weight in in_turns(range(10), int)] == [*range(10)]
    assert not later.done()
