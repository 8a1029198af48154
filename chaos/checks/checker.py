"""All promises, held against what is stored and what everybody recorded."""

from collections.abc import Sequence

from chaos.checks import answers, connection, lifetime, store
from chaos.checks.connection import Evidence
from chaos.checks.relations import Points, Times
from chaos.checks.truth import Truth
from chaos.checks.violation import Violation
from chaos.load.record import Life


def check(truth: Truth, lives: Sequence[Life]) -> list[Violation]:
    """Everybody should know everything by now, and nothing be under way."""
    found = list(store.check(truth))
    evidence = Evidence(truth, Times(lives), Points(lives))
    for life in lives:
        found += answers.check(truth, life)
        found += connection.check(evidence, life)
        found += lifetime.check(truth, life)
    return found
