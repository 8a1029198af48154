"""A track as it leaves, piece by piece: JSON, GeoJSON (RFC 7946) or encoded polylines.

However long it is, some kilobytes of it are in memory, and of GeoJSON its times besides, 8 bytes a
point, because they come after the places.
"""

import asyncio
import logging
from array import array
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
from aiohttp import web

from handlers.tracks import TrackReading
from models.errors import RidewireError
from models.points import Point
from models.polyline import PolylineEncoder
from models.requests import TrackFormat, TripTrack
from models.tracks import Part
from realtime.http.answers import GZIP_FROM, PRIVATE, takes_gzip
from realtime.http.table import GEO_JSON, JSON

_log = logging.getLogger(__name__)

PIECE: Final = 16 * 1024
"""Bytes that leave at once. A track that is no larger is an answer like any other."""
STREAM_WITHIN_S: Final = 600.0
HALF_TURN: Final = 180
"""Degrees. Two points that are more than that apart are so across the antimeridian."""

_encode: Final = msgspec.json.Encoder().encode

Pieces = AsyncIterator[bytes]


async def answer_track(
    request: web.Request, command: TripTrack, reading: TrackReading
) -> web.StreamResponse:
    """Answer with the track in the format that was asked for. What fails early is refused."""
    chosen = _chosen(request, command)
    headers = {
        **PRIVATE,
        "Vary": "Authorization, Accept, Accept-Encoding",
        "Content-Type": GEO_JSON if chosen is TrackFormat.GEOJSON else JSON,
    }
    if request.method == "HEAD":
        return web.Response(headers=headers)
    pieces = _gathered(_WRITERS[chosen](reading, command))
    first = await anext(pieces)
    second = await anext(pieces, b"")
    if second:
        return await _stream(request, headers, first + second, pieces)
    response = web.Response(body=first, headers=headers)
    if len(first) >= GZIP_FROM and takes_gzip(request):
        response.enable_compression(web.ContentCoding.gzip)
    return response


async def _stream(
    request: web.Request, headers: dict[str, str], first: bytes, others: Pieces
) -> web.StreamResponse:
    """Send it piece by piece. What fails on the way breaks the connection off, so that nobody
    takes a part for the whole.
    """
    response = web.StreamResponse(headers=headers)
    if takes_gzip(request):
        response.enable_compression(web.ContentCoding.gzip)
    await response.prepare(request)
    try:
        async with asyncio.timeout(STREAM_WITHIN_S):
            await response.write(first)
            async for piece in others:
                await response.write(piece)
    except (RidewireError, TimeoutError) as error:
        _log.warning("a track breaks off: %s", error, extra={"trip": request.match_info["trip_id"]})
        if request.transport is not None:
            request.transport.abort()
    return response


def _chosen(request: web.Request, command: TripTrack) -> TrackFormat:
    """The query's format; else GeoJSON for who accepts that by name."""
    if command.format is not None:
        return command.format
    accepted = request.headers.get("Accept", "").lower()
    return TrackFormat.GEOJSON if GEO_JSON in accepted else TrackFormat.JSON


async def _gathered(pieces: Pieces) -> Pieces:
    """The same in larger pieces; never none at all."""
    some = bytearray()
    async for piece in pieces:
        some += piece
        if len(some) >= PIECE:
            yield bytes(some)
            some.clear()
    if some:
        yield bytes(some)


async def _write_json(reading: TrackReading, command: TripTrack) -> Pieces:
    """See `handlers.answers.Track`."""
    yield _head(reading) + b',"parts":['
    for number, part in enumerate(reading.parts):
        yield b"," * (number > 0) + _opened(part) + b',"points":['
        comma = b""
        async for points in reading.points(part, command.tolerance_m):
            yield comma + _encode(points)[1:-1]
            comma = b","
        yield b"]}"
    yield b"]}"


async def _write_polyline(reading: TrackReading, command: TripTrack) -> Pieces:
    """See `handlers.answers.TrackLines`."""
    yield _head(reading) + b',"precision":%d,"parts":[' % command.precision
    for number, part in enumerate(reading.parts):
        yield b"," * (number > 0) + _opened(part) + b',"polyline":"'
        encoder = PolylineEncoder(command.precision)
        count = 0
        async for points in reading.points(part, command.tolerance_m):
            text = "".join(encoder.add(point.lat, point.lng) for point in points)
            yield text.replace("\\", "\\\\").encode()
            count += len(points)
        yield b'","count":%d}' % count
    yield b"]}"


async def _write_geojson(reading: TrackReading, command: TripTrack) -> Pieces:
    """A FeatureCollection: a LineString for each part, cut where it crosses the antimeridian.

    A part of one point is a Point, and one without points is not there.
    """
    yield b'{"type":"FeatureCollection",' + _head(reading)[1:] + b',"features":['
    comma = b""
    for part in reading.parts:
        feature = _Feature(part)
        async for points in reading.points(part, command.tolerance_m):
            for point in points:
                if feature.is_cut_before(point):
                    yield comma + feature.end()
                    comma, feature = b",", _Feature(part)
                if text := feature.add(point):
                    yield comma + text
                    comma = b""
        if text := feature.end():
            yield comma + text
            comma = b","
    yield b"]}"


class _Feature:
    """One Feature of GeoJSON in the making."""

    __slots__ = ("_newest", "_part", "_times")

    def __init__(self, part: Part) -> None:
        self._part = part
        self._newest: Point | None = None
        self._times = array("q")

    def is_cut_before(self, point: Point) -> bool:
        newest = self._newest
        return newest is not None and abs(point.lng - newest.lng) > HALF_TURN

    def add(self, point: Point) -> bytes:
        """What is to be written with this point: nothing for the first, which may be the only."""
        before, self._newest = self._newest, point
        self._times.append(point.ts)
        if before is None:
            return b""
        place = _encode([point.lng, point.lat])
        if len(self._times) > 2:
            return b"," + place
        return _feature("LineString") + b"[" + _encode([before.lng, before.lat]) + b"," + place

    def end(self) -> bytes:
        """What is left to be written; nothing for a part without points."""
        if self._newest is None:
            return b""
        properties = {
            "driver_id": self._part.driver_id,
            "phase": self._part.phase,
            "times": list(self._times),
        }
        end = b'},"properties":' + _encode(properties) + b"}"
        if len(self._times) > 1:
            return b"]" + end
        return _feature("Point") + _encode([self._newest.lng, self._newest.lat]) + end


def _feature(geometry: str) -> bytes:
    return b'{"type":"Feature","geometry":{"type":"%b","coordinates":' % geometry.encode()


def _head(reading: TrackReading) -> bytes:
    """The beginning of an object: which trip, and what is known of its ride."""
    trip = reading.trip
    known = {"trip_id": trip.id, "duration_ms": trip.duration_ms, "distance_m": trip.distance_m}
    return _encode({name: value for name, value in known.items() if value is not None})[:-1]


def _opened(part: Part) -> bytes:
    return _encode({"driver_id": part.driver_id, "phase": part.phase})[:-1]


_WRITERS: Final[dict[TrackFormat, Callable[[TrackReading, TripTrack], Pieces]]] = {
    TrackFormat.JSON: _write_json,
    TrackFormat.GEOJSON: _write_geojson,
    TrackFormat.POLYLINE: _write_polyline,
}
