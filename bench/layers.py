"""Which part of the server a sampled stack was in: layers, each known by the frames that are its.

A frame is as py-spy writes it: `function (file:line)`, of Python and of C. From the innermost one
outwards the first that a layer claims decides, so that what a layer calls, in C or in somebody
else's package, is its; what nobody claims is the event loop's.
"""

import linecache
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

ROOT: Final = Path(__file__).resolve().parents[1]
EVENT_LOOP: Final = "event loop"
SENDING: Final = "sending"
METRICS: Final = "metrics"
OTHER: Final = "other"
OTHER_THREADS: Final = "other threads"
READING: Final = "kernel: reading"
WRITING: Final = "kernel: writing"
REST: Final = "kernel: the rest"

_NOTHING: Final = r"(?!)"


class Layer(Struct, frozen=True):
    name: str
    about: str
    """What is done there."""
    frames: str = _NOTHING
    """A pattern of the frames that are its, from where they begin."""
    lines: str = _NOTHING
    """A pattern that is searched in the line of the server's source that a frame is at."""


LAYERS: Final = (
    Layer(
        READING,
        "what clients and Redis have sent",
        r"(\w*_)?(read|readv|recv|recvfrom|recvmsg)(64)? \(lib(c|pthread)\b",
    ),
    Layer(
        WRITING,
        "to clients and Redis; TCP up to the other end's socket, as all is one machine",
        r"(\w*_)?(write|writev|send|sendto|sendmsg)(64)? \(lib(c|pthread)\b",
    ),
    Layer(REST, "asking which sockets are ready; interrupts", r"(\w*_)?epoll_\w+ \(libc\b"),
    Layer(EVENT_LOOP, "libuv and uvloop: from a ready socket to Python's code; timers, tasks"),
    Layer(
        METRICS,
        "what is counted and measured, in whatever layer",
        r".*\((realtime/(metrics|counting|relaying)\.py|prometheus_client/)",
        r"(counts?|_?published|_sent|_shown|_arrived|received|skipped)(\[.*\])? \+= "
        r"|_began\b|on_sent",
    ),
    Layer("garbage collection", "Python's search for cycles", r"gc_collect\w* \("),
    Layer(
        "frame reader",
        "WebSocket frames of clients, taken apart by aiohttp's reader",
        r"(WebSocket\.(data_received|control|start)|_Inbox\.\w+) \(realtime/websocket\.py",
    ),
    Layer(
        "gateway",
        "whose packet it is, and what takes it",
        r"Socket\.(text|binary|_take\w*) \(|.*\(realtime/(gateway|rides|plain|dispatch)\.py",
    ),
    Layer(
        "handshake",
        "HTTP, its routes and answers, by aiohttp and python-engineio",
        r".*\((aiohttp/(?!_websocket)|engineio/|socketio/|yarl/|multidict/)"
        r"|(_handshake|WebSocket\.(accept|_adopt)|Engine\.\w+) \(realtime/",
    ),
    Layer(
        "token check",
        "whose token it is: signature, claims, revocations",
        r".*\((realtime/(tokens|identities|revocations)\.py|jwt/|cryptography/)",
    ),
    Layer(
        "newest positions",
        "kept for Redis, with the points for tracks, and written there in bulk",
        r".*\((realtime/(drivers|unsaved|sightings|nearby|availability)\.py|redis/)",
    ),
    Layer(
        "tracks",
        "from Redis to MongoDB: which trip and minute a point belongs to",
        r".*\((realtime/(archiver|track_stream|sifting|direct_archive)"
        r"|handlers/(tracks|served|measuring)|models/(tracks|turns|mongo/tracks))\.py",
    ),
    Layer(
        "sessions",
        "what a connection is told and follows from its beginning",
        r".*\((realtime|handlers)/sessions\.py",
    ),
    Layer(
        "conversations",
        "who may write, and what a message is",
        r".*\(handlers/(chat|threads|access|answers)\.py",
    ),
    Layer(
        "store",
        "MongoDB's driver in the thread that serves, and what is made of its answers",
        r".*\((models/mongo/|models/grouped\.py|motor/|pymongo/|bson/)",
    ),
    Layer("parse", "JSON into a point, within its limits", r".*\(realtime/payloads\.py"),
    Layer(
        "judge",
        "whether the point is news and plausible, and whether it is shown at once; the clock",
        r".*\((handlers/(locations|pacing)|models/(filter|points))\.py|now \(realtime/app\.py",
    ),
    Layer(
        "encode",
        "events as JSON, packets and frames, the same for everybody; packets read",
        r".*\((realtime/wire|models/facts)\.py",
    ),
    Layer(
        "rooms",
        "who looks at the trip; the envelope for other instances",
        r".*\((realtime/(hub|envelopes|feeds|following|sequence)|models/rooms)\.py",
    ),
    Layer(
        SENDING,
        "to the transports, what was written in one turn of the loop in one piece",
        r"(WebSocket\.flush|Outbox\._flush|Connection\._flush) \(realtime/",
    ),
    Layer(
        "outbox",
        "a frame to each client: whether it is behind, and in what it waits for the turn's end",
        r".*\(realtime/(websocket|connection|engine)\.py",
    ),
    Layer(
        "bus",
        "to Redis for other instances, and its replies",
        r".*\(realtime/(bus|redis_link|subscriptions|keys)\.py",
    ),
    Layer(
        OTHER,
        "heartbeats, sweeps, and all the rest",
        r".*\((handlers|models|realtime/(?!__main__|serving)\w+|realtime/http)\S*\.py",
    ),
    Layer(OTHER_THREADS, "MongoDB's driver: its writes and reads, and its connections"),
)

