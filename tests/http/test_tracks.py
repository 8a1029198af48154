"""Tracks over HTTP: their formats, who sees what of them, and how a long one leaves."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from handlers.tracks import TrackHandler
from models.errors import NotFound, Unavailable
from models.points import Point
from models.requests import TrackFormat, TripTrack
from models.tracks import TrackMinute
from models.trips import Trip
from realtime.http.tracks import answer_track
from tests.handlers.world import ANN, DAN, NOW, World, driver

Ask = dict[str, Any]


class Site:
    """A track of a world in memory, served as the server does."""

    def __init__(self) -> None:
        self.world = World()
        self.caller = ANN
        self.trip_id = ""

    async def rides(self, *places: tuple[float, float], approach: int = 0) -> Trip:
        """A trip of dan's, with a point a second, of which the first ones are the approach."""
        world = self.world
        points = [
            Point(lat, lng, NOW + 1_000 * n, n, speed=n / 2) for n, (lat, lng) in enumerate(places)
        ]
        trip = await world.trip_in("arrived")
        world.clock.advance(1_000 * approach)
        trip = await world.move(ANN, trip, "in_progress")
        world.clock.advance(1_000 * len(points))
        trip = await world.move(ANN, trip, "completed")
        minutes: dict[TrackMinute, list[Point]] = {}
        for point in points:
            key = TrackMinute(trip.id, "dan", point.ts // 60_000)
            minutes.setdefault(key, []).append(point)
        await world.stores.tracks.add(minutes)
        self.trip_id = trip.id
        return trip

    async def answer(self, request: web.Request) -> web.StreamResponse:
        command = TripTrack(
            trip_id=self.trip_id,
            format=TrackFormat(request.query["format"]) if "format" in request.query else None,
            tolerance_m=int(request.query.get("tolerance_m", 0)),
            precision=int(request.query.get("precision", 5)),
        )
        reading = await TrackHandler(self.world.stores, self.world.clock).read(self.caller, command)
        return await answer_track(request, command, reading)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def client(site: Site) -> AsyncIterator[TestClient[Any, Any]]:
    app = web.Application()
    app.router.add_get("/{trip_id}", site.answer)
    async with TestClient(TestServer(app)) as client:
        yield client


async def read(client: TestClient[Any, Any], headers: Ask | None = None, **query: str) -> Any:
    async with client.get("/t", params=query, headers=headers) as response:
        assert response.status == 200
        return json.loads(await response.read())


WAY: Final = ((52.5, 13.4), (52.501, 13.4), (52.502, 13.4), (52.503, 13.402))


async def test_points_come_in_parts_as_they_were_accepted(
    site: Site, client: TestClient[Any, Any]
) -> None:
    trip = await site.rides(*WAY, approach=1)
    assert await read(client) == {
        "trip_id": trip.id,
        "duration_ms": 4_000,
        "distance_m": 286,
        "parts": [
            {
                "driver_id": "dan",
                "phase": "approach",
                "points": [{"lat": 52.5, "lng": 13.4, "ts": NOW, "seq": 0, "speed": 0.0}],
            },
            {
                "driver_id": "dan",
                "phase": "ride",
                "points": [
                    {"lat": lat, "lng": lng, "ts": NOW + 1_000 * n, "seq": n, "speed": n / 2}
                    for n, (lat, lng) in enumerate(WAY)
                    if n
                ],
            },
        ],
    }


@pytest.mark.parametrize("asked", [{"format": "geojson"}, {"Accept": "application/geo+json, */*"}])
async def test_geojson_has_a_line_and_its_times_for_each_part(
    site: Site, client: TestClient[Any, Any], asked: dict[str, str]
) -> None:
    trip = await site.rides(*WAY, approach=1)
    headers = asked if "Accept" in asked else {}
    query = asked if "format" in asked else {}
    async with client.get("/t", params=query, headers=headers) as response:
        assert response.content_type == "application/geo+json"
        collection = json.loads(await response.read())
    assert (collection["type"], collection["trip_id"]) == ("FeatureCollection", trip.id)
    approach, ride = collection["features"]
    assert approach == {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [13.4, 52.5]},
        "properties": {"driver_id": "dan", "phase": "approach", "times": [NOW]},
    }
    assert ride["geometry"] == {
        "type": "LineString",
        "coordinates": [[lng, lat] for lat, lng in WAY[1:]],
    }
    assert ride["properties"]["times"] == [NOW + 1_000 * n for n in (1, 2, 3)]


