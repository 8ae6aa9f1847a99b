from __future__ import annotations

from tests.support.service import Service


async def test_a_first_message_makes_title_and_both_messages(service: Service) -> None:
    """A conversation made with a message is answered, titled and numbered 1 and 2."""
    response = await service.client.post("/conversations", json={"user_id": 1, "message": "Hello **you**"})
    made = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/conversations/{made['conversation_id']}"
    assert (made["title"], made["title_source"], made["user_id"]) == ("Hello you", "message", "1")
    assert made["assistant_reply"] == "Hello **you**"
    assert [(m["sequence_number"], m["role"]) for m in made["messages"]] == [(1, "user"), (2, "assistant")]
