"""redis-py's client, with what each command took and what went wrong told to an observer."""

import asyncio
import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from models.observing import NOBODY, Observer


class MeasuredRedis(Redis):
    observer: Observer = NOBODY

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as redis-py has it
        began = time.perf_counter()
        error = ""
        try:
            return await super().execute_command(  # type: ignore[no-untyped-call]  # not annotated
                *args, **options
            )
        except (asyncio.CancelledError, RedisError, OSError) as failure:
            error = _word_for(failure)
            raise
        finally:
            command = str(args[0]).lower()
            self.observer.answered(command, time.perf_counter() - began, error)


def _word_for(failure: BaseException) -> str:
    if isinstance(failure, asyncio.CancelledError):
        return "no_answer"  # whoever asked waits no longer
    if isinstance(failure, NoScriptError):
        return ""  # it is told the script then
    return "refused" if isinstance(failure, ResponseError) else "unavailable"
