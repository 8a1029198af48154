"""Settings: one value, read from the environment once and checked before anything starts.

No other module reads the environment.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit

from dotenv import dotenv_values
from msgspec import Struct, structs

from models.fields import Millis
from realtime import public_keys
from realtime.proxies import Network
from realtime.tokens import (
    ALGORITHMS,
    SECRET_ALGORITHMS,
    Secret,
    TokenRules,
    load_secret,
)

MIN_SECRET_BYTES = 32
"""The shortest secret that production takes."""

VARIABLES = {
    "RIDEWIRE_ENV": "development or production",
    "HOST": "the address or host name to listen on, without a port",
    "PORT": "a port from 0 to 65535, where 0 takes any free one",
    "WORKERS": "how many processes to run, from 1 to 1024",
    "REDIS_URL": "redis://, rediss:// or redis+sentinel:// and a host, special characters of a"
    " password percent-encoded",
    "MONGODB_URL": "mongodb:// or mongodb+srv:// and a host, special characters of a password"
    " percent-encoded",
    "JWT_SECRET": f"secrets, in production of {MIN_SECRET_BYTES} bytes or more, comma-separated,"
    " the first signs;"
    " make one with: openssl rand -base64 48",
    "JWT_PUBLIC_KEY": "public keys in PEM (BEGIN PUBLIC KEY) or as a JWK Set, or the path of a file"
    " with such; make them with: openssl pkey -in KEY -pubout, or openssl x509 -in CERTIFICATE"
    " -pubkey -noout",
    "JWT_JWKS_URL": "where an identity provider publishes its keys (a JWK Set), https://, or http://"
    " in development and on this machine itself",
    "JWT_ALGORITHMS": f"those to allow of {', '.join(ALGORITHMS)}, comma-separated, at least one"
    " for each key",
    "JWT_AUDIENCE": "the audiences to accept, comma-separated",
    "JWT_ISSUER": "the only issuer to accept",
    "JWT_ROLE_CLAIM": "the name of the claim with the role, or the dotted path to it",
    "ALLOWED_ORIGINS": "origins like https://app.example, comma-separated, without a path or"
    " wildcard, or a single *",
    "LOG_LEVEL": "debug, info, warning, error or critical",
    "LOG_FORMAT": "text or json",
    "DATA_DIR": "a directory for the embedded stores and the generated secret",
    "CHAT_HOURS_AFTER_TRIP": "how many hours after its end a trip's conversation takes messages,"
    " from 0 to 8760",
    "DRIVER_STALE_S": "after how many seconds without a sign of life a driver is stale, from 1 to"
    " 3600",
    "DRIVER_OFFLINE_S": "after how many seconds without a sign of life a driver is offline, from 1"
    " to 86400 and more than DRIVER_STALE_S",
    "CONNECTS_PER_S": "how many clients a process lets in per second, from 1 to 100000; others are"
    " asked to come back a little later",
    "MAX_CONNECTIONS": "how many clients a process has at once, from 1 to 10000000; others are"
    " asked to come back a little later",
    "MAX_OPENING": "how many sessions a process opens at the same time, which is asking the"
    " stores, from 1 to 100000; other clients are asked to come back a little later",
    "AUTHENTICATE_WITHIN_S": "within how many seconds of its handshake a client has to show a"
    " token, from 1 to 300",
    "MAX_MESSAGE_BYTES": "how many bytes a message or a polling request has at most, from 131072,"
    " where 500 points fit, to 1048576",
    "PENDING_COMMANDS": "how many commands of a connection may wait for their turn, from 1 to"
    " 10000",
    "CONNECTIONS_PER_USER": "how many connections a user has in one role, from 1 to 100000, in each"
    " process; agents and services have any number",
    "VIEWERS_PER_LINK": "how many connections look through the share links of one trip, or with"
    " other viewers' tokens of one user, from 1 to 1000000, in each process",
    "CONNECTIONS_PER_ADDRESS": "how many clients of one address a process has at once, from 1 to"
    " 10000000; a mobile carrier's customers share few addresses",
    "ATTEMPTS_PER_ADDRESS_PER_S": "how many clients of one address may try to come in per second,"
    " from 1 to 100000, and ten times as many at once",
    "REQUESTS_PER_ADDRESS_PER_S": "how many HTTP requests of one address are looked at per second,"
    " from 1 to 100000, and ten times as many at once; those of agents and services do not count",
    "FORWARDED_ALLOW_IPS": "addresses and networks of the proxies whose X-Forwarded-For is"
    " believed, comma-separated, or * for the one proxy without which nobody can reach the port",
    "COMMANDS_PER_S": "how many commands and HTTP requests a user may send per second, from 1 to"
    " 100000, and ten times as many at once, over all processes; agents and services any number",
    "REPORTS_PER_S": "how many driver:location a connection may send per second, from 1 to 1000000,"
    " and ten times as many at once; those beyond are not read",
    "SUBSCRIPTIONS_PER_CONNECTION": "how many trips a connection may subscribe to at once, from 1"
    " to 1000000",
    "MAX_ACCURACY_M": "up to which accuracy radius in metres a driver's point is taken, from 1 to"
    " 10000",
    "MAX_SPEED_MPS": "how many metres per second a driver's vehicle can make, from 1 to 1000",
    "LOCATIONS_PER_S": "how many locations per second a trip is shown at most, from 1 to 1000,"
    " where 1000 shows all",
    "OSRM_URL": "http:// or https:// and the host of an OSRM server, which is asked for routes",
    "ARRIVAL_RADIUS_M": "how many metres from the pickup a driver may be who says that it has"
    " arrived, from 0 to 100000, where 0 takes its word for it",
    "TRACK_DAYS": "how many days the points of a track are kept, from 1 to 3650",
    "TRACK_BUFFER_POINTS": "how many points for tracks may wait in Redis while MongoDB is away, at"
    " some 100 bytes each, from 1000 to 999999999",
    "DRAIN_S": "within how many seconds a server that stops sends its clients away, from 0 to 3600",
}
"""Every variable that is read, and what it is expected to be."""

LogLevel = Literal["debug", "info", "warning", "error", "critical"]
LogFormat = Literal["text", "json"]
T = TypeVar("T")


class SettingsError(Exception):
    """The settings are wrong. `problems` tells, by variable, what it is and what was expected."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        lines = (f"\n  {name} {problem}" for name, problem in problems.items())
        super().__init__(f"the settings are wrong:{''.join(lines)}")


