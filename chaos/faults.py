"""What is done to a cluster: each fault begins, lasts a while, and is mended."""

import asyncio
import signal
from abc import ABC, abstractmethod
from random import Random
from typing import ClassVar, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.cluster import THE_WAY, Cluster, instance_place
from chaos.processes import Instance, Store

RESTART_WITHIN_S: Final = 60
"""How long an instance may take to end in order."""
PING_TIMEOUT_S: Final = 20.0
"""How long a server waits for a client's sign of life."""
PUSHED: Final = 300_000
"""Bytes that a Redis with a small limit cannot hold for a subscriber."""
SMALL_LIMIT: Final = "pubsub 16384 16384 1"
USUAL_LIMIT: Final = "pubsub 33554432 8388608 60"


class Fault(ABC):
    """One kind of fault, at a place in a cluster. `lasts` are seconds, from and to."""

    name: ClassVar[str]
    lasts: ClassVar[tuple[float, float]] = (0.3, 4.0)

    def __init__(self, place: int) -> None:
        """`place` is the number of the instance that it happens to, where it happens to one."""
        self.place = place

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """What no other fault may be done to meanwhile."""

    @property
    def silences(self) -> frozenset[str]:
        """Where no answer can come from meanwhile, and no end of a connection either."""
        return frozenset()

    @property
    def forgets(self) -> frozenset[str]:
        """What loses what it has in memory only."""
        return frozenset()

    def duration_s(self, rng: Random) -> float:
        return rng.uniform(*self.lasts)

    @abstractmethod
    async def begin(self, cluster: Cluster) -> None: ...

    @abstractmethod
    async def mend(self, cluster: Cluster) -> None:
        """Return when what was done is undone."""


class _OfAnInstance(Fault):
    @property
    def needs(self) -> frozenset[str]:
        return frozenset({instance_place(self.place)})

    def instance(self, cluster: Cluster) -> Instance:
        return cluster.instances[self.place]


class KillInstance(_OfAnInstance):
    name = "kill -9 of an instance"
    lasts = (0.0, 3.0)

    @property
    def forgets(self) -> frozenset[str]:
        return self.needs

    async def begin(self, cluster: Cluster) -> None:
        await self.instance(cluster).kill()

    async def mend(self, cluster: Cluster) -> None:
        await cluster.restart(self.instance(cluster))


class FreezeInstance(_OfAnInstance):
    name = "freeze of an instance"
    lasts = (0.5, 8.0)

    @property
    def silences(self) -> frozenset[str]:
        return self.needs

    def duration_s(self, rng: Random) -> float:
        """One in eight outlasts the pings."""
        return PING_TIMEOUT_S + 3 if rng.random() < 1 / 8 else rng.uniform(*self.lasts)

    async def begin(self, cluster: Cluster) -> None:
        self.instance(cluster).freeze()

    async def mend(self, cluster: Cluster) -> None:
        self.instance(cluster).thaw()


class RollingRestart(Fault):
    """Each instance is asked to end, has to end in order, and is started again."""

    name = "rolling restart"
    lasts = (0.0, 0.5)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(map(instance_place, range(2)))

    async def begin(self, cluster: Cluster) -> None:
        for instance in cluster.instances:
            await self._restart(cluster, instance)

    async def mend(self, _cluster: Cluster) -> None: ...

    async def _restart(self, cluster: Cluster, instance: Instance) -> None:
        instance.send(signal.SIGTERM)
        try:
            status = await asyncio.wait_for(instance.ended(), RESTART_WITHIN_S)
            if status != 0:
                cluster.failures.append(str(instance.failure(f"ended with status {status}")))
        except TimeoutError:
            cluster.failures.append(str(instance.failure(f"did not end in {RESTART_WITHIN_S} s")))
            await instance.kill()
        await cluster.restart(instance)


class _OfRedis(Fault):
    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"redis"})


class _RedisAway(_OfRedis):
    @property
    def silences(self) -> frozenset[str]:
        return self.needs

    def store(self, cluster: Cluster) -> Store:
        return cluster.redis


class _OfMongoDB(Fault):
    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"mongodb"})

    def store(self, cluster: Cluster) -> Store:
        return cluster.mongodb


class _Kill(Fault):
    @abstractmethod
    def store(self, cluster: Cluster) -> Store: ...

    lasts = (0.0, 3.0)

    async def begin(self, cluster: Cluster) -> None:
        await self.store(cluster).kill()

    async def mend(self, cluster: Cluster) -> None:
        await cluster.restart(self.store(cluster))


class _Freeze(Fault):
    @abstractmethod
    def store(self, cluster: Cluster) -> Store: ...

    lasts = (0.3, 7.0)

    async def begin(self, cluster: Cluster) -> None:
        self.store(cluster).freeze()

    async def mend(self, cluster: Cluster) -> None:
        self.store(cluster).thaw()


class KillRedis(_RedisAway, _Kill):
    name = "kill -9 of Redis"


