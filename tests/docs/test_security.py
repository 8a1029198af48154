"""SECURITY.md says what is so: settings, attacks, numbers."""

import re

from handlers.access import ACCESS
from realtime import heads, serving
from realtime.settings import MIN_SECRET_BYTES, VARIABLES
from realtime.websocket import AT_ONCE
from tests.docs.markdown import Document, plain
from tests.fuzz.guided import NAMES
from tests.handlers.mutated import cells
from tests.hostile.attacks import ATTACKS

SECURITY = Document("SECURITY.md")


def test_every_setting_that_is_mentioned_exists() -> None:
    mentioned = set(re.findall(r"`([A-Z][A-Z_]{3,})`", SECURITY.text))
    assert mentioned <= set(VARIABLES)
    assert len(mentioned) > 10


def test_every_attack_that_is_tried_is_in_the_table_and_no_other() -> None:
    assert [row["Attack"] for row in SECURITY.table("Attacks")] == list(ATTACKS)


def test_every_target_of_the_fuzzers_is_in_the_table() -> None:
    assert [row["Target"] for row in SECURITY.table("Fuzzing")] == list(NAMES)


def test_every_cell_of_the_rights_was_turned_round_and_noticed() -> None:
    rows = {plain(row["Row"]): row for row in SECURITY.table("Rights, one by one")}
    assert list(rows) == list(ACCESS)
    for event, row in rows.items():
        by_copy = [who for who in row["By the copy alone"].split(", ") if who != "none"]
        assert int(row["Cells"]) == sum(cell.event == event for cell in cells())
        assert int(row["Cells"]) == int(row["Noticed by trying"]) + len(by_copy)
    tried = sum(int(row["Noticed by trying"]) for row in rows.values())
    assert f"All {len(list(cells()))} changes are noticed, {tried} of them" in SECURITY.text


def test_the_numbers_are_those_of_the_code() -> None:
    happens = {row["Attack"]: plain(row["What happens"]) for row in SECURITY.table("Attacks")}
    assert f"{serving.SILENT_S:g} s for a request" in happens["handshakes that are not finished"]
    assert f"pieces of {AT_ONCE // 1024} KiB" in happens["a flood of commands"]
    assert f"an end may take {heads.MAX_UNFINISHED // 1024**2} MiB" in SECURITY.text
    assert f"under {MIN_SECRET_BYTES} bytes" in SECURITY.text