_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[\w.%-]+)(?::[0-9]{1,5})?"
_URL = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<user>[^@/?#\s]*@)?"
    rf"(?P<place>{_HOST}(?:,{_HOST})*(?:/[^@?#\s]*)?)(?:\?[^@#\s]*)?"
)


# Without a user, so that it may have an @ in its path.
_KEY_SET_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<user>)(?P<place>{_HOST}(?:/[^?#\s]*)?)(?:\?[^#\s]*)?"
)


class Url(str):
    """The address of a store or service. Its repr tells neither user, password nor options."""

    __slots__ = ()
    form: ClassVar[re.Pattern[str]] = _URL

    @property
    def redacted(self) -> str:
        found = self.form.fullmatch(self)
        if found is None:
            scheme, separator, _ = self.partition("://")
            return f"{scheme}{separator}***" if re.fullmatch(r"[a-z+]{1,20}", scheme) else "***"
        return f"{found['scheme']}://{'***@' if found['user'] else ''}{found['place']}"

    def __repr__(self) -> str:
        return repr(self.redacted)


class KeySetUrl(Url):
    """The address of a key set. Its repr does not tell the query."""

    __slots__ = ()
    form = _KEY_SET_URL


class Settings(Struct, frozen=True, kw_only=True):
    """How this server was asked to run. Its repr shows no secrets."""

    production: bool
    host: str
    port: int
    """0 takes any free one."""
    workers: int
    redis_url: Url | None
    """None, in development only: an embedded store."""
    mongodb_url: Url | None
    """None, in development only: an embedded store."""
    jwt: TokenRules
    """What the variables say; `token_rules()` has the generated secret too."""
    allowed_origins: tuple[str, ...]
    """Empty: only pages of the server's own origin. `("*",)`: pages of all origins."""
    log_level: LogLevel
    log_format: LogFormat
    data_dir: Path
    chat_after_trip_ms: Millis
    driver_stale_ms: Millis
    driver_offline_ms: Millis
    connects_per_s: int
    max_connections: int
    max_opening: int
    authenticate_within_s: int
    max_message_bytes: int
    pending_commands: int
    connections_per_user: int
    viewers_per_link: int
    connections_per_address: int
    attempts_per_address_per_s: int
    requests_per_address_per_s: int
    forwarded_allow_ips: tuple[Network, ...]
    commands_per_s: int
    reports_per_s: int
    subscriptions_per_connection: int
    max_accuracy_m: int
    max_speed_mps: int
    locations_per_s: int
    osrm_url: Url | None
    """None: arrivals are worked out along straight lines."""
    arrival_radius_m: int
    """0: anywhere."""
    track_days: int
    track_buffer_points: int
    drain_s: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], cwd: Path | None = None) -> Self:
        """Read and check all variables; relative paths start at `cwd`.

        `SettingsError` tells everything that is wrong at once. Blank variables count as not set.
        """
        here = (cwd or Path()).absolute()
        read = _Reader(environ)
        production = read.one("RIDEWIRE_ENV", _choice(("development", "production")), "development")
        is_production = production == "production"
        settings = cls(
            production=is_production,
            host=read.one("HOST", _host, "0.0.0.0" if is_production else "127.0.0.1"),  # noqa: S104
            port=read.one("PORT", _whole(0, 65535), 8080),
            workers=read.one("WORKERS", _whole(1, 1024), 1),
            redis_url=read.one("REDIS_URL", _url("redis", "rediss", "redis+sentinel"), None),
            mongodb_url=read.one("MONGODB_URL", _url("mongodb", "mongodb+srv"), None),
            jwt=_token_rules(read, here),
            allowed_origins=read.one("ALLOWED_ORIGINS", _origins, ()),
            log_level=read.one("LOG_LEVEL", _choice(get_args(LogLevel)), "info"),
            log_format=read.one("LOG_FORMAT", _choice(get_args(LogFormat)), "text"),
            data_dir=read.one("DATA_DIR", partial(_directory, here=here), here / "data"),
            chat_after_trip_ms=3_600_000 * read.one("CHAT_HOURS_AFTER_TRIP", _whole(0, 8760), 24),
            driver_stale_ms=1000 * read.one("DRIVER_STALE_S", _whole(1, 3600), 10),
            driver_offline_ms=1000 * read.one("DRIVER_OFFLINE_S", _whole(1, 86400), 60),
            connects_per_s=read.one("CONNECTS_PER_S", _whole(1, 100_000), 500),
            max_connections=read.one("MAX_CONNECTIONS", _whole(1, 10_000_000), 25_000),
            max_opening=read.one("MAX_OPENING", _whole(1, 100_000), 1_000),
            authenticate_within_s=read.one("AUTHENTICATE_WITHIN_S", _whole(1, 300), 10),
            max_message_bytes=read.one("MAX_MESSAGE_BYTES", _whole(131_072, 1_048_576), 262_144),
            pending_commands=read.one("PENDING_COMMANDS", _whole(1, 10_000), 200),
            connections_per_user=read.one("CONNECTIONS_PER_USER", _whole(1, 100_000), 20),
            viewers_per_link=read.one("VIEWERS_PER_LINK", _whole(1, 1_000_000), 1_000),
            connections_per_address=read.one(
                "CONNECTIONS_PER_ADDRESS", _whole(1, 10_000_000), 5_000
            ),
            attempts_per_address_per_s=read.one(
                "ATTEMPTS_PER_ADDRESS_PER_S", _whole(1, 100_000), 100
            ),
            requests_per_address_per_s=read.one(
                "REQUESTS_PER_ADDRESS_PER_S", _whole(1, 100_000), 500
            ),
            forwarded_allow_ips=read.one("FORWARDED_ALLOW_IPS", _networks, _LOOPBACK),
            commands_per_s=read.one("COMMANDS_PER_S", _whole(1, 100_000), 20),
            reports_per_s=read.one("REPORTS_PER_S", _whole(1, 1_000_000), 100),
            subscriptions_per_connection=read.one(
                "SUBSCRIPTIONS_PER_CONNECTION", _whole(1, 1_000_000), 1_000
            ),
            max_accuracy_m=read.one("MAX_ACCURACY_M", _whole(1, 10_000), 200),
            max_speed_mps=read.one("MAX_SPEED_MPS", _whole(1, 1_000), 70),
            locations_per_s=read.one("LOCATIONS_PER_S", _whole(1, 1_000), 5),
            osrm_url=read.one("OSRM_URL", _url("http", "https"), None),
            arrival_radius_m=read.one("ARRIVAL_RADIUS_M", _whole(0, 100_000), 250),
            track_days=read.one("TRACK_DAYS", _whole(1, 3650), 90),
            track_buffer_points=read.one(
                "TRACK_BUFFER_POINTS", _whole(1_000, 999_999_999), 5_000_000
            ),
            drain_s=read.one("DRAIN_S", _whole(0, 3600), 25),
        )
        read.check(_contradictions(settings))
        return settings

    @property
    def generated_secret(self) -> Path | None:
        """The file of the secret that stands in, in development, where no key is set."""
        if self.production or self.jwt.has_keys:
            return None
        return self.data_dir / "jwt-secret"

    def token_rules(self) -> TokenRules:
        """Return which tokens to take. Makes the generated secret if it is needed and not there.

        `SettingsError` when it cannot be made or read.
        """
        path = self.generated_secret
        if path is None:
            return self.jwt
        return structs.replace(self.jwt, secrets=(_kept_secret(path),))