_KERNEL: Final = (READING, WRITING, REST)
_PATTERNS: Final = tuple(
    (layer.name, re.compile(layer.frames), re.compile(layer.lines)) for layer in LAYERS
)
_OURS: Final = re.compile(r".*\((?P<file>(?:realtime|handlers|models)/\S+\.py):(?P<line>\d+)\)")


def layer_of(stack: Sequence[str]) -> str:
    """The layer of a stack, whose outermost frame is the first."""
    return next(filter(None, map(_claimed, reversed(stack))), EVENT_LOOP)


def shares(stacks: Iterable[tuple[Sequence[str], int]]) -> dict[str, float]:
    """Which part of the samples each layer has: stacks, and how often each was seen."""
    counts = dict.fromkeys((layer.name for layer in LAYERS), 0)
    for stack, count in stacks:
        counts[layer_of(stack)] += count
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items() if count}


def of_all(sampled: Mapping[str, float], system: float, threads: float) -> dict[str, float]:
    """The shares of all CPU time, in the order of the layers; they add up to 1.

    `sampled` is of the thread that serves; `system`, the kernel's share, and `threads`, that of the
    other threads, are by the operating system's account. It tells what samples cannot: a process
    that asks which sockets are ready may as well be waiting for one.
    """
    kernel = {name: sampled.get(name, 0.0) for name in (READING, WRITING)}
    own = {name: share for name, share in sampled.items() if name not in _KERNEL}
    scale = (1 - system) / sum(own.values())
    kernel_scale = min(scale, system / (sum(kernel.values()) or 1))
    found = {name: share * scale for name, share in own.items()}
    found |= {name: share * kernel_scale for name, share in kernel.items()}
    found[REST] = max(0.0, 1 - sum(found.values()))
    served = {name: share * (1 - threads) for name, share in found.items()}
    everything = served | {OTHER_THREADS: threads}
    return {layer.name: everything[layer.name] for layer in LAYERS if everything.get(layer.name)}


@cache
def _claimed(frame: str) -> str | None:
    """The layer that a frame tells; None for one that only works for its caller."""
    line = _source_line(frame)
    for name, frames, lines in _PATTERNS:
        if frames.match(frame) or lines.search(line):
            return name
    return None


def _source_line(frame: str) -> str:
    """The line of the server's source that a frame is at; empty for what is not the server's."""
    found = _OURS.match(frame)
    return linecache.getline(str(ROOT / found["file"]), int(found["line"])) if found else ""
