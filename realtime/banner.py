"""What a starting server prints: where it listens, how to get in, what to try next."""

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
    if site.settings.generated_secret:
        lines.append(f"  Tokens: signed with a secret of its own, {site.settings.generated_secret}")
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


def _next_steps(url: str) -> list[str]:
    python = ".venv/bin/python -m realtime"
    return [
        "",
        "In a second terminal, from this folder:",
        f"  {python} token --role driver --sub dan     # a token for a driver app",
        f"  {python} token --role rider --sub rita     # and for a rider app",
        f"  {python} simulate --url {url} --drivers 50 --rate 1 --seconds 60",
        f"  curl {url}/readyz",
        "",
    ]


def _reachable(host: str) -> str:
    """The address to type; a server on all addresses is reached on this machine's own."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host