def load(environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> Settings:
    """Read the settings, in development from a `.env` file in `cwd` as well.

    The environment wins over the file. `SettingsError` tells everything that is wrong.
    """
    here = cwd or Path()
    if _is_production(environ):
        return Settings.from_environment(environ, here)
    both = {**_dotenv(here / ".env"), **environ}
    if _is_production(both):
        problem = "is production in .env, which only development reads: set it in the environment"
        raise SettingsError({"RIDEWIRE_ENV": problem})
    return Settings.from_environment(both, here)


def _is_production(environ: Mapping[str, str]) -> bool:
    return environ.get("RIDEWIRE_ENV", "").strip().lower() == "production"


def _dotenv(path: Path) -> dict[str, str]:
    try:
        # Without interpolation: a password may contain a dollar sign.
        values = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingsError({str(path): f"cannot be read: {_reason(error)}"}) from None
    return {name: value for name, value in values.items() if value is not None}


_Contradiction = tuple[tuple[str, ...], str]
"""The variables that it is between, of which the first is to be changed, and what is wrong."""


class _Reader:
    """Takes single variables, and notes what is wrong instead of stopping there."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: dict[str, str] = {}

    def one(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """Parse a variable. The parser's `ValueError` may tell what is wrong with the text."""
        text = self._environ.get(name, "").strip()
        try:
            text.encode()
            return parse(text) if text else default
        except UnicodeEncodeError:
            self._note(name, "is not UTF-8")
        except ValueError as error:
            self._note(name, str(error) or f"is {text[:80]!r}")
        return default

    def check(self, contradictions: Iterable[_Contradiction]) -> None:
        """Raise `SettingsError` if anything was wrong, contradictions between good values too."""
        for names, problem in contradictions:
            if not self._problems.keys() & names:
                self._note(names[0], problem)
        if self._problems:
            raise SettingsError(self._problems)

    def _note(self, name: str, problem: str) -> None:
        self._problems[name] = f"{problem}; expected {VARIABLES[name]}"


def _token_rules(read: _Reader, here: Path) -> TokenRules:
    return TokenRules(
        secrets=read.one("JWT_SECRET", _secrets, ()),
        public_keys=read.one("JWT_PUBLIC_KEY", partial(_public_keys, here=here), ()),
        key_set_url=read.one("JWT_JWKS_URL", _key_set_url, None),
        algorithms=read.one("JWT_ALGORITHMS", _algorithms, ()),
        audiences=read.one("JWT_AUDIENCE", _listed, ()),
        issuer=read.one("JWT_ISSUER", str, None),
        role_claim=read.one("JWT_ROLE_CLAIM", str, "role"),
    )


def _contradictions(settings: Settings) -> Iterator[_Contradiction]:
    yield from _misfits(settings.jwt)
    if settings.driver_offline_ms <= settings.driver_stale_ms:
        seconds = settings.driver_offline_ms // 1000
        yield ("DRIVER_OFFLINE_S", "DRIVER_STALE_S"), f"is {seconds}"
    if settings.production:
        yield from _missing_in_production(settings)


def _misfits(rules: TokenRules) -> Iterator[_Contradiction]:
    """Find allowed algorithms without a key, and keys without an allowed algorithm."""
    names = ("JWT_ALGORITHMS", "JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_URL")
    loaded = map(public_keys.load, rules.public_keys)
    fitting = [key.algorithms for key in loaded if key is not None]
    if rules.key_set_url is not None:
        fitting.append(public_keys.ALGORITHMS)
    if rules.secrets or not fitting:
        fitting.append(SECRET_ALGORITHMS)
    for allowed in rules.algorithms:
        if not any(allowed in fit for fit in fitting):
            yield names, f"allows {allowed}, and there is no key for that"
    for fit in fitting:
        if rules.algorithms and not set(fit) & set(rules.algorithms):
            yield names, f"allows none of {', '.join(fit)}, and there is a key for that"


def _missing_in_production(settings: Settings) -> Iterator[_Contradiction]:
    if settings.redis_url is None:
        yield ("REDIS_URL",), "is not set in production"
    if settings.mongodb_url is None:
        yield ("MONGODB_URL",), "is not set in production"
    if not settings.jwt.has_keys:
        names = ("JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_URL")
        yield names, "is not set in production, nor is JWT_PUBLIC_KEY or JWT_JWKS_URL"
    if settings.jwt.key_set_url is not None and _is_open(settings.jwt.key_set_url):
        yield ("JWT_JWKS_URL",), "is http:// in production, where others could answer instead"
    for number, secret in enumerate(settings.jwt.secrets, 1):
        size = len(secret.encode())
        if size < MIN_SECRET_BYTES:
            yield ("JWT_SECRET",), f"(secret {number}) has {size} bytes in production"


def _choice(choices: tuple[T, ...]) -> Callable[[str], T]:
    def parse(text: str) -> T:
        for choice in choices:
            if choice == text.lower():
                return choice
        raise ValueError

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return parse


def _url(*schemes: str) -> Callable[[str], Url]:
    def parse(text: str) -> Url:
        found = _URL.fullmatch(text)
        if found is None or found["scheme"] not in schemes:
            raise ValueError(f"is {Url(text)!r}")
        return Url(text)

    return parse


def _key_set_url(text: str) -> KeySetUrl:
    url = KeySetUrl(text)
    if not url.form.fullmatch(text):
        raise ValueError(f"is {url!r}")
    return url


def _is_open(url: str) -> bool:
    """Whether what this address says comes over a network, and unencrypted."""
    parts = urlsplit(url)
    return parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        ip_address(text)  # IPv6; raises a ValueError of its own.
    return text


def _listed(text: str) -> tuple[str, ...]:
    entries = tuple(entry.strip() for entry in text.split(","))
    if not all(entries):
        raise ValueError("has an empty entry")
    return entries


def _secrets(text: str) -> tuple[Secret, ...]:
    load_secret(Secret(text))  # A JWK as a whole; its pieces would pass as secrets.
    return tuple(Secret(entry) for entry in _listed(text) if load_secret(Secret(entry)))


def _algorithms(text: str) -> tuple[str, ...]:
    names = _listed(text)
    for name in names:
        if name not in ALGORITHMS:
            raise ValueError(f"has {name[:80]!r}")
    return names


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_LOOPBACK = (ip_network("127.0.0.1"), ip_network("::1"))
_EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_DEFAULT_PORT = re.compile(r"(?<=^http)(://.+):80$|(?<=^https)(://.+):443$")


def _origins(text: str) -> tuple[str, ...]:
    """Parse origins to what browsers send: in lower case, and without the scheme's usual port."""
    if text == "*":
        return ("*",)
    origins = _listed(text.lower())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"has {origin[:80]!r}")
    return tuple(_DEFAULT_PORT.sub(r"\1\2", origin) for origin in origins)


