"""`python -m bench.load`: reads one Task from standard input, writes one Outcome."""

import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import uvloop

from bench.accounting import raise_open_files
from bench.load import backend, chat, city, connect, fan_out, idle, leave, paced, relay
from bench.shapes import Outcome, Scenario, Task

_SCENARIOS: Final[dict[Scenario, Callable[[Task], Awaitable[Outcome]]]] = {
    Scenario.RELAY: relay.run,
    Scenario.PACED_RELAY: paced.run,
    Scenario.FAN_OUT: fan_out.run,
    Scenario.CITY: city.run,
    Scenario.CONNECT: connect.run,
    Scenario.IDLE: idle.run,
    Scenario.LEAVE: leave.run,
    Scenario.CHAT: chat.run,
    Scenario.READ_TRIPS: backend.run,
    Scenario.CREATE_TRIPS: backend.run,
}


async def run(task: Task) -> Outcome:
    return await _SCENARIOS[task.scenario](task)


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    gc.disable()  # its pauses would be measured, and the process ends soon
    raise_open_files()
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(task))) + b"\n")


if __name__ == "__main__":
    main()
