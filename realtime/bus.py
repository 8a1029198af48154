"""Carries bytes between instances over Redis pub/sub: at most once, in order, never waiting."""

import asyncio
import logging
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Final

from realtime.redis_address import RedisAddress
from realtime.redis_link import Connection, Link, command
from realtime.subscriptions import Subscriptions

log = logging.getLogger(__name__)

_ORIGIN_SIZE: Final = 8
_EVERYONE: Final = bytes(_ORIGIN_SIZE)
"""Stands for the origin where the origin itself is to receive the message too."""
_STAMP: Final = struct.Struct("!d")
"""When a probe was published, by this process' clock."""

# Seconds.
_LOG_EVERY: Final = 60.0


class Bus:
    """Publishes to channels, and hands `receive` what other instances publish to wanted ones.

    At most once: what is published while Redis is away or cannot keep up is dropped and counted,
    and what others publish while this instance is away never comes. What one instance publishes
    to one channel arrives in that order. `receive(channel, message)` is called in the event loop,
    must be short, and may raise: that is logged, and costs this message only.

    One bus talks to one Redis, over two connections, and no channel knows of another: where
    channels are spread over the shards of a cluster, each shard has a bus, found by the channel.
    """

    def __init__(
        self,
        address: RedisAddress,
        receive: Callable[[str, bytes], None],
        *,
        start_within: float = 2.0,
        linger: float = 10.0,
        confirm_within: float = 2.0,
        probe_every: float = 2.0,
        deaf_after: float = 10.0,
        high_water: int = 8 * 1024 * 1024,
    ) -> None:
        """Prepare; nothing is connected before `start`. Times are in seconds.

        `start_within` is how long `start` waits for Redis, `linger` how long an unwanted channel
        stays subscribed, `confirm_within` how long `subscribe` waits, `deaf_after` how long no
        probe may come back before both connections are opened anew, and `high_water` how many
        bytes may wait for Redis before messages are dropped.
        """
        self.on_return: Callable[[], None] | None = None
        """Called when messages pass again on every wanted channel after some may have been missed,
        which is the moment to catch up."""
        self.on_heard: Callable[[], None] | None = None
        """Called every `probe_every`, when a message to itself has come back through Redis. What
        others published before it, on a channel wanted all the while, has been handed over."""
        self.on_round_trip: Callable[[float], None] | None = None
        """Called with what a probe took to come back, s."""
        self.published = 0
        """Messages written to Redis."""
        self.received = 0
        """Messages of other instances, and echoes through Redis, that were handed over."""
        self.dropped = 0
        """Messages that no other instance gets, because Redis was away or too slow."""
        self._receive = receive
        self._start_within = start_within
        self._origin = os.urandom(_ORIGIN_SIZE)
        self._probe_channel = b"probe:" + self._origin.hex().encode()
        self._probe_every = probe_every
        self._deaf_after = deaf_after
        self._probe_returned = asyncio.Event()
        self._deaf_at = 0.0
        self._refusal: str | None = None
        self._refusal_until = 0.0
        self._complain_from = 0.0
        self._subscriptions = Subscriptions(linger, confirm_within)
        name = f"ridewire-{self._origin.hex()}"
        self._publisher = Link(
            address, f"{name}-pub", high_water, self._on_publisher_up, self._on_down
        )
        self._subscriber = Link(
            address, f"{name}-sub", high_water, self._on_subscriber_up, self._on_subscriber_down
        )
        self._tick_timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Return once messages pass, or while connecting goes on in the background."""
        self._publisher.start()
        self._subscriber.start()
        self._tick()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._probe_returned.wait(), self._start_within)

    async def close(self) -> None:
        """Wait for Redis, a second at most, to take what was published, then disconnect."""
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        await self._publisher.drain()
        await self._publisher.close()
        await self._subscriber.close()

    def publish(self, channel: str, message: bytes, *, echo: bool = False) -> None:
        """Send `message` to every other instance that wants `channel`.

        With `echo` this instance receives it too where it wants the channel, in the order that
        Redis gave all messages of the channel; at once, when it cannot come back through Redis.
        """
        mark = self._echo_mark(channel, message) if echo else self._origin
        connection = self._publisher.connection
        if connection is None or not connection.writable:
            self.dropped += 1
            return
        self.published += 1
        size = b"%d\r\n" % (_ORIGIN_SIZE + len(message))
        connection.send(b"".join((_head(channel), size, mark, message, b"\r\n")))

    def subscribe(self, channel: str) -> asyncio.Future[bool]:
        """Want `channel` from now on.

        The answer is True once Redis has confirmed it. It is False if Redis is away or slow; then
        the channel is subscribed as soon as possible, and `on_return` called after that.
        """
        return self._subscriptions.subscribe(channel)

    def unsubscribe(self, channel: str) -> None:
        """Receive nothing more of `channel`; Redis is told only when it lingered long enough."""
        self._subscriptions.unsubscribe(channel)

    @property
    def alive(self) -> bool:
        """Both connections stand, and a message to itself came back through Redis lately."""
        return self._connected and self._probe_returned.is_set() and _now() < self._deaf_at

    @property
    def problem(self) -> str | None:
        """Why it is not alive, or what Redis refused lately. Tells no password."""
        problem = self._publisher.problem or self._subscriber.problem
        if problem is None and _now() < self._refusal_until:
            problem = self._refusal
        if problem is None and not self.alive:
            problem = "connected to Redis, but no message comes back"
        return problem

    @property
    def _connected(self) -> bool:
        return self._publisher.connection is not None and self._subscriber.connection is not None

    def _echo_mark(self, channel: str, message: bytes) -> bytes:
        name = channel.encode()
        connection = self._publisher.connection
        can_return = connection is not None and connection.writable
        if can_return and name in self._subscriptions.confirmed:
            return _EVERYONE
        if name in self._subscriptions.wanted:
            self._hand_over(channel, message)
        return self._origin

    def _hand_over(self, channel: str, message: bytes) -> None:
        try:
            self._receive(channel, message)
        except Exception:
            if self._complain_from <= _now():
                self._complain_from = _now() + _LOG_EVERY
                log.exception("a message on %s could not be received", channel)

    def _on_pushed(self, reply: object) -> None:
        if not isinstance(reply, list):
            self._on_refused(reply)
            return
        kind, name, content = reply
        if kind == b"message":
            if content.startswith(self._origin):
                return
            channel = self._subscriptions.wanted.get(name)
            if channel is not None:
                self.received += 1
                self._hand_over(channel, content[_ORIGIN_SIZE:])
            elif name == self._probe_channel:
                self._on_probe_returned(content[_ORIGIN_SIZE:])
        elif kind == b"subscribe":
            self._on_confirmed(name)
        elif kind == b"unsubscribe":
            self._subscriptions.on_left(name)

    def _on_refused(self, reply: object) -> None:
        refusal = f"Redis refused a command: {reply}"
        if refusal != self._refusal:
            log.error("Redis refused a command: %s", reply)
        self._refusal, self._refusal_until = refusal, _now() + self._deaf_after

    def _on_confirmed(self, name: bytes) -> None:
        if name == self._probe_channel:
            self._probe()
        else:
            self._subscriptions.on_confirmed(name)

    def _on_publisher_up(self, connection: Connection) -> None:
        connection.on_reply = self._on_refused  # of PUBLISH: its numbers do not come here
        self._deaf_at = _now() + self._deaf_after
        self._probe()

    def _on_subscriber_up(self, connection: Connection) -> None:
        connection.on_reply = self._on_pushed
        self._deaf_at = _now() + self._deaf_after
        # The probe's channel comes last: when a probe returns, all the others are subscribed.
        self._subscriptions.on_up(connection, last=self._probe_channel)

    def _on_down(self) -> None:
        self._probe_returned.clear()

    def _on_subscriber_down(self) -> None:
        self._on_down()
        self._subscriptions.on_down()

    def _tick(self) -> None:
        self._tick_timer = asyncio.get_running_loop().call_later(self._probe_every, self._tick)
        if not self._connected:
            return
        if _now() < self._deaf_at:
            self._probe()
        else:
            self._publisher.reconnect("no message came back through it")
            self._subscriber.reconnect("no message came back through it")

    def _probe(self) -> None:
        connection = self._publisher.connection
        if connection is not None and connection.writable:
            stamp = _STAMP.pack(time.perf_counter())
            connection.send(command(b"PUBLISH", self._probe_channel, _EVERYONE + stamp))

    def _on_probe_returned(self, stamp: bytes) -> None:
        if self.on_round_trip is not None:
            self.on_round_trip(time.perf_counter() - _STAMP.unpack(stamp)[0])
        self._deaf_at = _now() + self._deaf_after
        self._probe_returned.set()
        if self._subscriptions.missed:
            self._subscriptions.missed = False
            self._catch_up()
        if self.on_heard is not None:
            self.on_heard()

    def _catch_up(self) -> None:
        if self.on_return is None:
            return
        try:
            self.on_return()
        except Exception:
            log.exception("catching up failed")


@lru_cache(maxsize=16_384)
def _head(channel: str) -> bytes:
    """How a command to publish there begins, up to the size of its message."""
    name = channel.encode()
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$" % (len(name), name)


def _now() -> float:
    return asyncio.get_running_loop().time()
