"""Revoking: it is told everywhere and stored, and answered when it holds."""

import pytest

from handlers.revocations import RevocationHandler
from models import rooms
from models.errors import Unavailable
from models.facts import Revoked
from models.fields import Millis
from models.requests import TokenRevoke, UserRevoke
from models.revocations import Revocation, RevokedToken, RevokedUser
from tests.handlers.world import NOW, SERVICE, MemoryRevocations, Told, World


class Office:
    """The handler on a world whose clock goes on while somebody pauses."""

    def __init__(self) -> None:
        self.world = World()
        self.paused: list[float] = []
        self.handler = RevocationHandler(
            self.world.stores, self.world.publish, self.world.clock, self._pause
        )

    @property
    def store(self) -> MemoryRevocations:
        store = self.world.stores.revocations
        assert isinstance(store, MemoryRevocations)
        return store

    async def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.world.clock.advance(round(seconds * 1000))

    def told(self) -> list[Revocation]:
        facts = [told.fact for told in self.world.told if told.room == rooms.INSTANCES]
        assert len(facts) == len(self.world.told)
        return [fact.revocation for fact in facts if isinstance(fact, Revoked)]


@pytest.fixture
def office() -> Office:
    return Office()


async def test_a_revoked_token_is_stored_and_told_to_every_instance(office: Office) -> None:
    await office.handler.revoke_token(SERVICE, TokenRevoke("t-1"))
    assert await office.store.all() == [RevokedToken("t-1", NOW)]
    assert office.world.told == [Told(rooms.INSTANCES, Revoked(RevokedToken("t-1", NOW)))]
    assert office.paused == []


async def test_a_cut_off_user_is_stored_and_told_to_every_instance(office: Office) -> None:
    await office.handler.revoke_user(SERVICE, UserRevoke("rita"))
    assert await office.store.all() == office.told() == [RevokedUser("rita", NOW)]


@pytest.mark.parametrize(("into_the_second", "left"), [(0, 1.0), (250, 0.75), (999, 0.001)])
async def test_a_user_is_cut_off_when_the_second_is_over(
    office: Office, into_the_second: Millis, left: float
) -> None:
    office.world.clock.advance(into_the_second)
    await office.handler.revoke_user(SERVICE, UserRevoke("rita"))
    assert office.paused == [left]
    assert office.told() == [RevokedUser("rita", NOW + into_the_second)]
    assert office.world.clock() == NOW + 1000


async def test_revoking_again_is_no_error(office: Office) -> None:
    for _ in range(2):
        await office.handler.revoke_token(SERVICE, TokenRevoke("t-1"))
        await office.handler.revoke_user(SERVICE, UserRevoke("rita"))
    assert await office.store.all() == [
        RevokedToken("t-1", NOW + 1000),
        RevokedUser("rita", NOW + 1000),
    ]


async def test_what_may_not_be_stored_is_told_nevertheless(office: Office) -> None:
    office.store.away = True
    with pytest.raises(Unavailable):
        await office.handler.revoke_token(SERVICE, TokenRevoke("t-1"))
    with pytest.raises(Unavailable):
        await office.handler.revoke_user(SERVICE, UserRevoke("rita"))
    assert office.told() == [RevokedToken("t-1", NOW), RevokedUser("rita", NOW)]
