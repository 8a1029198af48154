"""What the server counts: label values that are bounded, sums of what is counted in two places."""

from models.errors import Invalid, NotFound, TokenExpired, Unauthorized
from realtime.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_points_that_come_right_from_their_packets_are_commands_as_well() -> None:
    metrics = Metrics()
    metrics.direct_points["accepted"] += 3
    metrics.direct_points["stale"] += 1
    metrics.points.counts["accepted"] += 10
    metrics.commands.counts["driver:location", "ok"] += 1
    assert value(metrics, "ridewire_points_total", outcome="accepted") == 13
    assert value(metrics, "ridewire_points_total", outcome="stale") == 1
    labels = {"event": "driver:location", "outcome": "ok"}
    assert value(metrics, "ridewire_commands_total", **labels) == 5


def test_locations_are_sent_events() -> None:
    metrics = Metrics()
    metrics.relay.shown[1] += 4
    metrics.sent.counts["trip:location"] += 1
    assert value(metrics, "ridewire_sent_events_total", event="trip:location") == 5


def test_requests_are_counted_by_route_method_and_status() -> None:
    metrics = Metrics()
    metrics.answered_http("get_trip", "GET", 200, 0.003)
    metrics.answered_http("get_trip", "GET", 404, 0.001)
    counted = {"route": "get_trip", "method": "GET"}
    assert value(metrics, "ridewire_http_requests_total", **counted, status="200") == 1
    assert value(metrics, "ridewire_http_requests_total", **counted, status="404") == 1
    assert value(metrics, "ridewire_http_request_duration_seconds_count", **counted) == 2


def test_a_method_that_a_client_makes_up_is_no_label() -> None:
    metrics = Metrics()
    for number in range(3):
        metrics.answered_http("unknown", f"BREW{number}", 405, 0.001)
    labels = {"route": "unknown", "method": "other", "status": "405"}
    assert value(metrics, "ridewire_http_requests_total", **labels) == 3


def test_refused_tokens_are_counted_by_what_is_wrong() -> None:
    metrics = Metrics()
    metrics.refused_token(TokenExpired("the token has expired"))
    metrics.refused_token(Unauthorized("who?", "signature"))
    for other in (Invalid("an id"), NotFound("trip")):
        metrics.refused_token(other)
    name = "ridewire_authentication_failures_total"
    assert value(metrics, name, reason="expired") == 1
    assert value(metrics, name, reason="signature") == 1
    assert len(metrics.bad_tokens.counts) == 2


def test_a_store_tells_what_it_took_and_what_went_wrong() -> None:
    metrics = Metrics()
    metrics.mongodb.answered("find", 0.002)
    metrics.mongodb.answered("find", 4.0, "unavailable")
    metrics.mongodb.grouped("messages", 7)
    seconds = "ridewire_mongodb_operation_duration_seconds"
    assert value(metrics, f"{seconds}_count", operation="find") == 2
    errors = {"operation": "find", "error": "unavailable"}
    assert value(metrics, "ridewire_mongodb_errors_total", **errors) == 1
    assert value(metrics, "ridewire_group_commit_size_sum", group="messages") == 7


def test_several_servers_in_a_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.opened.counts[()] += 1
    assert value(one, "ridewire_opened_connections_total") == 1
    assert value(other, "ridewire_opened_connections_total") == 0
