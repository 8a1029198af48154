"""All promises, held against what is stored and what everybody recorded."""

from collections.abc import Sequence

from chaos.checks import answers, connection, lifetime, promptness, store
from chaos.checks.conditions import Conditions
from chaos.checks.known import Times
from chaos.checks.relations import Points
from chaos.checks.rights import Rights
from chaos.checks.tracks import Tracks
from chaos.checks.truth import Truth
from chaos.checks.violation import Violation
from chaos.load.record import Life, now


def check(truth: Truth, lives: Sequence[Life], conditions: Conditions) -> list[Violation]:
    """Everybody should know everything by now, and nothing be under way."""
    found = list(store.check(truth))
    rights, until = Rights(truth, Times(lives), Points(lives), conditions), now()
    tracks = Tracks(truth, conditions)
    for life in lives:
        found += answers.check(truth, life)
        found += connection.check(rights, life)
        found += lifetime.check(truth, life)
        found += promptness.check(conditions, life, until)
        found += tracks.check(life)
    return found
