"""What the server counts and measures, for Prometheus.

Few and meaningful: no user is named, and no label takes a value that a client can make up.
"""

import platform
from collections.abc import Mapping
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry

from models.commands import DRIVER_LOCATION
from models.errors import RidewireError, Unauthorized
from models.facts import TripLocation
from realtime import __version__
from realtime.counting import Counts, Instrument, Key, Reading, Spread, Tally
from realtime.relaying import Relay

SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Upper bounds of the buckets of a number of things."""
METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

I = TypeVar("I", bound=Instrument)  # noqa: E741 - an instrument


class StoreMetrics:
    """What a store's operations take, and what goes wrong. See `models.observing.Observer`."""

    def __init__(self, seconds: Spread, errors: Tally, sizes: Spread) -> None:
        self._seconds = seconds
        self._errors = errors
        self._sizes = sizes

    def answered(self, operation: str, seconds: float, error: str = "") -> None:
        self._seconds.observe(seconds, operation)
        if error:
            self._errors.counts[operation, error] += 1

    def grouped(self, group: str, size: int) -> None:
        self._sizes.observe(size, group)


class Metrics:
    """All instruments of one server, in a registry of its own, as several may be in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.instruments: list[Instrument] = []
        self._add_connections()
        self._add_events()
        self._add_bus()
        self._add_stores()
        self._add_tracks()
        self._add_process()

    def _add_connections(self) -> None:
        self.connections = self._add(
            Reading(
                "ridewire_connections",
                "Open authenticated connections.",
                *("role", "transport", "parser"),
            )
        )
        self.opened = self._add(
            Tally("ridewire_opened_connections", "Connections that were accepted.")
        )
        self.refused = self._add(
            Tally(
                "ridewire_refused_connections",
                "Connections that were not accepted, by the code that the client was told.",
                "code",
            )
        )
        self.closed = self._add(
            Tally(
                "ridewire_closed_connections",
                "Connections that ended, by the code that the client was told or how it went.",
                "reason",
            )
        )
        self.bad_tokens = self._add(
            Tally(
                "ridewire_authentication_failures",
                "Tokens that were refused, over Socket.IO and HTTP, by what is wrong with them.",
                "reason",
            )
        )

        self.key_fetches = self._add(
            Tally(
                "ridewire_key_fetches",
                "Requests for an identity provider's keys, by what came of them.",
                "outcome",
            )
        )

    def _add_events(self) -> None:
        self.commands = self._add(
            Tally(
                "ridewire_commands",
                "Commands by outcome: `ok` or the error's code.",
                *("event", "outcome"),
            )
        )
        self.command_seconds = self._add(
            Spread(
                "ridewire_command_duration_seconds",
                "From a command's turn to its answer; driver:location has no turns.",
                "event",
            )
        )
        self.points = self._add(
            Tally(
                "ridewire_points",
                "Points of drivers: `accepted`, or why they were rejected; of what came too fast, "
                "whole reports.",
                "outcome",
            )
        )
        self.direct_points: Counts = Counts(int)
        """Of those, the ones that came one in an event, and right from its packet."""
        self.points.elsewhere = lambda: self.direct_points
        self.commands.elsewhere = self._direct_commands
        self.published = self._add(
            Tally(
                "ridewire_published_events",
                "Events that began in this process; those of control reach no client.",
                "event",
            )
        )
        self.sent = self._add(
            Tally("ridewire_sent_events", "Events handed to clients' transports.", "event")
        )
        self.sent.elsewhere = lambda: {TripLocation.event: self.relay.deliveries}
        self.routes = self._add(
            Tally(
                "ridewire_routes", "Routes that OSRM was asked for, by what came of it.", "outcome"
            )
        )
        self.skipped = self._add(
            Tally(
                "ridewire_skipped_events",
                "Locations, ETAs and typing that were not sent, as the client was behind. It gets "
                "the newest location when it has caught up.",
            )
        )
        self.relay = Relay(
            self._add(
                Spread(
                    "ridewire_relay_duration_seconds",
                    "From a location's receipt to its write to a client's socket.",
                    "origin",
                )
            )
        )

    def _add_bus(self) -> None:
        self.bus_alive = self._add(
            Reading("ridewire_bus_alive", "1 while messages come back through Redis, else 0.")
        )
        self.bus_round_trip = self._add(
            Spread(
                "ridewire_bus_round_trip_seconds",
                "From a probe's publication to its return through Redis.",
            )
        )
        self.bus_messages = self._add(
            Tally(
                "ridewire_bus_messages",
                "Messages between processes, by what became of them here.",
                "direction",
            )
        )

    def _add_stores(self) -> None:
        sizes = self._add(
            Spread(
                "ridewire_group_commit_size",
                "Writes of how many callers were one.",
                "group",
                bounds=SIZES,
            )
        )
        self.mongodb = StoreMetrics(
            self._add(
                Spread(
                    "ridewire_mongodb_operation_duration_seconds",
                    "From a call of the driver to its result.",
                    "operation",
                )
            ),
            self._add(
                Tally(
                    "ridewire_mongodb_errors",
                    "Operations of MongoDB that failed.",
                    *("operation", "error"),
                )
            ),
            sizes,
        )
        self.redis = StoreMetrics(
            self._add(
                Spread(
                    "ridewire_redis_command_duration_seconds",
                    "From a command to its answer; without the bus.",
                    "command",
                )
            ),
            self._add(
                Tally(
                    "ridewire_redis_errors",
                    "Commands of Redis that failed; without the bus.",
                    *("command", "error"),
                )
            ),
            sizes,
        )

    def _add_tracks(self) -> None:
        self.track_points = self._add(
            Tally(
                "ridewire_track_points",
                "Points for tracks, by what became of them here.",
                "outcome",
            )
        )
        self.track_waiting = self._add(
            Reading("ridewire_track_waiting_points", "Points in Redis that are in no track yet.")
        )
        self.track_lag = self._add(
            Reading("ridewire_track_lag_seconds", "For how long the oldest of them waits.")
        )

    def _add_process(self) -> None:
        self._http_requests = self._add(
            Tally(
                "ridewire_http_requests",
                "Answered requests; those of the Socket.IO path are none of them.",
                *("route", "method", "status"),
            )
        )
        self._http_seconds = self._add(
            Spread(
                "ridewire_http_request_duration_seconds",
                "From a request's head to its answer.",
                *("route", "method"),
            )
        )
        self.loop_lag = self._add(
            Spread("ridewire_loop_lag_seconds", "How late the event loop comes to what is due.")
        )
        build = self._add(
            Reading("ridewire_build_info", "The versions; always 1.", "version", "python")
        )
        build.read = lambda: {(__version__, platform.python_version()): 1}

    def answered_http(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note an answered request. `route` is its name in the table, or `unknown`."""
        method = method if method in METHODS else "other"
        self._http_requests.counts[route, method, str(status)] += 1
        self._http_seconds.observe(seconds, (route, method))

    def refused_token(self, error: RidewireError) -> None:
        """Note that a token was refused, if it is that what went wrong."""
        if isinstance(error, Unauthorized):
            self.bad_tokens.counts[error.reason] += 1

    def _add(self, instrument: I) -> I:
        self.registry.register(instrument)
        self.instruments.append(instrument)
        return instrument

    def _direct_commands(self) -> Mapping[Key, int]:
        return {(DRIVER_LOCATION, "ok"): sum(self.direct_points.values())}
