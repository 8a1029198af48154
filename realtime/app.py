"""One server process, wired: the only place that knows all the parts."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Final, Self

from aiohttp import web

from handlers.chat import ChatHandler
from handlers.locations import LocationHandler
from handlers.nearby import NearbyHandler
from handlers.pushes import PushHandler
from handlers.revocations import RevocationHandler
from handlers.sessions import SessionHandler
from handlers.sharing import SharingHandler
from handlers.snapshots import Snapshots
from handlers.tracks import TrackHandler, TrackKeeper
from handlers.trips import TripHandler
from models import mongo, rooms
from models.errors import Unavailable
from models.eta import Plan
from models.fields import Id, Millis
from models.filter import Limits
from models.presence import PresenceLimits
from realtime import dispatch, engine, keys, lag
from realtime.admission import Admission, Room
from realtime.allowance import Allowance
from realtime.archiver import Archiver
from realtime.buckets import Rate
from realtime.bus import Bus
from realtime.counting import Key
from realtime.direct_archive import DirectArchive
from realtime.draining import send_away
from realtime.drivers import RedisDrivers
from realtime.etas import Etas
from realtime.feeds import TripFeed
from realtime.following import FollowingService
from realtime.gateway import Gateway
from realtime.http import api, documents
from realtime.http.attempts import Attempts
from realtime.http.errors import Edge
from realtime.http.health import Routes
from realtime.http.links import Links
from realtime.http.requests import MAX_BODY
from realtime.hub import Hub
from realtime.identities import Identities
from realtime.metrics import Metrics
from realtime.osrm import Osrm
from realtime.provider_keys import ProviderKeys
from realtime.proxies import Proxies
from realtime.recent_revocations import RecentRevocations
from realtime.redis_address import RedisAddress
from realtime.revocations import Revocations
from realtime.rides import Rides
from realtime.scraping import Scraping, Worker
from realtime.sessions import Sessions
from realtime.settings import Settings
from realtime.spending import SHARE_S, Spending
from realtime.tasks import Tasks
from realtime.tokens import Tokens
from realtime.track_stream import TrackStream
from realtime.watchers import Watchers

_log = logging.getLogger(__name__)

SWEEP_OFFERS_S: Final = 0.5
SWEEP_FOLLOWED_S: Final = 1.5
CHECK_WATCHED_S: Final = 1.0
FORGET_UNSEEN_S: Final = 1.0
MEASURE_LAG_S: Final = 0.5
LOOK_FOR_ETAS_S: Final = 0.1
FORGET_ETAS_S: Final = 60.0
SETTLE_S: Final = 1.0
FAILED_PAUSE_S: Final = 0.5
PROBE_REDIS_S: Final = 0.5
"""Several times within what revocations may be late by."""
SOCKET_IO: Final = "socket.io"
"""The path of the sockets."""
NO_KEYS: Final = "no key to check tokens with, of the allowed algorithms, is known yet"
FINISH_SHARE: Final = 0.2
"""Of the time for the end: for the commands that are under way when the last client has left."""


def now() -> Millis:
    """The server's clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


