"""The Python clients when answers are lost, servers die, stores are away, tokens have expired."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import msgspec
import pytest
import ridewire
from ridewire import Place, Retries, calls, tokens
from ridewire.errors import RidewireError
from ridewire.retries import Course, may_repeat

from tests.backends.conftest import MakeBackend
from tests.backends.proxy import Proxy
from tests.backends.scripted import Said, Scripted
from tests.conftest import Cluster, Connect, fresh
from tests.servers import SECRET, Server

PICKUP: Final = Place(52.5, 13.4)
ONCE: Final = Retries(attempts=1)
FORMER_SECRET: Final = "the-secret-from-before-it-was-rotated"


@pytest.fixture
async def proxy(cluster: Cluster) -> AsyncIterator[Proxy]:
    async with Proxy.to(cluster.first) as proxy:
        yield proxy


class TestLostAnswers:
    async def test_a_retried_trip_is_one_trip(self, proxy: Proxy, backend_at: MakeBackend) -> None:
        backend = backend_at(proxy.url)
        rider = fresh("rider")
        proxy.losing = 2
        trip = await backend.create_trip(rider_id=rider, pickup=PICKUP)
        assert proxy.losing == 0
        assert (await backend.list_trips(rider_id=rider)).items == (trip,)

    async def test_a_retried_message_and_conversation_are_stored_once(
        self, proxy: Proxy, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(proxy.url)
        proxy.losing = 1
        chat = await backend.open_conversation([fresh("rider")])
        proxy.losing = 2
        message = await backend.send_message(chat.id, "hello")
        assert (await backend.list_messages(chat.id)).items == (message,)

    async def test_a_retried_transition_is_one_version(
        self, proxy: Proxy, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(proxy.url)
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        proxy.losing = 1
        trip = await backend.update_trip(
            trip.id, "accepted", driver_id=fresh("driver"), version=trip.version
        )
        proxy.losing = 1
        trip = await backend.update_trip(trip.id, "cancelled")
        assert [event.status for event in trip.events] == ["requested", "accepted", "cancelled"]
        assert proxy.losing == 0

    async def test_a_step_whose_answer_is_lost_does_not_move_the_next_drivers_trip(
        self, proxy: Proxy, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(proxy.url)
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        await backend.update_trip(trip.id, "accepted", driver_id=fresh("driver"), version=1)
        proxy.losing = 2
        with pytest.raises(ridewire.Unavailable):
            await backend.update_trip(trip.id, "arriving")
        assert proxy.losing == 1

    async def test_a_retried_offer_of_a_known_version_is_one_version(
        self, proxy: Proxy, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(proxy.url)
        driver = fresh("driver")
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        proxy.losing = 1
        trip = await backend.offer_trip(trip.id, driver, version=trip.version)
        assert (trip.offer.driver_id, trip.version, proxy.losing) == (driver, 2, 0)

    async def test_a_revocation_whose_answer_is_lost_does_not_reach_later_logins(
        self, proxy: Proxy, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(proxy.url)
        proxy.losing = 2
        with pytest.raises(ridewire.Unavailable):
            await backend.revoke_user(fresh("rider"))
        assert proxy.losing == 1

    async def test_a_retried_edit_of_a_known_version_is_one_version(
        self, proxy: Proxy, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(proxy.url)
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        proxy.losing = 1
        trip = await backend.edit_trip(trip.id, dropoff=PICKUP, version=1)
        assert (trip.dropoff, trip.version) == (PICKUP, 2)

    async def test_a_pushed_event_whose_answer_is_lost_is_not_pushed_again(
        self, proxy: Proxy, backend_at: MakeBackend, connect: Connect, cluster: Cluster
    ) -> None:
        rider = await connect(cluster.first, "rider", fresh("rider"))
        backend = backend_at(proxy.url)
        proxy.losing = 1
        with pytest.raises(ridewire.Unavailable) as lost:
            await backend.push_event(rider.user_id, "bonus:won", {"cents": 500})
        assert not isinstance(lost.value, ridewire.Unreachable)
        await backend.push_event(rider.user_id, "marker")
        await rider.hears("marker")
        assert rider.heard("bonus:won") == [{"cents": 500}]

    async def test_an_offer_whose_answer_is_lost_is_left_to_the_caller(
        self, proxy: Proxy, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(proxy.url)
        driver = fresh("driver")
        trip = await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        proxy.losing = 1
        with pytest.raises(ridewire.Unavailable):
            await backend.offer_trip(trip.id, driver)
        assert (await backend.get_trip(trip.id)).offer.driver_id == driver

    async def test_answers_that_are_lost_again_and_again_are_told(
        self, proxy: Proxy, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(proxy.url)
        proxy.losing = 100
        with pytest.raises(ridewire.Unavailable, match="no answer") as lost:
            await backend.create_trip(rider_id=fresh("rider"), pickup=PICKUP)
        assert proxy.losing == 96
        error = lost.value
        assert (error.retry, error.status) == (True, None)
        assert error.request_id


class TestServersThatDie:
    async def test_a_call_outlives_the_server_that_took_it(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        dying = await Server.start(cluster.settings)
        async with Proxy.to(dying.url) as proxy:
            backend = backend_at(proxy.url)
            rider = fresh("rider")
            dying.process.send_signal(signal.SIGSTOP)  # takes the request, and never answers
            creating = asyncio.ensure_future(backend.create_trip(rider_id=rider, pickup=PICKUP))
            await proxy.forwarded.wait()
            proxy.upstream = cluster.second
            await dying.kill()
            trip = await creating
            assert (await backend.list_trips(rider_id=rider)).items == (trip,)

    async def test_without_a_server_nothing_was_done(
        self, unused_tcp_port: int, backend_at: MakeBackend
    ) -> None:
        backend = backend_at(f"http://127.0.0.1:{unused_tcp_port}")
        with pytest.raises(ridewire.Unreachable) as lost:
            await backend.push_event(fresh("rider"), "news")
        assert lost.value.__cause__

    async def test_a_server_that_hangs_is_given_up(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        hanging = await Server.start(cluster.settings)
        hanging.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(ridewire.Unavailable):
                await backend_at(hanging.url, timeout_s=0.2, retries=ONCE).list_trips()
        finally:
            await hanging.kill()


class TestWhatIsAskedFor:
    """Answers that say when to come back, from the server or from what stands before it."""

    async def test_an_unavailable_store_is_asked_again_with_the_same_client_id(
        self, backend_at: MakeBackend
    ) -> None:
        refused = Said(503, _error("unavailable", retry=True), {"Retry-After": "0"})
        async with Scripted.saying(refused, Said(201, TRIP)) as server:
            trip = await backend_at(server.url).create_trip(rider_id="rita", pickup=PICKUP)
        assert trip.id == "T1"
        [(request_id, body), again] = server.heard
        assert again == (request_id, body)
        assert msgspec.json.decode(body)["client_id"]

    @pytest.mark.parametrize("status", [502, 503, 504])
    async def test_a_balancer_without_a_server_is_asked_again(
        self, status: int, backend_at: MakeBackend
    ) -> None:
        busy = Said(status, "<html>")
        async with Scripted.saying(busy, busy, Said(201, TRIP)) as server:
            await backend_at(server.url).create_trip(rider_id="rita", pickup=PICKUP)
        assert len(server.heard) == 3

    async def test_a_pushed_event_waits_for_its_turn(self, backend_at: MakeBackend) -> None:
        limited = Said(429, _error("rate_limited", retry=True, retry_after_ms=10))
        async with Scripted.saying(limited, Said(202)) as server:
            await backend_at(server.url).push_event("rita", "news")
        assert len(server.heard) == 2

    async def test_a_pushed_event_is_not_repeated_where_the_outcome_is_unknown(
        self, backend_at: MakeBackend
    ) -> None:
        refused = Said(503, _error("unavailable", retry=True), {"Retry-After": "0"})
        async with Scripted.saying(refused, Said(202)) as server:
            with pytest.raises(ridewire.Unavailable):
                await backend_at(server.url).push_event("rita", "news")

    @pytest.mark.parametrize("asked", [-10_000, -(10**400)])
    async def test_who_shall_come_back_earlier_than_now_comes_back_at_once(
        self, asked: int, backend_at: MakeBackend
    ) -> None:
        limited = Said(429, _error("rate_limited", retry=True, retry_after_ms=asked))
        async with Scripted.saying(limited, Said(202)) as server:
            await backend_at(server.url).push_event("rita", "news")
            assert len(server.heard) == 2

    @pytest.mark.parametrize(
        "limited",
        [
            Said(429, "", {"Retry-After": "9" * 400}),
            Said(429, '{"error": {"code": "rate_limited", "retry_after_ms": 1%s}}' % ("0" * 400)),
        ],
        ids=["header", "body"],
    )
    async def test_who_shall_never_come_back_is_told_so_at_once(
        self, limited: Said, backend_at: MakeBackend
    ) -> None:
        async with Scripted.saying(limited) as server:
            with pytest.raises(ridewire.RateLimited) as refused:
                await backend_at(server.url).push_event("rita", "news")
            assert len(server.heard) == 1
        assert refused.value.retry_after == 86_400

    async def test_a_fault_of_the_server_is_told_at_once(self, backend_at: MakeBackend) -> None:
        failed = Said(500, _error("internal"), {"X-Request-Id": "R1"})
        async with Scripted.saying(failed) as server:
            with pytest.raises(ridewire.Internal, match="R1"):
                await backend_at(server.url).list_trips()
        assert len(server.heard) == 1

    @pytest.mark.parametrize(
        "said",
        [Said(200, "<html>"), Said(200, "{}"), Said(404, "<html>"), Said(301), Said(400, "[]")],
    )
    async def test_what_is_no_ridewire_server_is_called_so(
        self, said: Said, backend_at: MakeBackend
    ) -> None:
        async with Scripted.saying(said) as server:
            with pytest.raises(ridewire.UnexpectedAnswer):
                await backend_at(server.url).get_trip("T1")

    async def test_a_code_of_a_later_version_is_passed_on(self, backend_at: MakeBackend) -> None:
        async with Scripted.saying(Said(402, _error("payment_required", retry=True))) as server:
            with pytest.raises(RidewireError) as refused:
                await backend_at(server.url).get_trip("T1")
        assert type(refused.value) is RidewireError
        assert (refused.value.code, refused.value.retry) == ("payment_required", True)


class TestTokens:
    async def test_an_expired_token_is_exchanged_once_for_all_calls(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        given = iter([_token(ttl_s=-5), _token()])
        backend = backend_at(cluster.first, lambda: next(given))
        await asyncio.gather(*(backend.list_trips(limit=1) for _ in range(8)))
        assert list(given) == []

    async def test_a_pushed_event_is_sent_again_with_the_new_token(
        self, cluster: Cluster, backend_at: MakeBackend, connect: Connect
    ) -> None:
        rider = await connect(cluster.first, "rider", fresh("rider"))
        given = iter([_token(ttl_s=-5), _token()])
        await backend_at(cluster.first, lambda: next(given)).push_event(rider.user_id, "news")
        await rider.hears("news")

    async def test_a_source_of_expired_tokens_is_asked_no_further(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        given = [_token(ttl_s=-number) for number in range(5, 10)]
        backend = backend_at(cluster.first, given.pop)
        with pytest.raises(ridewire.TokenExpired):
            await backend.list_trips()
        assert len(given) == 3

    async def test_a_token_as_text_expires_for_good(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        with pytest.raises(ridewire.TokenExpired):
            await backend_at(cluster.first, _token(ttl_s=-5)).list_trips()

    async def test_a_back_end_goes_on_after_its_own_revocation(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        itself = fresh("backend")
        backend = backend_at(cluster.first, tokens.minter(SECRET, user_id=itself))
        await backend.revoke_user(itself)
        rider = fresh("rider")
        trip = await backend.create_trip(rider_id=rider, pickup=PICKUP)
        assert (await backend.list_trips(rider_id=rider)).items == (trip,)

    async def test_a_back_end_goes_on_after_a_rotation_of_keys(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        given = iter([_token(FORMER_SECRET), _token()])
        backend = backend_at(cluster.first, lambda: next(given))
        await asyncio.gather(*(backend.list_trips(limit=1) for _ in range(8)))
        assert list(given) == []

    async def test_a_gateway_that_refuses_a_token_is_given_another(
        self, backend_at: MakeBackend
    ) -> None:
        given = iter(["stale", "fresh"])
        async with Scripted.saying(Said(401, "<html>"), Said(201, TRIP)) as server:
            backend = backend_at(server.url, lambda: next(given))
            await backend.create_trip(rider_id="rita", pickup=PICKUP)
        assert list(given) == []

    async def test_a_source_of_refused_tokens_is_asked_once_more_a_call(
        self, cluster: Cluster, backend_at: MakeBackend
    ) -> None:
        given = [_token(FORMER_SECRET) for _ in range(5)]
        backend = backend_at(cluster.first, given.pop)
        for left in (3, 2):
            with pytest.raises(ridewire.Unauthorized):
                await backend.list_trips()
            assert len(given) == left

    @pytest.mark.parametrize(
        "failure",
        [httpx.ConnectError("no identity provider"), ridewire.Unavailable("of another server")],
        ids=lambda failure: type(failure).__name__,
    )
    @pytest.mark.parametrize("refused_before", [(), ("stale",)], ids=["first", "second"])
    async def test_what_a_source_of_tokens_raises_is_no_lost_answer(
        self,
        failure: Exception,
        refused_before: tuple[str, ...],
        cluster: Cluster,
        backend_at: MakeBackend,
    ) -> None:
        given = list(refused_before)
        asked = []

        def source() -> str:
            asked.append(1)
            if given:
                return given.pop()
            raise failure

        with pytest.raises(type(failure)) as told:
            await backend_at(cluster.first, source).list_trips()
        assert told.value is failure
        assert len(asked) == len(refused_before) + 1

    async def test_a_token_may_be_awaited(self, cluster: Cluster) -> None:
        async def fetched() -> str:
            return _token()

        async with ridewire.AsyncRidewire(cluster.first, token=fetched) as rides:
            assert (await rides.list_trips(rider_id=fresh("rider"))).items == ()


class TestPauses:
    """The rules by themselves, on a clock that does not run."""

    def test_pauses_grow_up_to_the_longest_and_differ(self) -> None:
        rules = Retries(attempts=50, within_s=1_000, first_pause_s=1, longest_pause_s=4)
        course = Course(calls.get_trip("T1"), rules, lambda: 0)
        pauses = [course.pause_after(ridewire.Unavailable("")) for _ in range(40)]
        assert pauses[0] <= 1
        assert pauses[1] <= 2
        assert max(pauses) <= 4
        assert len(set(pauses)) > 30

    def test_a_call_may_be_tried_for_as_long_as_somebody_waits(self) -> None:
        rules = Retries(attempts=10_000, within_s=1e9, longest_pause_s=4)
        course = Course(calls.get_trip("T1"), rules, lambda: 0)
        assert max(course.pause_after(ridewire.Unreachable("down")) for _ in range(2_000)) <= 4

    def test_a_pause_is_at_least_what_the_server_asked_for(self) -> None:
        course = Course(calls.get_trip("T1"), Retries(first_pause_s=1), lambda: 0)
        busy = ridewire.Unavailable("", retry_after=7)
        assert 7 <= course.pause_after(busy) <= 8

    def test_a_call_is_not_sent_more_often_than_the_rules_say(self) -> None:
        course = Course(calls.get_trip("T1"), Retries(attempts=3), lambda: 0)
        for _ in range(2):
            course.pause_after(ridewire.Unreachable("down"))
        with pytest.raises(ridewire.Unreachable):
            course.pause_after(ridewire.Unreachable("down"))

    def test_a_call_is_not_sent_later_than_the_rules_say(self) -> None:
        now = [100.0]
        course = Course(calls.get_trip("T1"), Retries(within_s=20), lambda: now[0])
        course.pause_after(ridewire.Unavailable(""))
        now[0] += 21
        with pytest.raises(ridewire.Unavailable):
            course.pause_after(ridewire.Unavailable(""))

    def test_who_shall_come_back_too_late_is_told_so_at_once(self) -> None:
        course = Course(calls.get_trip("T1"), Retries(within_s=20), lambda: 0)
        with pytest.raises(ridewire.RateLimited):
            course.pause_after(ridewire.RateLimited("", retry_after=60))


REPEATED: Final = [
    calls.create_trip(pickup=PICKUP),
    calls.get_trip("T1"),
    calls.list_trips(),
    calls.edit_trip("T1", dropoff=PICKUP, version=1),
    calls.update_trip("T1", "requested", version=4),
    calls.update_trip("T1", "accepted", driver_id="dan", version=4),
    calls.update_trip("T1", "arriving", version=4),
    calls.update_trip("T1", "in_progress", version=4),
    calls.offer_trip("T1", "dan", version=4),
    calls.update_trip("T1", "completed"),
    calls.update_trip("T1", "cancelled"),
    calls.update_trip("T1", "unfulfilled"),
    calls.share_trip("T1"),
    calls.open_conversation(["rita"]),
    calls.send_message("T1", "hello"),
    calls.list_messages("T1"),
    calls.revoke_token("J1"),
]
LEFT_ALONE: Final = [
    calls.edit_trip("T1", dropoff=PICKUP),
    calls.update_trip("T1", "requested"),
    calls.update_trip("T1", "accepted", driver_id="dan"),
    calls.update_trip("T1", "arriving"),
    calls.update_trip("T1", "arrived"),
    calls.update_trip("T1", "in_progress"),
    calls.offer_trip("T1", "dan"),
    calls.push_event("rita", "news"),
    calls.revoke_user("rita"),
]


@pytest.mark.parametrize(
    "call", REPEATED + LEFT_ALONE, ids=lambda call: f"{call.method} {call.path}"
)
def test_what_was_not_carried_out_is_always_sent_again(call: calls.Call[Any]) -> None:
    assert may_repeat(call, ridewire.Unreachable("down"))
    assert may_repeat(call, ridewire.RateLimited("later"))


@pytest.mark.parametrize(
    ("call", "again"),
    [*((call, True) for call in REPEATED), *((call, False) for call in LEFT_ALONE)],
)
def test_what_may_have_been_carried_out_is_sent_again_where_that_is_safe(
    call: calls.Call[Any], *, again: bool
) -> None:
    assert may_repeat(call, ridewire.Unavailable("lost")) is again


def test_a_refusal_is_no_reason_to_send_again() -> None:
    refusals = (ridewire.NotFound, ridewire.Conflict, ridewire.Internal, ridewire.Unauthorized)
    assert not any(may_repeat(calls.get_trip("T1"), refused("no")) for refused in refusals)


def _token(secret: str = SECRET, *, ttl_s: int = 60) -> str:
    return tokens.mint(secret, role="service", user_id="backend", ttl_s=ttl_s)


def _error(code: str, **details: Any) -> str:
    error = {"code": code, "message": "refused", "request_id": "R1", **details}
    return msgspec.json.encode({"error": error}).decode()


TRIP: Final = msgspec.json.encode(
    {
        "id": "T1",
        "rider_id": "rita",
        "driver_id": None,
        "offer": None,
        "status": "requested",
        "version": 1,
        "pickup": {"lat": 52.5, "lng": 13.4},
        "dropoff": None,
        "stops": [],
        "created_at": 1,
        "updated_at": 1,
        "events": [],
        "metadata": {},
    }
).decode()
