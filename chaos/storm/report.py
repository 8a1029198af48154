"""What a storm came to, for a terminal and for the page."""

from collections.abc import Iterator

from chaos.storm.measure import Figures


def rows(figures: Figures) -> Iterator[tuple[str, str]]:
    """What was measured, and how much it was."""
    before, after = figures.memory_mib
    yield "until all are back", f"{figures.back_s:.1f} s"
    shortest, longest = figures.waits_s
    yield "told to come later (503)", f"{figures.refused:,}, in {shortest} to {longest} s"
    yield "told to come again, as the stores were slow (`busy`)", f"{figures.busy:,}"
    yield "longest gap between locations of a ride there", f"{figures.gap_s:.2f} s"
    yield "memory of the instance, before and after", f"{before:.0f} MiB, {after:.0f} MiB"
    yield "CPU time of the instance", f"{figures.cpu_s:.1f} s"
    yield "operations of MongoDB for each client", f"{figures.queries:.2f}"
    yield "sessions without all of what was theirs, or other failures", f"{len(figures.wrongs)}"


def table(figures: Figures) -> str:
    return "\n".join(f"{what:<60}{value:>24}" for what, value in rows(figures))


def markdown(figures: Figures) -> str:
    head = [f"| {figures.clients:,} clients at once | |", "| --- | ---: |"]
    return "\n".join([*head, *(f"| {what} | {value} |" for what, value in rows(figures))])
