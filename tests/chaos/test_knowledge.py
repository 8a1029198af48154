from chaos.load.knowledge import Knowledge, Ledger, Numbers
from models.identity import Role
from models.messages import Kind, Message


def message(seq: int) -> Message:
    return Message(
        id=f"m{seq}",
        conversation_id="t1",
        seq=seq,
        sender_id="rita",
        client_id=f"c{seq}",
        kind=Kind.TEXT,
        text="hello",
        sent_at=1,
    )


def test_an_app_asks_for_what_follows_the_first_hole() -> None:
    numbers = Numbers()
    for seq in (1, 2, 4):
        numbers.hear(seq)
    assert numbers.through == 2
    numbers.hear(3)
    assert numbers.through == 4


def test_what_was_read_fills_what_is_before_it() -> None:
    numbers = Numbers()
    numbers.hear(9)
    numbers.cover(8)
    assert numbers.through == 9


def test_after_an_empty_reading_the_next_message_is_the_first() -> None:
    before, after = Numbers(), Numbers()
    before.hear(7)
    before.cover_nothing()
    after.cover_nothing()
    after.hear(7)
    assert before.through == after.through == 7


def test_what_was_said_on_a_trip_that_is_not_known_yet_counts_once_it_is() -> None:
    knowledge = Knowledge(Role.RIDER, "rita", Ledger())
    knowledge.hear_message(message(1))
    known = knowledge.trip("t1")
    knowledge.hear_message(message(2))
    assert known.seqs.through == 2
    assert not knowledge.chats


def test_an_app_is_not_behind_with_what_it_has_just_asked_for() -> None:
    ledger = Ledger()
    knowledge = Knowledge(Role.AGENT, "ann", ledger)
    knowledge.trip("asked-for-before")
    for trip_id in ("asked-for-before", "asked-for-since"):
        ledger.note_version(trip_id, 1)
    due = ledger.copy()
    knowledge.trip("asked-for-since").asked_at = due.at + 1
    assert knowledge.lags(due) == ["asked-for-before version 0 of 1"]


def test_an_app_lags_until_it_knows_what_is_due() -> None:
    ledger = Ledger()
    knowledge = Knowledge(Role.RIDER, "rita", ledger)
    knowledge.seqs("chat")
    ledger.note_seq("chat", 2)
    assert knowledge.lags(ledger) == ["chat seq 0 of 2"]
    knowledge.read_messages("chat", [], 2)
    assert knowledge.lags(ledger) == []
