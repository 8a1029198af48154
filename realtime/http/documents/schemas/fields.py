"""What each field means, in words for the documents: units, ranges, who may see it.

A field of the same name means the same everywhere, unless it is named with its type here.
"""

from typing import Final

UNITS: Final = (
    "Times are integers: milliseconds since the epoch, and milliseconds for durations. Positions "
    "are degrees in WGS84, speeds metres per second, headings degrees clockwise from north. An id "
    "is a string of 1 to 128 printable characters without spaces. Clients ignore fields, events "
    "and codes that they do not know: there may be more of them within this version."
)
"""What both documents begin with."""

FIELDS: Final[dict[str, str]] = {
    "accepted": "How many points were taken.",
    "accuracy": "Radius in metres within which the position is.",
    "address": "The place in words.",
    "after_seq": "The oldest messages above this seq.",
    "age_ms": "How long ago the driver was seen, in ms, by the server's clock.",
    "allowed": "With `illegal_transition`: the states that the caller may move the trip to now.",
    "at": "When it happened, in ms since the epoch.",
    "before_seq": "The newest messages below this seq.",
    "by": "The user id of who did it; null for the server's own (an offer that expired).",
    "cancelled_by": "The role of who cancelled the trip.",
    "changed": "What an edit set.",
    "client": "Free text for the server's log, such as `rider-ios/4.2`.",
    "client_id": "Chosen by the caller, one per wish: sent again, it gets what the first one made.",
    "closed_at": "When it was closed, in ms since the epoch; not there while it is open.",
    "code": "What went wrong, for programs.",
    "connection": "How well the driver is heard.",
    "conversation": "The conversation.",
    "conversation_id": "The conversation; a trip's conversation has the trip's id.",
    "conversations": "The open conversations that are not ended, with how far they are read.",
    "count": "How many points the line has.",
    "created_at": "In ms since the epoch.",
    "created_by": "The user id of who opened it.",
    "cursor": "`next_cursor` of the page before, as it came.",
    "data": "What a kind of message needs besides, or the company's own.",
    "delivered_seq": "Everything up to this message has been received. Only grows.",
    "device": (
        "The install of the app. A new connection of the same user, role and device ends the one "
        "before it."
    ),
    "distance_m": "How far away in a straight line, in metres.",
    "duration_s": "How long that takes, in seconds.",
    "driver": "How well the trip's driver is heard; null while it has none.",
    "driver_id": "The driver's user id; null before a driver accepts.",
    "dropoff": "Where the trip goes; null where that is open.",
    "duration_ms": "How long the ride took, from `in_progress` to the end, in ms.",
    "error": "What went wrong.",
    "events": "Every change of the trip, the oldest first.",
    "expected": "With `invalid`: what the field should have been.",
    "expires_at": "In ms since the epoch.",
    "expires_in_ms": "How long the offer stands, in ms; if not given, until it ends otherwise.",
    "format": (
        "`json`, `geojson` or `polyline`; without it GeoJSON for who accepts "
        "`application/geo+json`, else JSON."
    ),
    "has_more": "There are further ones on the side that was asked for.",
    "heading": "Degrees clockwise from north.",
    "id": "Made by the server, safe in a URL.",
    "items": "This page's part of the list.",
    "jti": "The token's own id.",
    "kind": "What kind of message it is.",
    "last_seen": "When the driver was last heard, in ms since the epoch; null if never.",
    "last_seq": "The seq of the newest message; 0 where there is none.",
    "lat": "Degrees north, WGS84.",
    "limit": "How many at most.",
    "lng": "Degrees east, WGS84.",
    "location": "The newest accepted point of the trip's driver; null where there is none.",
    "message": "The message.",
    "messages": "Messages, the oldest first.",
    "metadata": "The company's own, shown to the parties, an offered driver and staff.",
    "next_cursor": "Asks for the next page as `cursor`; null after the last.",
    "offer": "To whom the trip is offered now; null where it is to nobody.",
    "ok": "Whether the command was carried out.",
    "participants": "The user ids of those who take part.",
    "parts": "One for each driver and phase, in the order of time.",
    "path": "With `invalid` and `forbidden`: the field that is meant, such as `stops.0.lat`.",
    "phase": "`approach` until the ride is in progress, then `ride`.",
    "pickup": "Where the trip begins.",
    "pin": "What the rider tells the driver at the door. Never shown to a driver.",
    "points": "Accepted points, the oldest first.",
    "polyline": "The line, by Google's encoded polyline algorithm.",
    "precision": "How many decimals of a degree a polyline has: 5, or 6.",
    "problems": "What is wrong, by part: `mongodb`, `redis`, `server`.",
    "protocol": "The version of this interface.",
    "radius_m": "How far around, in metres.",
    "read": "How far everybody has read, by user id.",
    "read_seq": "Everything up to this message has been read. Only grows.",
    "reason": "Why, in the words of who did it.",
    "rejected": "The points that were not taken, and why.",
    "request_id": "Names the request in the server's log; also in `X-Request-Id`.",
    "retry": "Whether the same may succeed later without being changed.",
    "retry_after_ms": "With `rate_limited`: how long to wait, in ms.",
    "retry_in_ms": "How long to wait before connecting again, in ms.",
    "rider_id": "The rider's user id.",
    "role": "The role of the user.",
    "seen_at": "When the newest point came in, in ms since the epoch.",
    "sender_id": "The user id of who wrote it.",
    "sent_at": "When the server stored it, in ms since the epoch.",
    "seq": "The message's number in its conversation: 1, 2, 3, … without holes.",
    "server_time": "The server's clock, in ms since the epoch.",
    "size": "Bytes.",
    "speed": "Metres per second.",
    "status": "The trip's state.",
    "stops": "Places on the way, in order.",
    "text": "What is written.",
    "title": "What it is about.",
    "token": "A JWT.",
    "to": "Where the driver heads for.",
    "tolerance_m": "How far from the line a point may be that is left out, in m; 0 keeps all.",
    "trip": "The trip as it is now, in the caller's view.",
    "trip_id": "The trip.",
    "trips": "The unfinished trips and offers of a driver or rider, complete.",
    "ts": "When it was measured, by the phone's clock, in ms since the epoch.",
    "typing": "Whether the user is writing.",
    "updated_at": "When the trip last changed, in ms since the epoch.",
    "url": "An http or https address.",
    "user_id": "The user.",
    "version": "The trip's number of changes; every change is one more.",
}

