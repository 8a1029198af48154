"""Whatever is given as a command's payload: an answer that is documented, and nothing half done."""

import asyncio
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from msgspec.structs import asdict, replace

from handlers.access import COMMANDS
from handlers.trips import TripHandler
from models.errors import NotFound
from realtime.metrics import Metrics
from tests.fuzz.commands import (
    CALLERS,
    PAYLOADS,
    STEPS,
    Step,
    encoded,
    people_a_scene,
    placed,
)
from tests.fuzz.instance import Instance, Peer
from tests.handlers.world import World
from tests.hostile.test_payloads import REFUSALS

EXAMPLES: Final = 120
METRICS: Final = Metrics()
DECLINE: Final = Step("olga", "trip:decline", {"trip_id": "@offered"})


def test_every_command_is_tried() -> None:
    assert set(PAYLOADS) == set(COMMANDS)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(some.lists(STEPS, min_size=1, max_size=8), some.sampled_from(("json", "msgpack")))
def test_whatever_is_sent_is_answered_and_what_is_refused_changes_nothing(
    steps: list[Step], parser: str
) -> None:
    asyncio.run(_play(steps, parser))


class TestPlay:
    """It notices a server that is broken."""

    def test_a_command_that_fails_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(*_: object) -> None:
            raise LookupError("the server's own fault")

        monkeypatch.setattr(TripHandler, "decline", fail)
        with pytest.raises(AssertionError, match="internal"):
            asyncio.run(_play([DECLINE], "json"))

    def test_a_refusal_that_changes_something_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decline = TripHandler.decline

        async def refuse(*given: Any) -> None:
            await decline(*given)
            raise NotFound("trip")

        monkeypatch.setattr(TripHandler, "decline", refuse)
        with pytest.raises(AssertionError, match="not_found"):
            asyncio.run(_play([DECLINE], "json"))


async def _play(steps: list[Step], parser: str) -> None:
    instance = Instance(METRICS)
    await instance.open()
    names = await people_a_scene(instance.world)
    peers: dict[str, Peer] = {}
    for step in steps:
        peer = peers.get(step.caller)
        if peer is None or not peer.is_open:
            peer = peers[step.caller] = await _peer(instance, step.caller, parser, names)
        await _try(instance, peer, step, names)
    await instance.close()


async def _peer(instance: Instance, name: str, parser: str, names: dict[str, str]) -> Peer:
    caller = CALLERS[name]
    trips = frozenset(names[trip] for trip in caller.trips)
    return await instance.connect(replace(caller, trips=trips), parser)


async def _try(instance: Instance, peer: Peer, step: Step, names: dict[str, str]) -> None:
    token = {"@token": instance.token_of(CALLERS[step.caller])}
    payload = encoded(placed(step.payload, names | token), peer.codec.name)
    before = _kept(instance.world)
    answer = await peer.call(step.event, payload)
    if answer["ok"]:
        return
    error = answer["error"]
    assert error["code"] in REFUSALS, (step, answer)
    assert type(error["message"]) is str
    assert type(error["retry"]) is bool
    assert _kept(instance.world) == before, (step, answer)


def _kept(world: World) -> tuple[Any, ...]:
    """All that a command may change: what is stored, and what everybody was told.

    But guesses at a pin, which are counted when they are refused.
    """
    stores = [vars(store) for store in (*asdict(world.stores).values(), world.drivers)]
    kept = [{name: each for name, each in store.items() if name != "_guards"} for store in stores]
    return repr(kept), len(world.told)
