"""What a run prints: the progress while it rides, the table and the verdict in the end."""

import math
from collections import Counter
from collections.abc import Sequence

from realtime.simulation.lag import Lag
from realtime.simulation.record import Count
from realtime.simulation.tally import Tally


def progress(tally: Tally, elapsed_s: float) -> str:
    """One line."""
    locations = tally.locations
    under_way = [ride.relay for ride in tally.rides if not ride.is_finished]
    recent = [latency for relay in under_way for latency in relay.latencies_s]
    return (
        f"{elapsed_s:4.0f} s  rides {len(tally.rides):,}, finished {tally.finished:,}"
        f"  locations {locations.heard:,}, lost {locations.lost:,},"
        f" p95 {_ms(percentile(recent, 0.95))} ms"
    )


def table(tally: Tally, lag: Lag) -> str:
    lines = [
        f"rides           {len(tally.rides):,} started, {tally.finished:,} finished",
        f"connections     {tally.connections:,} opened, {tally.reconnections:,} times reconnected",
        "",
        _row("", "sent", "received", "lost", "doubled", "out of order"),
        _counted("locations", tally.locations),
        _counted("messages", tally.messages),
        _counted("status events", tally.statuses),
        "",
        _row("latency, ms", "p50", "p95", "p99", "longest"),
        _measured("locations", tally.location_latencies_s()),
        _measured("messages", tally.message_latencies_s()),
        _measured("own lateness", lag.delays_s),
        "",
        *_remarks(tally, lag),
        *_disturbed(tally),
        *_listed("errors", tally.errors),
        *_listed("tried again", tally.put_off),
    ]
    return "\n".join(lines)


def verdict(tally: Tally) -> str:
    """The last line: what is wrong, or that nothing is."""
    problems = tally.problems()
    if problems:
        return f"NOT GOOD: {'; '.join(problems)}."
    messages, statuses = tally.messages.sent, tally.statuses.sent
    rides = "ride" if tally.finished == 1 else "rides"
    return (
        f"All is well: {tally.finished:,} {rides} finished; every location that was due,"
        f" {messages:,} messages and {statuses:,} status events arrived, once and in order."
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed; nan of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _remarks(tally: Tally, lag: Lag) -> list[str]:
    overtaken = sum(ride.relay.overtaken for ride in tally.rides)
    not_due = sum(ride.relay.not_due for ride in tally.rides)
    return [
        f"Of the locations, {overtaken:,} were overtaken by a newer one, and {not_due:,} were for",
        "nobody: sent before a ride was accepted, or on their way as it ended.",
        "The latencies of messages count the time without a connection; those of locations do not.",
        f"The simulation took {lag.cpu_share:.0%} of a core; its own lateness is in the latencies.",
    ]


def _disturbed(tally: Tally) -> list[str]:
    """What was done to points on purpose, and what the server did with them."""
    if not tally.faults:
        return []
    done = ", ".join(f"{times:,} {name}" for name, times in sorted(tally.faults.items()))
    points = tally.points
    codes = sorted(points.keys() - {"sent", "accepted"})
    rejected = ", ".join(f"{points[code]:,} {code}" for code in codes) or "none"
    return [
        "",
        f"faults          {done}",
        f"points          {points['sent']:,} sent, {points['accepted']:,} accepted",
        f"rejected        {rejected}",
    ]


def _counted(name: str, count: Count) -> str:
    numbers = count.sent, count.heard, count.lost, count.doubled, count.out_of_order
    return _row(name, *(f"{number:,}" for number in numbers))


def _measured(name: str, latencies_s: Sequence[float]) -> str:
    return _row(name, *(_ms(percentile(latencies_s, share)) for share in (0.5, 0.95, 0.99, 1.0)))


def _row(name: str, *cells: str) -> str:
    return f"{name:<14}" + "".join(f"{cell:>14}" for cell in cells)


def _ms(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{1000 * seconds:,.1f}"


def _listed(title: str, errors: Counter[str]) -> list[str]:
    if not errors:
        return []
    return ["", f"{title}:", *(f"  {times:>7,}  {name}" for name, times in errors.most_common())]