def _networks(text: str) -> tuple[Network, ...]:
    if text == "*":
        return _EVERYWHERE
    try:
        return tuple(map(ip_network, _listed(text)))
    except ValueError as error:  # it names what is wrong
        raise ValueError(f"is wrong: {str(error)[:120]}") from None


def _directory(text: str, here: Path) -> Path:
    if text.startswith("~"):
        raise ValueError(f"is {text[:80]!r}, and only a shell knows what ~ means")
    path = here / text
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as error:
        raise ValueError(f"is {text[:80]!r}, which {_reason(error)}") from error
    if is_file:
        raise ValueError(f"is {text[:80]!r}, which is a file")
    return path


_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def _public_keys(text: str, here: Path) -> tuple[str, ...]:
    """Read the keys in PEM, in a JWK Set, or in a file of either."""
    is_inline = "-----BEGIN" in text or text.startswith("{")
    given = text if is_inline else _key_file(text, here).strip()
    keys = public_keys.members(given) if given.startswith("{") else _pem_blocks(given)
    usable = [key for number, key in enumerate(keys, 1) if _is_usable(key, number)]
    if not usable:
        raise ValueError("has no key for signatures")
    return tuple(usable)


def _pem_blocks(text: str) -> list[str]:
    r"""Find the keys in PEM, whose line ends may be spelled `\n`."""
    pem = text.replace("\\n", "\n")
    if "PRIVATE KEY-----" in pem:
        raise ValueError("is a private key, which belongs to nobody but the one who signs")
    blocks = [found[0] for found in _PEM_BLOCK.finditer(pem)]
    if not blocks or len(blocks) != pem.count("-----BEGIN"):
        raise ValueError("has no key in PEM, or one without its end")
    return blocks