async def test_geojson_is_cut_at_the_antimeridian(site: Site, client: TestClient[Any, Any]) -> None:
    await site.rides((0, 179.8), (0, 179.9), (0, -179.9), (0, 179.95), (0, 179.96))
    features = (await read(client, format="geojson"))["features"]
    assert [feature["geometry"] for feature in features] == [
        {"type": "LineString", "coordinates": [[179.8, 0], [179.9, 0]]},
        {"type": "Point", "coordinates": [-179.9, 0]},
        {"type": "LineString", "coordinates": [[179.95, 0], [179.96, 0]]},
    ]
    assert [len(feature["properties"]["times"]) for feature in features] == [2, 1, 2]


async def test_polylines_are_as_published_and_safe_in_json(
    site: Site, client: TestClient[Any, Any]
) -> None:
    trip = await site.rides((38.5, -120.2), (40.7, -120.95), (43.252, -126.453))
    lines = await read(client, format="polyline")
    assert lines["precision"] == 5
    assert lines["trip_id"] == trip.id
    ride = {"polyline": "_p~iF~ps|U_ulLnnqC_mqNvxq`@", "count": 3}
    assert lines["parts"][-1] == {"driver_id": "dan", "phase": "ride", **ride}
    finer = await read(client, format="polyline", precision="6")
    assert finer["parts"][-1]["polyline"] == "_izlhA~rlgdF_{geC~ywl@_kwzCn`{nI"


async def test_a_simplified_track_leaves_out_what_lies_on_the_way(
    site: Site, client: TestClient[Any, Any]
) -> None:
    await site.rides(*WAY)
    (ride,) = (part for part in (await read(client, tolerance_m="5"))["parts"] if part["points"])
    assert [point["seq"] for point in ride["points"]] == [0, 2, 3]


async def test_a_trip_that_nobody_took_has_an_empty_track(
    site: Site, client: TestClient[Any, Any]
) -> None:
    site.trip_id = (await site.world.new_trip()).id
    assert await read(client) == {"trip_id": site.trip_id, "parts": []}
    assert (await read(client, format="geojson"))["features"] == []
    assert (await read(client, format="polyline"))["parts"] == []


async def test_a_driver_sees_its_own_part(site: Site, client: TestClient[Any, Any]) -> None:
    world = site.world
    trip = await world.trip_in("accepted", driver_id="eve")
    trip = await world.move(ANN, trip, "requested")
    trip = await world.move(ANN, trip, "accepted", driver_id="dan")
    site.trip_id = trip.id
    assert [part["driver_id"] for part in (await read(client))["parts"]] == ["eve", "dan"]
    site.caller = DAN
    assert [part["driver_id"] for part in (await read(client))["parts"]] == ["dan"]
    with pytest.raises(NotFound):
        await TrackHandler(world.stores, world.clock).read(
            driver("eve"), TripTrack(trip_id=trip.id)
        )


async def test_twelve_hours_a_point_a_second_cost_no_memory(
    site: Site, client: TestClient[Any, Any]
) -> None:
    await site.rides(*((52 + n / 1e5, 13.0) for n in range(43_200)))
    size = most = 0
    async with client.get("/t", headers={"Accept-Encoding": "identity"}) as response:
        tracemalloc.start()
        async for piece in response.content.iter_any():
            size += len(piece)
            most = max(most, tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert size > 3_000_000
    assert most < 1_500_000


async def test_a_store_that_goes_away_in_the_middle_breaks_the_answer_off(
    site: Site, client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.rides(*((52 + n / 1e5, 13.0) for n in range(5_000)))
    tracks = site.world.stores.tracks
    whole, calls = tracks.read, 0

    async def read_some(minutes: Sequence[TrackMinute]) -> Sequence[Point]:
        nonlocal calls
        calls += 1
        if calls > 12:
            raise Unavailable("the store did not answer")
        return await whole(minutes)

    monkeypatch.setattr(tracks, "read", read_some)
    with pytest.raises(aiohttp.ClientError):
        async with asyncio.timeout(10), client.get("/t") as response:
            await response.read()
