"""Attacks by the thousand: memory stays bounded, and a ride beside them misses nothing."""

from typing import Final

import pytest

from tests.hostile.attacks import ATTACKS, Attack
from tests.hostile.process import resident
from tests.hostile.ride import a_ride
from tests.servers import Server

MIB: Final = 1024 * 1024
SOME: Final = 24 * MIB
"""What a server process may grow by for reasons of its own: buffers of sockets, arenas."""


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_costs_little_memory_while_a_ride_goes_on(
    server: Server, attack: Attack
) -> None:
    async with a_ride(server.url):
        before = resident(server)
        await attack(server.url)
        assert resident(server) - before < SOME