def _is_usable(key: str, number: int) -> bool:
    """Whether the key is for signatures; one that is, but cannot be used, is a mistake."""
    try:
        return public_keys.load(key) is not None
    except ValueError as error:
        raise ValueError(f"(key {number}) {error}") from None


def _key_file(text: str, here: Path) -> str:
    try:
        return (here / text).read_text("utf-8")
    except (OSError, ValueError) as error:
        # A key or secret that came here by mistake is not to be shown.
        shown = text[:256] if text.startswith(("/", ".")) or "." in text else "a file"
        raise ValueError(f"names {shown}, which cannot be read: {_reason(error)}") from None


def _reason(error: OSError | ValueError) -> str:
    """Tell why reading failed, without what was read."""
    return error.strerror or "unknown" if isinstance(error, OSError) else "it is not UTF-8 text"


def _kept_secret(path: Path) -> Secret:
    try:
        if not path.exists():
            _make_secret(path)
        secret = Secret(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise SettingsError({str(path): f"cannot be used: {_reason(error)}"}) from None
    if len(secret) < MIN_SECRET_BYTES:
        raise SettingsError({str(path): "holds no secret: delete it, and a new one is made"})
    return secret


def _make_secret(path: Path) -> None:
    """Write a secret that only this user can read, unless another process is quicker.

    The name appears with the whole file behind it: a link to a draft, which fails if it is taken.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