class Instance:
    """A server without its listening socket: `app` is what is to be served."""

    def __init__(
        self, settings: Settings, redis_url: str, mongodb_url: str, worker: Worker | None = None
    ) -> None:
        """`worker` is which of several processes it is, if it is not the only one."""
        address = RedisAddress.parse(redis_url)
        self._drain_s = settings.drain_s
        self._tasks = Tasks()
        self._commands = Tasks()
        self._metrics = Metrics()
        self._mongo = mongo.connect(
            mongodb_url, observer=self._metrics.mongodb, track_days=settings.track_days
        )
        self._redis = address.client(self._metrics.redis)
        self._bus = Bus(address, self._receive, probe_every=PROBE_REDIS_S)
        self._scraping = Scraping(self._metrics.registry, worker)
        kept = self._mongo.stores
        self._direct = DirectArchive(kept, now, self._metrics)
        self._drivers = RedisDrivers(
            self._redis, self._direct.keep, settings.track_buffer_points, self._metrics
        )
        self._archiver = Archiver(TrackStream(self._redis), TrackKeeper(kept, now), self._metrics)
        self._proxies = Proxies(settings.forwarded_allow_ips)
        self._allowance = _allowance(settings)
        shared = {"users": self._allowance.users, "links": self._allowance.links}
        self._spending = Spending(self._redis, shared, time.monotonic)
        self._wire(settings)
        attempts = Attempts(Rate.of(settings.requests_per_address_per_s))
        self._edge = Edge(
            f"/{SOCKET_IO}/", settings.allowed_origins, self._proxies, attempts, self._metrics
        )
        self.app = web.Application(middlewares=[self._edge.middleware], client_max_size=MAX_BODY)
        self.app.on_response_prepare.append(self._edge.prepare)
        self._gateway.attach(self.app, SOCKET_IO)
        self._routes().add_to(self.app)
        api.add_to(self.app, self._new_api(), self._identities.verified, self._allowance.spend)
        documents.add_to(self.app)
        self._measure()

    @classmethod
    async def start(
        cls, settings: Settings, redis_url: str, mongodb_url: str, worker: Worker | None = None
    ) -> Self:
        """Connect and migrate. Raises SchemaError, and Unavailable when MongoDB is away."""
        instance = cls(settings, redis_url, mongodb_url, worker)
        await instance._mongo.migrate()
        await instance._bus.start()
        await instance._scraping.start()
        instance._bus.on_return = instance._catch_up
        instance._bus.on_heard = instance._revocations.heard
        await instance._bus.subscribe(keys.channel(rooms.INSTANCES))
        await instance._revocations.load()
        if instance._provider is not None:
            await instance._provider.fetch()
            instance._tasks.start(instance._provider.run())
        instance._tasks.start(instance._revocations.run())
        instance._tasks.start(instance._drivers.run())
        instance._tasks.start(instance._drivers.availability.run())
        instance._tasks.start(instance._archiver.run())
        instance._tasks.start(_regularly(MEASURE_LAG_S, instance._archiver.measure_lag))
        instance._tasks.start(instance._direct.run())
        instance._tasks.start(lag.watch(instance._metrics.loop_lag))
        instance._tasks.start(_regularly(SETTLE_S, instance._settle))
        instance._tasks.start(_regularly(SHARE_S, instance._spending.share))
        instance._tasks.start(_regularly(SWEEP_OFFERS_S, instance._trips.expire_offers))
        instance._tasks.start(_regularly(SWEEP_FOLLOWED_S, instance._following.sweep))
        instance._tasks.start(_regularly(CHECK_WATCHED_S, instance._check_watched))
        instance._tasks.start(_regularly(FORGET_UNSEEN_S, instance._forget_unseen))
        instance._tasks.start(_regularly(LOOK_FOR_ETAS_S, instance._etas.look))
        instance._tasks.start(_regularly(FORGET_ETAS_S, instance._forget_etas))
        return instance

    async def drain(self) -> None:
        """Take no newcomers, and send the clients away; who is still there is served."""
        self._gateway.engine.is_draining = self._edge.is_draining = True
        await send_away(self._sessions.all(), self._drain_s * (1 - FINISH_SHARE))

    async def close(self) -> None:
        """Finish what is under way, and let go of the stores. Nothing new may come any more."""
        finish_s = self._drain_s * FINISH_SHARE
        await asyncio.gather(
            self._commands.stop(finish_s=finish_s), self._edge.finish(within_s=finish_s)
        )
        await self._gateway.engine.stop()
        await self._tasks.stop()
        await self._drivers.finish(finish_s)
        await self._direct.settle(inf)
        if self._osrm is not None:
            await self._osrm.close()
        await self._scraping.close()
        await self._bus.close()
        await self._redis.aclose()
        await self._mongo.close()

    def _wire(self, settings: Settings) -> None:
        """Rooms first, then what tells them, then who may come in, then what they may do."""
        kept = self._mongo.stores
        self._presence = PresenceLimits(settings.driver_stale_ms, settings.driver_offline_ms)
        self._following = self._new_following(settings)
        self._revocations = Revocations(kept, RecentRevocations(self._redis, now), now)
        self._hub = Hub(self._bus, self._following, self._revocations, now, self._metrics)
        self._wire_tokens(settings)
        self._sessions = Sessions(
            identities=self._identities,
            following=self._following,
            publish=self._hub.publish,
            clock=now,
            metrics=self._metrics,
            per_user=settings.connections_per_user,
            per_link=settings.viewers_per_link,
            reports=Rate.of(settings.reports_per_s),
        )
        self._revocations.on_news = lambda: self._sessions.end_revoked(self._revocations.refuses)
        self._trips = TripHandler(
            kept,
            self._hub.publish,
            now,
            self._drivers,
            chat_after_end_ms=settings.chat_after_trip_ms,
            arrival_radius_m=settings.arrival_radius_m,
        )
        self._osrm = (
            None
            if settings.osrm_url is None
            else Osrm(settings.osrm_url, self._metrics.routes.counts)
        )
        self._etas = Etas(
            shown=self._hub.take_shown,
            plan=self._plan_of,
            publish=self._hub.publish,
            clock=now,
            tasks=self._tasks,
            router=self._osrm,
            watched=Watchers(self._redis, self._following.watched).of,
        )
        self._chat = ChatHandler(kept, self._hub.publish, now)
        self._gateway = self._new_gateway(settings)
        self._gateway.add(self._new_rides(settings))

    def _wire_tokens(self, settings: Settings) -> None:
        rules = settings.token_rules()
        self._tokens = Tokens(rules, now)
        self._provider: ProviderKeys | None = None
        if rules.key_set_url is not None:
            fetches = self._metrics.key_fetches.counts
            self._provider = ProviderKeys(rules.key_set_url, self._tokens.take, fetches)
        self._identities = Identities(self._tokens, self._revocations, self._provider)

    def _new_following(self, settings: Settings) -> FollowingService:
        kept = self._mongo.stores
        return FollowingService(
            channels=self._bus,
            kept=kept,
            sessions=SessionHandler(kept, self._drivers, now),
            snapshots=Snapshots(kept, self._drivers, self._presence, now),
            drivers=self._drivers,
            presence=self._presence,
            clock=now,
            tasks=self._tasks,
            per_connection=settings.subscriptions_per_connection,
            limits=Limits(
                max_accuracy_m=settings.max_accuracy_m, max_speed_mps=settings.max_speed_mps
            ),
        )

    def _new_rides(self, settings: Settings) -> Rides:
        handlers = dispatch.Handlers(
            sessions=self._sessions,
            following=self._following,
            drivers=self._drivers,
            locations=LocationHandler(
                self._drivers, self._hub.show, now, _later, per_s=settings.locations_per_s
            ),
            trips=self._trips,
            chat=self._chat,
            metrics=self._metrics,
        )
        return Rides(
            sessions=self._sessions,
            commands=dispatch.commands(handlers),
            locate=dispatch.locate(handlers),
            allow=self._allowance.spend,
            tasks=self._commands,
            metrics=self._metrics,
            pending=settings.pending_commands,
        )

    def _new_gateway(self, settings: Settings) -> Gateway:
        limits = engine.Limits(
            max_payload=settings.max_message_bytes,
            connect_within_s=settings.authenticate_within_s,
        )
        gateway = Gateway(
            limits,
            cors_allowed_origins=_origins(settings.allowed_origins),
            transports=["polling", "websocket"] if settings.workers == 1 else ["websocket"],
        )
        gateway.engine.obstacle = self._obstacle
        room = Room(
            connects_per_s=settings.connects_per_s,
            connections=settings.max_connections,
            per_address=settings.connections_per_address,
            attempts_per_address_per_s=settings.attempts_per_address_per_s,
            opening=settings.max_opening,
        )
        gateway.engine.origin = self._proxies.origin
        gateway.engine.door = Admission(room, lambda: self._sessions.opening, time.monotonic)
        return gateway

    def _new_api(self) -> api.Handlers:
        kept, publish = self._mongo.stores, self._hub.publish
        return api.Handlers(
            trips=self._trips,
            chat=self._chat,
            sharing=SharingHandler(kept, Links(self._tokens).mint),
            pushes=PushHandler(publish),
            revocations=RevocationHandler(kept, publish, now),
            nearby=NearbyHandler(self._drivers.nearby, self._presence, now),
            tracks=TrackHandler(kept, now),
        )

    def _routes(self) -> Routes:
        checks = {
            "mongodb": self._mongodb_problem,
            "redis": self._redis_problem,
            "keys": self._keys_problem,
            "server": self._server_problem,
        }
        return Routes(checks, self._scraping.answer)

    async def _mongodb_problem(self) -> str | None:
        try:
            await self._mongo.ping()
        except Unavailable as error:
            return error.message
        return None

    async def _redis_problem(self) -> str | None:
        return None if self._bus.alive else self._bus.problem

    async def _keys_problem(self) -> str | None:
        missing = None if self._provider is None else self._provider.missing
        return missing or (None if self._tokens.has_keys else NO_KEYS)

    async def _server_problem(self) -> str | None:
        return "draining" if self._gateway.engine.is_draining else None

    def _bus_counts(self) -> Mapping[Key, int]:
        bus = self._bus
        return {"published": bus.published, "received": bus.received, "dropped": bus.dropped}

    def _measure(self) -> None:
        """Have everybody's numbers in the metrics."""
        metrics, engine = self._metrics, self._gateway.engine
        metrics.connections.read = self._sessions.counts
        metrics.refused.elsewhere = lambda: {Unavailable.code: engine.turned_away}
        metrics.skipped.elsewhere = lambda: {(): engine.skipped}
        metrics.track_waiting.read = lambda: self._archiver.waiting_points
        metrics.track_lag.read = lambda: self._archiver.waiting_seconds
        metrics.bus_alive.read = lambda: {(): self._bus.alive}
        metrics.bus_messages.elsewhere = self._bus_counts
        self._bus.on_round_trip = metrics.bus_round_trip.observe
        engine.outbox.on_sent = metrics.relay.sent

    def _obstacle(self) -> str | None:
        if not self._tokens.has_keys:
            return NO_KEYS
        return None if self._revocations.in_touch else "no store tells which tokens were revoked"

    def _catch_up(self) -> None:
        self._revocations.missed()
        self._following.catch_up()

    async def _settle(self) -> None:
        self._metrics.relay.settle(is_leaving=self._gateway.engine.outbox.is_waiting)

    def _receive(self, channel: str, message: bytes) -> None:
        self._hub.receive(channel, message)

    async def _check_watched(self) -> None:
        self._following.check_watched()

    async def _forget_etas(self) -> None:
        self._etas.forget()

    def _plan_of(self, trip_id: Id) -> Plan | None:
        """What the driver of a trip has before it; the driver is connected here."""
        feed = self._following.feeds.get(rooms.trip(trip_id))
        return feed.plan if isinstance(feed, TripFeed) else None

    async def _forget_unseen(self) -> None:
        await self._drivers.nearby.forget_unseen(now(), self._presence.stale_ms)


def _later(in_ms: Millis, call: Callable[[], None]) -> None:
    """See `handlers.ports.Later`."""
    asyncio.get_running_loop().call_later(in_ms / 1_000, call)


def _allowance(settings: Settings) -> Allowance:
    """Whoever looks through a link may ask for something once a second, if all of them do."""
    link_per_s = max(settings.commands_per_s, settings.viewers_per_link)
    return Allowance(Rate.of(settings.commands_per_s), Rate.of(link_per_s))


def _origins(allowed: tuple[str, ...]) -> str | list[str] | None:
    """As python-engineio takes them; None is the server's own origin."""
    if not allowed:
        return None
    return "*" if "*" in allowed else list(allowed)


async def _regularly(every_s: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do it again and again; a failure costs one round and a longer pause."""
    away = False
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
            away = False
        except Unavailable as error:
            if not away:
                _log.warning("waiting for MongoDB: %s", error)
            away = True
            await asyncio.sleep(FAILED_PAUSE_S)
        except Exception:  # noqa: BLE001 - logged; the next round may do better
            _log.exception("regular work failed")
            await asyncio.sleep(FAILED_PAUSE_S)