OF_TYPES: Final[dict[str, dict[str, str]]] = {
    "Auth": {
        "token": "The JWT. Without it, the handshake's `Authorization: Bearer …` has to carry it.",
    },
    "ChatHistory": {
        "after_seq": "The oldest messages above this seq. Not together with `before_seq`.",
        "before_seq": "The newest messages below this seq. Not together with `after_seq`.",
    },
    "DriversNearby": {
        "lat": "Degrees north, WGS84; no nearer to a pole than 85.",
        "limit": "How many at most, the nearest.",
    },
    "Draft": {"kind": "What kind of message it is; `system` is the service's to write."},
    "DriverStatus": {"status": "Whether the driver takes trips."},
    "Error": {
        "distance_m": "With `forbidden` of an arrival: how far away the pickup is, in metres.",
        "message": "What went wrong, for people.",
        "trip": "With `conflict`: as it is now.",
    },
    "HttpError": {
        "distance_m": "With `forbidden` of an arrival: how far away the pickup is, in metres.",
        "message": "What went wrong, for people.",
        "trip": "With `conflict`: as it is now.",
    },
    "Message": {
        "data": "What the kind needs besides, or the company's own.",
        "text": "What is written; null where there is only `data`.",
    },
    "MessageList": {
        "after_seq": "The oldest messages above this seq. Not with `before_seq` or `cursor`.",
        "before_seq": "The newest messages below this seq. Not with `after_seq` or `cursor`.",
        "cursor": "`next_cursor` of the page before. Not with `before_seq` or `after_seq`.",
    },
    "NearbyDriver": {"driver_id": "The driver's user id."},
    "Offer": {
        "driver_id": "The user id of the driver who may accept.",
        "expires_at": "In ms since the epoch; not there for an offer without end.",
    },
    "Point": {"seq": "Grows from point to point within a `device`, by any step."},
    "Readiness": {"status": "Whether the server may get traffic."},
    "Health": {"status": "The process runs."},
    "Rejected": {
        "code": ("`invalid`, `stale`, `duplicate`, `future`, `inaccurate` or `implausible`."),
        "seq": "The point's; null where it had none that could be read.",
    },
    "SessionEnded": {
        "code": (
            "`token_expired`, `revoked` or `replaced`; or, with `retry`, `slow_consumer`, "
            "`draining` and the like."
        ),
        "retry": "Whether to connect again with the same token.",
    },
    "SessionExpiring": {"expires_at": "When the session ends, in ms since the epoch."},
    "SessionReady": {
        "expires_at": "When the token ends, in ms since the epoch.",
        "role": "The role in the token.",
        "status": "What a driver last said about taking trips; not there where it is not known.",
        "user_id": "`sub` of the token.",
    },
    "SessionRefreshed": {"expires_at": "When the session ends now, in ms since the epoch."},
    "SessionRefresh": {"token": "The new JWT, of the same `sub` and `role`."},
    "Shared": {
        "expires_at": "When the token ends at the latest, in ms since the epoch.",
        "token": "A JWT of the role `viewer` for this trip.",
    },
    "StatusNoted": {"status": "As noted."},
    "TripCreate": {
        "driver_id": "From staff only: who gets the first offer.",
        "expires_in_ms": "With `driver_id`: how long that offer stands, in ms.",
        "rider_id": "From staff, and required there: whose trip it is.",
    },
    "TripEdit": {
        "dropoff": "Where the trip goes from now on; null takes it away.",
        "metadata": "All of it, in place of what was before.",
        "stops": "All of them, in place of those before.",
        "version": "The version that the caller looked at; `conflict` if the trip has moved on.",
    },
    "TripList": {
        "driver_id": "Trips of this driver; a driver's own if a driver asks.",
        "rider_id": "Trips of this rider; a rider's own if a rider asks.",
        "status": "Trips in this state.",
    },
    "Trip": {
        "distance_m": (
            "How far the ride went, from `in_progress` to the end, in metres by its track; there "
            "some seconds after the end."
        ),
    },
    "TripEta": {
        "at": "When it was worked out, in ms since the epoch, by the server's clock.",
        "distance_m": "How far the driver has to go, in metres.",
    },
    "TrackLine": {"driver_id": "The driver's user id."},
    "TrackPart": {"driver_id": "The driver's user id."},
    "TrackPoint": {
        "seq": "As the driver's app numbered it.",
        "ts": "When it was measured, in ms since the epoch; a clock that is wrong is corrected.",
    },
    "TripLocation": {"seq": "The point's, within its device."},
    "TripOffer": {
        "driver_id": "Who may accept the trip.",
        "version": "The version that the caller looked at; `conflict` if the trip has moved on.",
    },
    "TripShare": {"expires_in_ms": "How long the link works at most, in ms."},
    "TripSubscribe": {"after_seq": "The newest message that the caller has."},
    "TripUpdate": {
        "driver_id": "Who drives: required when staff accepts a trip for a driver.",
        "pin": "For a driver who starts a ride that has a pin.",
        "reason": "Why. Kept with the change; of a trip that ends without a ride also in `reason`.",
        "status": "The state to move the trip to.",
        "version": "The version that the caller looked at; `conflict` if the trip has moved on.",
    },
    "UserPush": {
        "data": "What the event carries.",
        "event": "The event's name, none of the server's own and none of Socket.IO's.",
        "role": "Only the connections of this role; all of the user's if not given.",
    },
}

