"""What an instance knows of revocations: told or read, remembered, forgotten, or not known."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from models.errors import Unavailable
from models.identity import Identity, Role
from models.revocations import KEPT_MS, RevokedToken, RevokedUser
from realtime.embedded import EmbeddedStores
from realtime.recent_revocations import RecentRevocations
from realtime.redis_address import RedisAddress
from realtime.revocations import IN_TOUCH_S, LOOK_EVERY_S, OVERLAP_MS, Revocations
from tests.conftest import fresh
from tests.handlers.world import NOW, Clock, MemoryRevocations, World
from tests.hostile.process import until
from tests.realtime.joining import without_redis


def token(
    user_id: str = "rita", jti: str | None = "t-1", *, issued_at: int | None = NOW
) -> Identity:
    return Identity(user_id, Role.RIDER, NOW * 2, issued_at=issued_at, token_id=jti)


class Place:
    """An instance's knowledge, with a store and a Redis that can go away."""

    def __init__(self, redis: Redis | None = None) -> None:
        world = World()
        assert isinstance(world.stores.revocations, MemoryRevocations)
        self.clock: Clock = world.clock
        self.store = world.stores.revocations
        self.news = 0
        recent = RecentRevocations(redis, self.clock) if redis else without_redis(self.clock)
        self.known = Revocations(world.stores, recent, self.clock)
        self.known.on_news = self._note

    def _note(self) -> None:
        self.news += 1

    def hear_nothing(self, seconds: float = IN_TOUCH_S) -> None:
        """For as long as one may not, unless it is said otherwise."""
        for _ in range(round(seconds / LOOK_EVERY_S)):
            self.known.look(LOOK_EVERY_S)

    def in_touch(self) -> bool:
        return self.known.in_touch

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.known.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def place() -> Place:
    return Place()


class TestRefusing:
    async def test_nothing_is_refused_that_was_not_revoked(self, place: Place) -> None:
        place.known.take(RevokedToken("t-2", NOW))
        place.known.take(RevokedUser("dan", NOW))
        for good in (token(), token(jti=None), token(issued_at=None)):
            assert not place.known.refuses(good)

    async def test_a_revoked_token_is_refused_and_no_other_of_its_user(self, place: Place) -> None:
        place.known.take(RevokedToken("t-1", NOW))
        assert place.known.refuses(token())
        assert place.known.refuses(token(issued_at=NOW + 1))
        assert not place.known.refuses(token(jti="t-2"))
        assert not place.known.refuses(token(jti=None))

    async def test_every_earlier_token_of_a_user_is_refused(self, place: Place) -> None:
        place.known.take(RevokedUser("rita", NOW))
        for bad in (token(), token(jti=None), token(issued_at=None), token(issued_at=5)):
            assert place.known.refuses(bad)
        assert not place.known.refuses(token(issued_at=NOW + 1))
        assert not place.known.refuses(token("dan"))

    @pytest.mark.parametrize("moments", [(NOW, NOW + 5), (NOW + 5, NOW)])
    async def test_of_several_times_the_latest_counts(
        self, place: Place, moments: tuple[int, int]
    ) -> None:
        for at in moments:
            place.known.take(RevokedUser("rita", at))
        assert place.known.refuses(token(issued_at=NOW + 5))
        assert not place.known.refuses(token(issued_at=NOW + 6))

    async def test_a_tokens_id_is_not_a_users(self, place: Place) -> None:
        place.known.take(RevokedToken("rita", NOW))
        place.known.take(RevokedUser("t-1", NOW))
        assert not place.known.refuses(token())


class TestNews:
    async def test_sessions_are_looked_through_once_for_what_comes_together(
        self, place: Place
    ) -> None:
        for n in range(50):
            place.known.take(RevokedToken(f"t-{n}", NOW))
        assert place.news == 0
        await until(lambda: place.news == 1)
        place.known.take(RevokedUser("rita", NOW))
        await until(lambda: place.news == 2)

    async def test_what_is_known_already_is_no_news(self, place: Place) -> None:
        place.known.take(RevokedUser("rita", NOW))
        await until(lambda: place.news == 1)
        place.known.take(RevokedUser("rita", NOW))
        place.known.take(RevokedUser("rita", NOW - 1))
        assert place.known._telling is None


