"""Conversations over HTTP: opened, written in, read page by page."""

from typing import Any

import pytest

from tests.conftest import fresh
from tests.http.conftest import Caller, Company


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"client_id": fresh("message"), "text": words, **more}


async def write(caller: Caller, conversation_id: str, count: int) -> None:
    for n in range(count):
        await caller.ok("POST", f"/v1/conversations/{conversation_id}/messages", text(f"{n + 1}"))


async def pages(caller: Caller, path: str, **query: Any) -> list[list[int]]:
    """The seqs of every page."""
    found = []
    while True:
        page = await caller.ok("GET", path, query=query)
        found.append([message["seq"] for message in page["items"]])
        if page["next_cursor"] is None:
            return found
        query = {"limit": query["limit"], "cursor": page["next_cursor"]}


async def test_a_message_of_the_back_end_is_stored_and_answered(company: Company) -> None:
    trip_id = await company.trip("accepted")
    path = f"/v1/conversations/{trip_id}/messages"
    sent = text("your driver is near", kind="system")
    answer = await company.service.ask("POST", path, sent)
    assert answer.status == 201
    assert (answer.json["seq"], answer.json["kind"]) == (1, "system")
    for caller in (company.rider, company.driver, company.agent):
        assert (await caller.ok("GET", path))["items"] == [answer.json]


async def test_a_retried_message_is_stored_once(company: Company) -> None:
    path = f"/v1/conversations/{await company.trip()}/messages"
    body = text("hello")
    first = await company.rider.ok("POST", path, body)
    del body["client_id"]
    again = await company.rider.ok(
        "POST", path, body, headers={"Idempotency-Key": first["client_id"]}
    )
    assert again == first


async def test_pages_go_back_from_the_newest(company: Company) -> None:
    conversation_id = await company.conversation()
    await write(company.rider, conversation_id, 5)
    path = f"/v1/conversations/{conversation_id}/messages"
    assert await pages(company.rider, path, limit=2) == [[4, 5], [2, 3], [1]]
    assert await pages(company.rider, path, limit=5) == [[1, 2, 3, 4, 5]]
    assert await pages(company.rider, path, limit=2, before_seq=4) == [[2, 3], [1]]


async def test_pages_go_forward_from_a_seq(company: Company) -> None:
    conversation_id = await company.conversation()
    await write(company.rider, conversation_id, 5)
    path = f"/v1/conversations/{conversation_id}/messages"
    assert await pages(company.agent, path, limit=2, after_seq=0) == [[1, 2], [3, 4], [5]]
    assert await pages(company.agent, path, limit=2, after_seq=5) == [[]]


async def test_a_driver_reads_what_was_written_since_it_accepted(company: Company) -> None:
    trip_id = await company.trip()
    await write(company.rider, trip_id, 3)
    accepted = {"status": "accepted", "driver_id": company.driver_id}
    await company.service.ok("POST", f"/v1/trips/{trip_id}/status", accepted)
    await write(company.rider, trip_id, 2)
    path = f"/v1/conversations/{trip_id}/messages"
    assert await pages(company.driver, path, limit=1) == [[5], [4]]


async def test_another_conversations_cursor_is_refused(company: Company) -> None:
    one, other = await company.conversation(), await company.conversation()
    await write(company.rider, one, 2)
    page = await company.rider.ok("GET", f"/v1/conversations/{one}/messages", query={"limit": 1})
    answer = await company.rider.ask(
        "GET", f"/v1/conversations/{other}/messages", query={"cursor": page["next_cursor"]}
    )
    assert (answer.status, answer.error["path"]) == (400, "cursor")


async def test_a_page_starts_at_one_place(company: Company) -> None:
    path = f"/v1/conversations/{await company.conversation()}/messages"
    for query in ("before_seq=3&after_seq=1", "before_seq=3&cursor=x", "after_seq=3&cursor=x"):
        assert await company.rider.refused("GET", f"{path}?{query}") == "400 invalid"


async def test_a_conversation_is_opened_once(company: Company) -> None:
    body = {"client_id": fresh("open"), "participants": [company.rider_id], "title": "Lost keys"}
    answer = await company.agent.ask("POST", "/v1/conversations", body)
    assert answer.status == 201
    assert (answer.json["participants"], answer.json["title"]) == ([company.rider_id], "Lost keys")
    assert await company.agent.ok("POST", "/v1/conversations", body) == answer.json


async def test_the_same_user_in_two_roles_opens_two_conversations(company: Company) -> None:
    user_id, client_id = fresh("dual"), fresh("open")
    opened = [
        await company.caller(role, user_id).ok(
            "POST", "/v1/conversations", {"client_id": client_id, "participants": [role]}
        )
        for role in ("agent", "service")
    ]
    assert [conversation["participants"] for conversation in opened] == [["agent"], ["service"]]


async def test_strangers_find_no_conversation(company: Company) -> None:
    for conversation_id in (await company.conversation(), await company.trip(), fresh("none")):
        path = f"/v1/conversations/{conversation_id}/messages"
        assert await company.stranger.refused("GET", path) == "404 not_found"
        assert await company.stranger.refused("POST", path, text("hi")) == "404 not_found"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"text": ""}, "text"),
        ({"text": "x" * 2_001}, "text"),
        ({"text": 7}, "text"),
        ({"kind": "shout", "text": "x"}, "kind"),
        ({"kind": "image", "data": {"url": "javascript:alert(1)", "size": 1}}, "data.url"),
        ({"text": "x", "client_id": "a b"}, "client_id"),
        ({"text": "x", "conversation_id": "another"}, "conversation_id"),
    ],
)
async def test_a_wrong_message_says_where_and_changes_nothing(
    company: Company, body: dict[str, Any], path: str
) -> None:
    messages = f"/v1/conversations/{await company.conversation()}/messages"
    answer = await company.rider.ask("POST", messages, {"client_id": fresh("m"), **body})
    assert answer.status == 400
    assert (answer.error["code"], answer.error["path"]) == ("invalid", path)
    assert (await company.rider.ok("GET", messages))["items"] == []