class FreezeRedis(_RedisAway, _Freeze):
    name = "freeze of Redis"


class KillMongoDB(_OfMongoDB, _Kill):
    name = "kill -9 of MongoDB"


class FreezeMongoDB(_OfMongoDB, _Freeze):
    name = "freeze of MongoDB"


class MongoDBAway(_OfMongoDB):
    """Killed or frozen for longer than any time limit of drivers, sessions and apps."""

    name = "MongoDB away for 21 s or more"
    lasts = (21.0, 26.0)

    async def begin(self, cluster: Cluster) -> None:
        if self.place:
            cluster.mongodb.freeze()
        else:
            await cluster.mongodb.kill()

    async def mend(self, cluster: Cluster) -> None:
        if self.place:
            cluster.mongodb.thaw()
        else:
            await cluster.restart(cluster.mongodb)


class KillSubscriptions(_OfRedis):
    """CLIENT KILL TYPE pubsub, several times."""

    name = "CLIENT KILL of pub/sub"
    lasts = (0.1, 2.0)

    async def begin(self, cluster: Cluster) -> None:
        for _ in range(3):
            await _redis(cluster, ["CLIENT", "KILL", "TYPE", "pubsub"])
            await asyncio.sleep(0.2)

    async def mend(self, cluster: Cluster) -> None:
        await _redis(cluster, ["CLIENT", "KILL", "TYPE", "pubsub"])


class OverflowSubscriptions(_OfRedis):
    """Redis may hold little for a subscriber, and has to push more than that at once."""

    name = "output buffer overflow of pub/sub"
    lasts = (0.5, 3.0)

    async def begin(self, cluster: Cluster) -> None:
        await _redis(cluster, ["CONFIG", "SET", "client-output-buffer-limit", SMALL_LIMIT])
        await self._push(cluster)

    async def mend(self, cluster: Cluster) -> None:
        await self._push(cluster)
        await _redis(cluster, ["CONFIG", "SET", "client-output-buffer-limit", USUAL_LIMIT])

    async def _push(self, cluster: Cluster) -> None:
        """To the instances' own channels, whose messages mean nothing but that they came."""
        channels = await _redis(cluster, ["PUBSUB", "CHANNELS", "probe:*"])
        for channel in channels if isinstance(channels, list) else ():
            await _redis(cluster, ["PUBLISH", channel, b"x" * PUSHED])


class FlushAll(_OfRedis):
    name = "FLUSHALL"
    lasts = (0.0, 0.5)

    @property
    def forgets(self) -> frozenset[str]:
        return self.needs

    async def begin(self, cluster: Cluster) -> None:
        await _redis(cluster, ["FLUSHALL"])

    async def mend(self, _cluster: Cluster) -> None: ...


class _OnTheWay(Fault):
    """Something that happens to clients with bad connections."""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({THE_WAY})

    @property
    def silences(self) -> frozenset[str]:
        return self.needs


class HalfOpenClients(_OnTheWay):
    """Nothing comes from the server any more, and in the end the connections are gone."""

    name = "half-open clients"
    lasts = (0.5, 6.0)

    async def begin(self, cluster: Cluster) -> None:
        for number, proxy in enumerate(cluster.proxies):
            proxy.stall(both_ways=number == self.place)

    async def mend(self, cluster: Cluster) -> None:
        for proxy in cluster.proxies:
            proxy.cut()


class SlowClients(_OnTheWay):
    """They do not read for a while, and then go on."""

    name = "slow clients"
    lasts = (1.0, 6.0)

    async def begin(self, cluster: Cluster) -> None:
        for proxy in cluster.proxies:
            proxy.stall()

    async def mend(self, cluster: Cluster) -> None:
        for proxy in cluster.proxies:
            proxy.flow()


KINDS: Final[dict[str, type[Fault]]] = {
    "kill-instance": KillInstance,
    "freeze-instance": FreezeInstance,
    "rolling-restart": RollingRestart,
    "kill-redis": KillRedis,
    "freeze-redis": FreezeRedis,
    "kill-pubsub": KillSubscriptions,
    "overflow-pubsub": OverflowSubscriptions,
    "flushall": FlushAll,
    "kill-mongodb": KillMongoDB,
    "freeze-mongodb": FreezeMongoDB,
    "mongodb-away": MongoDBAway,
    "half-open-clients": HalfOpenClients,
    "slow-clients": SlowClients,
}
"""By the names that the command line takes."""
BRIEF: Final = tuple(kind for kind in KINDS if kind != "mongodb-away")
"""Those that mean something when they last two seconds."""


async def _redis(cluster: Cluster, words: list[str | bytes]) -> object:
    """Give Redis a command; None where it does not answer, as when it is just being started."""
    async with Redis.from_url(cluster.redis.url, socket_timeout=5) as client:
        try:
            answer: object = await client.execute_command(*words)  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            return None
        return answer
