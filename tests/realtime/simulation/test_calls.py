"""Calls: an answer is read as what it has to be, and anything else is an error of its own kind."""

import pytest
from msgspec import ValidationError

from handlers.answers import StatusNoted
from models.commands import DriverAvailability, DriverStatus, TripUpdate
from models.trips import Status
from realtime.simulation.calls import RETRY_MS, Call, Interrupted, Refused

COMMAND = DriverStatus(DriverAvailability.BUSY)
ANSWER = {"ok": True, "status": "busy"}


async def test_an_answer_is_seen_as_it_comes_and_is_the_result() -> None:
    seen: list[StatusNoted] = []
    call = Call(COMMAND, StatusNoted, seen.append)
    call.take(ANSWER)
    assert [answer.status for answer in seen] == [DriverAvailability.BUSY]
    assert await call.result(1) is seen[0]


async def test_a_refusal_says_whether_and_when_to_try_again() -> None:
    call = Call(COMMAND, StatusNoted)
    error = {"code": "rate_limited", "message": "slowly", "retry": True, "retry_after_ms": 1500}
    call.take({"ok": False, "error": error})
    with pytest.raises(Refused) as caught:
        await call.result(1)
    assert (caught.value.refusal.retry, caught.value.refusal.retry_after_ms) == (True, 1500)


async def test_a_refusal_without_a_time_is_tried_again_soon() -> None:
    call = Call(COMMAND, StatusNoted)
    call.take({"ok": False, "error": {"code": "unavailable", "message": "", "retry": True}})
    with pytest.raises(Refused) as caught:
        await call.result(1)
    assert caught.value.refusal.retry_after_ms == RETRY_MS


@pytest.mark.parametrize(
    "answer", [None, {}, {"ok": True}, {"ok": True, "status": "asleep"}, {"ok": False}]
)
async def test_an_answer_that_is_none_is_an_error(answer: object) -> None:
    call = Call(COMMAND, StatusNoted)
    call.take(answer)
    with pytest.raises(ValidationError):
        await call.result(1)


async def test_an_interrupted_call_has_no_result_even_if_an_answer_comes() -> None:
    call = Call(COMMAND, StatusNoted)
    call.interrupt()
    call.take(ANSWER)
    with pytest.raises(Interrupted):
        await call.result(1)


async def test_without_an_answer_a_call_ends_in_time() -> None:
    with pytest.raises(TimeoutError):
        await Call(COMMAND, StatusNoted).result(0.01)


async def test_what_is_not_set_is_not_sent() -> None:
    call = Call(TripUpdate("t", Status.ARRIVED), StatusNoted)
    assert call.payload == {"trip_id": "t", "status": "arrived"}