class TestReading:
    async def test_what_was_revoked_before_the_start_is_known(self, place: Place) -> None:
        await place.store.add(RevokedToken("t-1", NOW - KEPT_MS + 1))
        await place.store.add(RevokedUser("dan", NOW))
        await place.known.load()
        assert place.known.refuses(token())
        assert place.known.refuses(token("dan", issued_at=None))

    async def test_without_the_store_there_is_no_start(self, place: Place) -> None:
        place.store.away = True
        with pytest.raises(Unavailable):
            await place.known.load()

    async def test_what_is_revoked_later_is_read(self, place: Place) -> None:
        await place.known.load()
        async with place.reading():
            place.clock.advance(10)
            await place.store.add(RevokedToken("t-1", place.clock()))
            await until(lambda: place.known.refuses(token()))

    async def test_what_was_revoked_while_the_store_was_away_is_read(self, place: Place) -> None:
        await place.known.load()
        place.store.away = True
        async with place.reading():
            await asyncio.sleep(0.01)
            place.clock.advance(3_600_000)
            place.store.away = False
            await place.store.add(RevokedToken("t-1", NOW + 1))
            await until(lambda: place.known.refuses(token()))

    @pytest.mark.parametrize("late_by", [1, OVERLAP_MS])
    async def test_a_slow_write_by_a_slow_clock_is_found(self, place: Place, late_by: int) -> None:
        await place.known.load()
        await place.store.add(RevokedToken("t-1", NOW - late_by))
        async with place.reading():
            await until(lambda: place.known.refuses(token()))

    async def test_a_clock_that_is_put_right_does_not_hide_anything(self, place: Place) -> None:
        place.clock.advance(86_400_000)
        await place.known.load()
        place.clock.now = NOW
        await place.store.add(RevokedToken("t-1", NOW))
        async with place.reading():
            await until(lambda: place.known.refuses(token()))

    async def test_what_no_token_can_be_of_any_more_is_forgotten(self, place: Place) -> None:
        for at in (NOW, NOW + 5):
            await place.store.add(RevokedToken(f"t-{at}", at))
            await place.store.add(RevokedUser(f"u-{at}", at))
        await place.known.load()
        place.clock.advance(KEPT_MS)
        place.store.away = True
        async with place.reading():
            await until(lambda: not place.known.refuses(token("u", f"t-{NOW}")))
        assert not place.known.refuses(token(f"u-{NOW}", issued_at=None))
        assert place.known.refuses(token("u", f"t-{NOW + 5}"))
        assert place.known.refuses(token(f"u-{NOW + 5}", issued_at=None))


class TestPassingOn:
    async def test_what_is_read_from_the_store_reaches_who_has_only_redis(
        self, stores: EmbeddedStores
    ) -> None:
        async with RedisAddress.parse(str(stores.redis_url)).client() as redis:
            both, redis_only = Place(redis), Place(redis)
            for place in (both, redis_only):
                await place.known.load()
            redis_only.store.away = True
            jti = fresh("jti")
            await both.store.add(RevokedToken(jti, NOW))
            async with both.reading(), redis_only.reading():
                await until(lambda: redis_only.known.refuses(token(jti=jti)))


class TestBeingInTouch:
    async def test_before_anything_was_read_nothing_is_known(self, place: Place) -> None:
        assert not place.in_touch()
        place.known.heard()
        assert not place.in_touch()

    async def test_the_store_alone_is_enough(self, place: Place) -> None:
        await place.known.load()
        assert place.in_touch()
        place.hear_nothing()
        assert not place.in_touch()
        async with place.reading():
            await until(place.in_touch)

    async def test_redis_alone_is_enough_once_everything_was_read(self, place: Place) -> None:
        await place.known.load()
        place.hear_nothing()
        place.known.heard()
        assert place.in_touch()
        place.hear_nothing()
        assert not place.in_touch()

    async def test_redis_is_not_enough_after_it_was_away_until_the_store_was_read(
        self, place: Place
    ) -> None:
        await place.known.load()
        place.hear_nothing()
        place.known.missed()
        place.known.heard()
        assert not place.in_touch()
        place.hear_nothing(LOOK_EVERY_S)
        await place.known.load()
        place.hear_nothing()
        place.known.heard()
        assert place.in_touch()

    async def test_redis_that_was_away_for_a_moment_is_not_needed_at_once(
        self, place: Place
    ) -> None:
        await place.known.load()
        place.known.missed()
        assert place.in_touch()

    async def test_while_it_is_busy_or_asleep_it_loses_no_touch(self, place: Place) -> None:
        await place.known.load()
        place.known.look(3_600.0)
        assert place.in_touch()
        place.hear_nothing()
        assert not place.in_touch()

    async def test_it_is_logged_when_it_is_lost_and_when_it_is_back(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        await place.known.load()
        place.store.away = True
        place.hear_nothing()
        async with place.reading():
            await until(lambda: "nobody is let in" in caplog.text)
        place.store.away = False
        async with place.reading():
            await until(lambda: "known again" in caplog.text)
        assert caplog.text.count("nobody is let in") == 1
