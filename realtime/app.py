"""One server process, wired: the only place that knows all the parts."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Self

from aiohttp import web

from handlers.chat import ChatHandler
from handlers.locations import LocationHandler
from handlers.sessions import SessionHandler
from handlers.snapshots import Snapshots
from handlers.trips import TripHandler
from models import mongo
from models.errors import Unavailable
from models.fields import Millis
from models.presence import PresenceLimits
from realtime import dispatch
from realtime.bus import Bus
from realtime.drivers import RedisDrivers
from realtime.following import FollowingService
from realtime.gateway import Gateway
from realtime.hub import Hub
from realtime.metrics import Metrics
from realtime.redis_address import RedisAddress
from realtime.rides import Rides
from realtime.sessions import Sessions
from realtime.settings import Settings
from realtime.tasks import Tasks
from realtime.tokens import Tokens
from realtime.web import Routes

_log = logging.getLogger(__name__)

SWEEP_OFFERS_S: Final = 0.5
CHECK_WATCHED_S: Final = 1.0
FAILED_PAUSE_S: Final = 2.0
FINISH_S: Final = 5.0
"""How long commands that are under way may take when the server stops."""


def now() -> Millis:
    """The server's clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


class Instance:
    """A server without its listening socket: `app` is what is to be served."""

    def __init__(self, settings: Settings, redis_url: str, mongodb_url: str) -> None:
        address = RedisAddress.parse(redis_url)
        self._tasks = Tasks()
        self._commands = Tasks()
        self._mongo = mongo.connect(mongodb_url)
        self._redis = address.client()
        self._metrics = Metrics()
        self._bus = Bus(address, self._receive)
        self._metrics.watch_bus(self._bus_counts)
        self._drivers = RedisDrivers(self._redis)
        self._wire(settings)
        self.app = web.Application()
        self._gateway.attach(self.app)
        self._routes().add_to(self.app)

    @classmethod
    async def start(cls, settings: Settings, redis_url: str, mongodb_url: str) -> Self:
        """Connect and migrate. Raises SchemaError, and Unavailable when MongoDB is away."""
        instance = cls(settings, redis_url, mongodb_url)
        await instance._mongo.migrate()
        await instance._bus.start()
        instance._bus.on_return = instance._following.catch_up
        instance._tasks.start(instance._drivers.run())
        instance._tasks.start(_regularly(SWEEP_OFFERS_S, instance._trips.expire_offers))
        instance._tasks.start(_regularly(CHECK_WATCHED_S, instance._check_watched))
        return instance

    async def stop(self) -> None:
        """Send the clients away, finish what is under way, let go of the stores."""
        self._gateway.engine.is_draining = True
        self._rides.drain()
        await self._commands.stop(finish_s=FINISH_S)
        await self._gateway.engine.stop()
        await self._tasks.stop()
        await self._drivers.flush()
        await self._bus.close()
        await self._redis.aclose()
        await self._mongo.close()

    def _wire(self, settings: Settings) -> None:
        kept = self._mongo.stores
        presence = PresenceLimits(settings.driver_stale_ms, settings.driver_offline_ms)
        following = FollowingService(
            channels=self._bus,
            kept=kept,
            sessions=SessionHandler(kept, self._drivers, now),
            snapshots=Snapshots(kept, self._drivers, presence, now),
            drivers=self._drivers,
            presence=presence,
            clock=now,
            tasks=self._tasks,
        )
        self._following = following
        self._hub = Hub(self._bus, following, now, self._metrics)
        publish = self._hub.publish
        self._trips = TripHandler(kept, publish, now, settings.chat_after_trip_ms)
        sessions = Sessions(
            tokens=Tokens(settings.token_rules(), now),
            following=following,
            publish=publish,
            clock=now,
            metrics=self._metrics,
        )
        handlers = dispatch.Handlers(
            sessions=sessions,
            following=following,
            drivers=self._drivers,
            locations=LocationHandler(self._drivers, self._hub.show, now),
            trips=self._trips,
            chat=ChatHandler(kept, publish, now),
            metrics=self._metrics,
        )
        self._rides = Rides(
            sessions=sessions,
            commands=dispatch.commands(handlers),
            locate=dispatch.locate(handlers),
            tasks=self._commands,
            metrics=self._metrics,
        )
        self._gateway = Gateway(
            cors_allowed_origins=_origins(settings.allowed_origins),
            transports=["polling", "websocket"] if settings.workers == 1 else ["websocket"],
        )
        self._gateway.add(self._rides)

    def _routes(self) -> Routes:
        checks = {
            "mongodb": self._mongodb_problem,
            "redis": self._redis_problem,
            "server": self._server_problem,
        }
        return Routes(checks, self._exposition)

    async def _mongodb_problem(self) -> str | None:
        try:
            await self._mongo.ping()
        except Unavailable as error:
            return error.message
        return None

    async def _redis_problem(self) -> str | None:
        return None if self._bus.alive else self._bus.problem

    async def _server_problem(self) -> str | None:
        return "draining" if self._gateway.engine.is_draining else None

    def _bus_counts(self) -> dict[str, int]:
        bus = self._bus
        return {"published": bus.published, "received": bus.received, "dropped": bus.dropped}

    def _exposition(self) -> bytes:
        self._metrics.bus_alive.set(self._bus.alive)
        return self._metrics.exposition()

    def _receive(self, channel: str, message: bytes) -> None:
        self._hub.receive(channel, message)

    async def _check_watched(self) -> None:
        self._following.check_watched()


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
