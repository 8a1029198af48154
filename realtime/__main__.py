"""The command line: serve, token, simulate, migrate."""

import argparse
import asyncio
import re
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from models import mongo
from models.errors import Unavailable
from models.identity import Role
from models.mongo import SchemaError
from realtime import __version__, banner, logs, serving, settings, workers
from realtime.app import now
from realtime.embedded import EmbeddedError, EmbeddedStores
from realtime.redis_address import RedisAddress
from realtime.serving import CannotServe, Site
from realtime.settings import Settings, SettingsError
from realtime.simulation import command as simulation
from realtime.simulation.command import CannotSimulate
from realtime.tokens import NoSigningKey, Tokens

FAILED: Final = 1
MAX_TTL_S: Final = 10 * 366 * 86_400
_TTL: Final = re.compile(r"([1-9][0-9]{0,9})([smhd]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Failure(Exception):
    """The command cannot do what it was asked. The message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process' exit status: 0, 1 for a failure, 2 for misuse."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options, settings.load())
    except (SettingsError, Failure, CannotServe, CannotSimulate, EmbeddedError) as error:
        print(f"ridewire: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return int(status or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ridewire",
        description="A real-time server for rides. Its settings are environment variables.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="run the server")
    serve.set_defaults(run=_serve)

    token = commands.add_parser("token", help="mint a token, signed with the first JWT_SECRET")
    token.add_argument("--role", required=True, choices=[role.value for role in Role])
    token.add_argument("--sub", required=True, metavar="ID", help="the user's id")
    token.add_argument("--ttl", type=_duration, default="1h", help="30s, 10m, 1h, 7d (1h)")
    token.add_argument("--trips", type=_ids, default=(), metavar="ID,…", help="a viewer's trips")
    token.set_defaults(run=_token)

    simulate = commands.add_parser("simulate", help="drive rides through real clients, and count")
    simulation.add_arguments(simulate)
    simulate.set_defaults(run=simulation.run)

    migrate = commands.add_parser("migrate", help="bring the database up to this version's schema")
    migrate.set_defaults(run=_migrate)
    return parser


def _serve(_options: argparse.Namespace, chosen: Settings) -> None:
    logs.configure(chosen.log_level, chosen.log_format)
    _check_addresses(chosen)
    with ExitStack() as stack:
        listening = _listen(chosen)
        stack.callback(listening.close)
        redis_url, mongodb_url = _stores(chosen, stack)
        site = Site(chosen, redis_url, mongodb_url, listening)
        tokens = _tokens(chosen)

        def ready() -> None:
            print(banner.text(site, can_mint=tokens.can_mint), flush=True)  # noqa: T201

        if chosen.workers == 1:
            serving.run(site, ready, signals=serving.STOPPING)
        else:
            workers.run(workers.sites(site, chosen.workers), ready)


def _token(options: argparse.Namespace, chosen: Settings) -> None:
    if options.trips and options.role != Role.VIEWER:
        raise Failure("--trips is for --role viewer: what others may see is what they are part of")
    if chosen.generated_secret is not None:
        where = f"signed with the secret in {chosen.generated_secret}, for a server that uses it"
        print(where, file=sys.stderr)  # noqa: T201
    try:
        token = _tokens(chosen).mint(
            Role(options.role), options.sub, ttl_s=options.ttl, trips=options.trips
        )
    except (NoSigningKey, ValueError) as error:
        raise Failure(str(error)) from error
    print(token)  # noqa: T201


def _migrate(_options: argparse.Namespace, chosen: Settings) -> None:
    logs.configure(chosen.log_level, chosen.log_format)
    _check_addresses(chosen)
    with ExitStack() as stack:
        url = chosen.mongodb_url or _embedded(chosen, stack, redis=False, mongodb=True).mongodb_url
        asyncio.run(_migrated(str(url)))
    print("the database has this version's schema")  # noqa: T201


async def _migrated(url: str) -> None:
    stores = mongo.connect(url)
    try:
        await stores.migrate()
    except Unavailable as error:
        raise Failure(f"MongoDB does not answer ({error}): check MONGODB_URL") from error
    except SchemaError as error:
        raise Failure(str(error)) from error
    finally:
        await stores.close()


def _check_addresses(chosen: Settings) -> None:
    """Read the stores' addresses as those will who use them, before anything is started."""
    try:
        if chosen.redis_url is not None:
            RedisAddress.parse(chosen.redis_url)
        if chosen.mongodb_url is not None:
            mongo.connect(chosen.mongodb_url)
    except ValueError as error:
        name = "" if "REDIS_URL" in str(error) else "MONGODB_URL: "
        raise Failure(f"{name}{error}") from error


def _listen(chosen: Settings) -> socket.socket:
    listening = serving.listen(chosen.host, chosen.port)
    if chosen.workers == 1:
        return listening
    port = listening.getsockname()[1]  # free, as was just seen: a shared bind would not tell
    listening.close()
    return serving.listen(chosen.host, port, shared=True)


def _stores(chosen: Settings, stack: ExitStack) -> tuple[str, str]:
    """The stores' addresses; those that are not set are started here."""
    redis_url, mongodb_url = chosen.redis_url, chosen.mongodb_url
    if redis_url is None or mongodb_url is None:
        started = _embedded(chosen, stack, redis=redis_url is None, mongodb=mongodb_url is None)
        return str(redis_url or started.redis_url), str(mongodb_url or started.mongodb_url)
    return redis_url, mongodb_url


def _embedded(chosen: Settings, stack: ExitStack, *, redis: bool, mongodb: bool) -> EmbeddedStores:
    return stack.enter_context(EmbeddedStores.start(chosen.data_dir, redis=redis, mongodb=mongodb))


def _tokens(chosen: Settings) -> Tokens:
    return Tokens(chosen.token_rules(), now)


def _duration(text: str) -> int:
    """A time such as 90s, 10m, 1h or 7d, in seconds."""
    found = _TTL.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 30s, 10m, 1h or 7d is expected")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if seconds > MAX_TTL_S:
        raise argparse.ArgumentTypeError(f"{text!r} is too long: ten years are the most")
    return seconds


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


if __name__ == "__main__":
    sys.exit(main())
