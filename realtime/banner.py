"""What a starting server prints: where it listens, how to get in, what to try next."""

import shlex
import sys
from pathlib import Path

from realtime.serving import Site
from realtime.settings import Url


def text(site: Site, *, can_mint: bool) -> str:
    """Some lines for a person in front of a terminal; secrets are not in them."""
    host, port = site.socket.getsockname()[:2]
    url = f"http://{_reachable(host)}:{port}"
    lines = [f"Ridewire listens on {url} (Socket.IO path /socket.io/)"]
    if site.settings.workers > 1:
        lines.append(f"  {site.settings.workers} workers, WebSocket transport only")
    lines += _stores(site)
    lines.append(f"  Tokens: {_keys(site)}")
    if can_mint and not site.settings.production:
        lines += _next_steps(url)
    lines.append("Ctrl-C stops it.")
    return "\n".join(lines)


def _stores(site: Site) -> list[str]:
    lines = []
    for name, variable, chosen, used in (
        ("Redis", "REDIS_URL", site.settings.redis_url, site.redis_url),
        ("MongoDB", "MONGODB_URL", site.settings.mongodb_url, site.mongodb_url),
    ):
        if chosen is None:
            lines.append(f"  {name}: embedded, {variable}={used}")
        else:
            lines.append(f"  {name}: {Url(used).redacted}")
    return lines


def _keys(site: Site) -> str:
    if site.settings.generated_secret:
        return f"signed with a secret of its own, {site.settings.generated_secret}"
    jwt = site.settings.jwt
    given = {
        "JWT_SECRET": jwt.secrets,
        "JWT_PUBLIC_KEY": jwt.public_keys,
        "JWT_JWKS_URL": jwt.key_set_url,
    }
    return f"checked with {', '.join(name for name, value in given.items() if value)}"


def _next_steps(url: str) -> list[str]:
    command = _command()
    return [
        "",
        "In a second terminal, from this folder:",
        f"  {command} token --role driver --sub dan     # a token for a driver app",
        f"  {command} token --role rider --sub rita     # and for a rider app",
        f"  {command} simulate --url {url} --drivers 50 --rate 1 --seconds 60",
        f"  curl {url}/readyz",
        f"What apps and back ends may ask for: {url}/v1/docs",
        "",
    ]


def _command() -> str:
    """How this program was started, to start it again in the same folder."""
    started = Path(sys.argv[0])
    if started.name != "__main__.py":
        return shlex.quote(started.name)
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return f"{shlex.quote(str(python))} -m realtime"


def _reachable(host: str) -> str:
    """The address to type; a server on all addresses is reached on this machine's own."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host
