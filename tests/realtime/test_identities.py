"""The check of a token: genuine, not revoked, and known not to be."""

import pytest

from models.errors import TokenExpired, Unauthorized, Unavailable
from models.identity import Role
from models.revocations import RevokedToken, RevokedUser
from realtime.identities import Identities
from realtime.revocations import IN_TOUCH_S, LOOK_EVERY_S, Revocations
from realtime.tokens import Secret, TokenRules, Tokens
from tests.handlers.world import NOW, World
from tests.realtime.joining import without_redis

SECRET = Secret("the secret of a test that is long enough to sign with")


class Door:
    def __init__(self) -> None:
        world = World()
        self.clock = world.clock
        self.tokens = Tokens(TokenRules(secrets=(SECRET,)), world.clock)
        self.revocations = Revocations(world.stores, without_redis(world.clock), world.clock)
        self.identities = Identities(self.tokens, self.revocations)

    def token(self, jti: str = "t-1", ttl_s: int = 60) -> str:
        return self.tokens.mint(Role.RIDER, "rita", ttl_s=ttl_s, token_id=jti)

    def lose_touch(self) -> None:
        for _ in range(round(IN_TOUCH_S / LOOK_EVERY_S)):
            self.revocations.look(LOOK_EVERY_S)


@pytest.fixture
async def door() -> Door:
    door = Door()
    await door.revocations.load()
    return door


async def test_a_good_token_is_whose_it_says(door: Door) -> None:
    identity = door.identities.verify(door.token())
    assert (identity.user_id, identity.role, identity.token_id) == ("rita", Role.RIDER, "t-1")


async def test_what_is_no_good_token_is_refused(door: Door) -> None:
    expired = door.token(ttl_s=1)
    door.clock.advance(2_000)
    with pytest.raises(TokenExpired):
        door.identities.verify(expired)
    with pytest.raises(Unauthorized):
        door.identities.verify("garbage")


async def test_a_revoked_token_is_refused(door: Door) -> None:
    door.revocations.take(RevokedToken("t-1", NOW))
    with pytest.raises(Unauthorized, match="revoked"):
        door.identities.verify(door.token())
    door.identities.verify(door.token("t-2"))


async def test_a_cut_off_users_token_is_refused_unless_it_is_newer(door: Door) -> None:
    before = door.token()
    door.revocations.take(RevokedUser("rita", NOW))
    with pytest.raises(Unauthorized, match="revoked"):
        door.identities.verify(before)
    door.clock.advance(1_000)
    door.identities.verify(door.token())


async def test_while_it_cannot_be_known_nobody_is_let_in(door: Door) -> None:
    door.lose_touch()
    with pytest.raises(Unavailable):
        door.identities.verify(door.token())


async def test_what_is_known_to_be_bad_is_refused_all_the_same(door: Door) -> None:
    door.revocations.take(RevokedToken("t-1", NOW))
    door.lose_touch()
    for bad in (door.token(), "garbage"):
        with pytest.raises(Unauthorized):
            door.identities.verify(bad)