SHAPES: Final[dict[str, str]] = {
    "Answer": "Done, and nothing more to say.",
    "ChatClose": "Ends a conversation that is no trip's.",
    "ChatHistory": "Reads messages; without `before_seq` and `after_seq` the newest.",
    "ChatOpen": "Opens a conversation that is no trip's.",
    "ChatReceipt": "How far a participant is.",
    "ChatTyping": "A participant is writing, or no longer.",
    "ConversationIs": "The conversation.",
    "DriverAvailability": "What a driver says about taking trips.",
    "Destination": "What a driver heads for.",
    "DriverStatus": "Says whether the driver takes trips.",
    "ImageData": "Where an image is, and its size.",
    "Kind": (
        "`text` and `quick_reply` have a text, `location` has `data: {lat, lng}`, `image` has "
        "`data: {url, size}`; only the server and the service write `system`."
    ),
    "LocationData": "A place that was sent. Degrees WGS84.",
    "Marked": "How far the caller is now.",
    "MarkRead": "Says how far the user has received and read: at least one of the two.",
    "Offer": "To whom a trip is offered, and until when.",
    "Place": "A pick-up, a stop, a destination. Degrees WGS84.",
    "Role": "Who somebody is: `agent` and `service` are staff, `viewer` has a share link.",
    "Sent": "The message as it is stored.",
    "SessionEnded": "The session ends now, and why.",
    "SessionExpiring": "The token ends soon: send a new one with `session:refresh`.",
    "SessionRefresh": "Goes on with a new token.",
    "SessionRefreshed": "The session goes on.",
    "ShowTyping": "Says that the user is writing, or no longer.",
    "Status": (
        "A trip's state: `requested → accepted → arriving → arrived → in_progress → completed`; "
        "`cancelled` and `unfulfilled` (no driver) end it too."
    ),
    "StatusNoted": "What the driver said.",
    "TokenRevoke": "End the sessions of one token, and refuse it from now on.",
    "TripTrack": "Reads where the driver of a trip has been.",
    "Phase": "What the driver was doing for the trip.",
    "TrackFormat": "How a track is written.",
    "TripCreate": "Asks for a trip.",
    "TripDecline": "Says no to an offer.",
    "TripEta": "When the trip's driver arrives.",
    "TripGet": "Reads a trip.",
    "TripOffer": "Offers a requested trip to a driver, in place of an earlier offer.",
    "TripUnsubscribe": "Stops looking at a trip.",
    "TripUpdate": "Moves a trip to another state.",
}
"""What types are, where their docstrings are not for the documents' readers, or not there."""


def meaning(type_name: str, field: str) -> str:
    """What a field of a type means. Raises KeyError for one that nobody has described."""
    return OF_TYPES.get(type_name, {}).get(field) or FIELDS[field]
