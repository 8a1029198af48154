"""Headers, parameters and the token: what operations of the OpenAPI document share."""

from typing import Any, Final

from models.tracks import Phase
from realtime.http.errors import REQUEST_ID
from realtime.http.requests import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH
from realtime.http.table import GEO_JSON

Object = dict[str, Any]

TOKEN: Final[Object] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": (
        "`sub` is the user's id, `role` one of `driver`, `rider`, `agent`, `service`, `viewer`, "
        "`exp` is required. `python -m realtime token --role ROLE --sub ID` makes one."
    ),
}

HEADERS: Final[dict[str, Object]] = {
    REQUEST_ID: {
        "description": "Names the request in the server's log: the request's own, or a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
    },
    "ETag": {
        "description": (
            "The trip's version in quotes, for `If-Match` and `If-None-Match`; once it is known "
            "how far the trip went, a dot and that."
        ),
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+(?:\\.[0-9]+)?(?:-gzip)?"$'},
    },
    "Location": {
        "description": "Where it is to be read.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {
        "description": "After how many seconds to try again.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {
        "description": "Which kind of token is asked for.",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
    },
}

PARAMETERS: Final[dict[str, Object]] = {
    REQUEST_ID: {
        "name": REQUEST_ID,
        "in": "header",
        "description": (
            "Names the request in the server's log and in the answer: 1 to 128 visible ASCII "
            "characters. Another one is replaced."
        ),
        "schema": {"type": "string"},
    },
    IDEMPOTENCY_KEY: {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "description": "Stands in for `client_id` in a body without it; else it is the same.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    IF_MATCH: {
        "name": IF_MATCH,
        "in": "header",
        "description": (
            "The trip's `ETag` as the caller knows it, in place of `version`: a trip that has "
            "moved on is a `conflict` with status 412. `*` is any version."
        ),
        "schema": {
            "type": "string",
            "pattern": '^(?:\\*|"[0-9]{1,15}(?:\\.[0-9]{1,15})?(?:-gzip)?")$',
        },
    },
    IF_NONE_MATCH: {
        "name": IF_NONE_MATCH,
        "in": "header",
        "description": "`ETag`s that the caller has: 304 if the present one is among them.",
        "schema": {"type": "string"},
    },
}


_POSITION: Final[Object] = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 2,
    "description": "Longitude and latitude.",
}
_GEOMETRY: Final[Object] = {
    "anyOf": [
        {
            "type": "object",
            "required": ["type", "coordinates"],
            "properties": {"type": {"const": kind}, "coordinates": coordinates},
        }
        for kind, coordinates in (
            ("LineString", {"type": "array", "items": _POSITION, "minItems": 2}),
            ("Point", _POSITION),
        )
    ]
}
OF_TYPES: Final[dict[str, Object]] = {
    GEO_JSON: {
        "schema": {
            "type": "object",
            "description": (
                "RFC 7946: a LineString for each part, cut where it crosses the antimeridian, with "
                "the time of each position, in ms since the epoch. A part of one point is a Point."
            ),
            "required": ["type", "trip_id", "features"],
            "properties": {
                "type": {"const": "FeatureCollection"},
                "trip_id": {"type": "string"},
                "duration_ms": {"type": "integer"},
                "distance_m": {"type": "integer"},
                "features": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "geometry", "properties"],
                        "properties": {
                            "type": {"const": "Feature"},
                            "geometry": _GEOMETRY,
                            "properties": {
                                "type": "object",
                                "required": ["driver_id", "phase", "times"],
                                "properties": {
                                    "driver_id": {"type": "string"},
                                    "phase": {"enum": [str(phase) for phase in Phase]},
                                    "times": {"type": "array", "items": {"type": "integer"}},
                                },
                            },
                        },
                    },
                },
            },
        },
        "example": {
            "type": "FeatureCollection",
            "trip_id": "01KATF6N8S4W2Q7V5ZJX9D3MTH",
            "features": [
                {
                    "type": "Feature",
                    "geometry": {
                        "type": "LineString",
                        "coordinates": [[13.4, 52.5], [13.41, 52.5]],
                    },
                    "properties": {
                        "driver_id": "dan",
                        "phase": "ride",
                        "times": [1_764_000_000_000, 1_764_000_001_000],
                    },
                }
            ],
        },
    },
}
"""What further media types have in them."""


def header_refs(*names: str) -> Object:
    """The headers of an answer: these, and the request's id."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, REQUEST_ID)}


def parameter_refs(*names: str) -> list[Object]:
    """The headers of a request: these, and the request's id."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in (*names, REQUEST_ID)]
