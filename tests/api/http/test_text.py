"""Unusual and large values that are accepted, stored and returned unchanged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient, conversation_path, message_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.uploads import add_documents

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXTS = [
    "'; DROP TABLE users; --",
    '"quoted" AND "phrase"',
    "a* NEAR(b, 2) :* & | ! <-> NOT ^c",
    "100% _under_ \\% \\_ $1 ?1 :name {now}",
    "{curly} %s %(name)s ${VAR} {{template}}",
    "a\r\nSet-Cookie: b=c\r\n\r\n<script>alert(1)</script>",
    "\x01\x08\x1b[31m\x7f\x85",
    "\u202eright to left\u2066\u200b\ufeff\u2028\ufffe\uffff",
    "e\u0301 is not é, \u1e9b\u0323",
    "👩‍👩‍👧‍👦🇩🇪\U0010ffff",
    "مرحبا שלום 你好 ไทย",
    "\t leading and trailing \n",
    "null",
    "[1, 2]",
]


@pytest.mark.parametrize("text", TEXTS)
async def test_text_stored_unchanged(client: ParleyClient, text: str) -> None:
    """Metacharacters of SQL, full-text search, HTTP and terminals are plain text in every field."""
    fields: dict[str, Any] = {"title": text, "system_prompt": text, "metadata": {text[:64]: text}}
    response = await client.post("/conversations", json={"user_id": text, "message": text, "name": 1} | fields)
    expect_problem(response, 422, "validation-error")
    conversation = await client.create_conversation(user_id=text, message=text, **fields)
    assert {name: conversation[name] for name in fields} == fields
    assert (conversation["user_id"], conversation["assistant_reply"]) == (text, text)
    read = await client.get_conversation(conversation, user_id=text)
    assert {**read, "assistant_reply": text} == conversation
    assert [each["content"] for each in read["messages"]] == [text, text]
    listed = await client.get_json("/conversations", user_id=text, mode="open")
    assert [each["title"] for each in listed] == [text]


@pytest.mark.parametrize("text", TEXTS)
async def test_changed_text_stored_unchanged(client: ParleyClient, text: str) -> None:
    """Text set by PATCH and PUT is returned character by character."""
    conversation = await client.create_conversation(message="Hello")
    fields: dict[str, Any] = {"title": text, "system_prompt": text, "metadata": {text[:64]: text}}
    changed = (await client.patch(conversation_path(conversation), json=fields)).json()
    assert {name: changed[name] for name in fields} == fields
    message = message_path(conversation["messages"][0])
    edited = await client.put(message, json={"content": text})
    assert (edited.json()["content"], (await client.get_json(message))["content"]) == (text, text)
    renamed = await client.patch("/users/ada", json={"name": text})
    assert (renamed.json()["name"], (await client.get_json("/users/ada"))["name"]) == (text, text)


async def test_text_never_in_headers(client: ParleyClient) -> None:
    """Line ends in messages, titles and user ids create no header."""
    text = "a\r\nSet-Cookie: b=c"
    for body in ({"user_id": text}, {"user_id": "ada", "title": text}, {"user_id": "ada", "message": text}):
        response = await client.post("/conversations", json=body)
        assert response.status_code == 201
        assert "set-cookie" not in response.headers


async def test_model_name_is_any_text(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Any model name is sent to the provider and stored."""
    conversation = await openai_client.create_conversation()
    for text in TEXTS:
        answer = await openai_client.send(conversation, "Hello", model=text)
        assert answer["messages"][-1]["model"] == provider.calls[-1].body["model"] == text


async def test_unknown_model_name_printable(client: ParleyClient) -> None:
    """A refused name is shown in the problem without line ends and invisible characters."""
    conversation = await client.create_conversation()
    for text in TEXTS:
        for name in ("provider", "model"):
            problem = expect_problem(
                await client.post_message(conversation, "Hello", **{name: text}), 422, "unknown-model"
            )
            assert problem["detail"].isprintable()


async def test_largest_values_accepted(service: Service) -> None:
    """Every limit is the last accepted value, in characters rather than bytes."""
    fields: dict[str, Any] = {
        "user_id": "😀" * 200,
        "title": "😀" * 200,
        "system_prompt": "😀" * 16_000,
        "temperature": 2,
        "max_tokens": 2**31 - 1,
        "document_ids": [f"0199f000-0000-7000-8000-{n:012x}" for n in range(100)],
        "metadata": {f"{n:02}" + "é" * 62: "é" * 512 for n in range(16)},
    }
    await add_documents(service.database, fields["user_id"], fields["document_ids"])
    conversation = await service.client.create_conversation(**fields)
    assert {name: conversation[name] for name in fields} == fields
    answer = await service.client.send(conversation, "😀" * 32_000, max_tokens=1, temperature=0)
    assert answer["assistant_reply"] == "😀" * 32_000
    user = await service.client.patch(f"/users/{'😀' * 200}", json={"name": "😀" * 200})
    assert user.json()["name"] == "😀" * 200


@pytest.mark.parametrize("length", [512 * 1024, 512 * 1024 - 1])
async def test_body_of_512_kilobytes_accepted(client: ParleyClient, length: int) -> None:
    """A body of 524,288 bytes is accepted, with a length and in chunks."""
    body = b'{"user_id": "ada"}'.ljust(length)

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:100_000]
        yield body[100_000:]

    for content in (body, chunks()):
        response = await client.post("/users", content=content, headers={"Content-Type": "application/json"})
        assert response.is_success


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]
)
async def test_json_media_types_accepted(client: ParleyClient, content_type: str) -> None:
    """JSON media types are accepted in any case, with parameters and suffixes."""
    response = await client.post("/users", content=b'{"user_id": "ada"}', headers={"Content-Type": content_type})
    assert response.status_code == 201


async def test_surrogate_pair_is_one_character(client: ParleyClient) -> None:
    """Escaped surrogate pairs in JSON are the characters that they encode."""
    body = json.dumps({"user_id": "😀", "message": "😀"}).encode()
    assert b"\\ud83d\\ude00" in body
    response = await client.post("/conversations", content=body, headers={"Content-Type": "application/json"})
    assert (response.json()["user_id"], response.json()["assistant_reply"]) == ("😀", "😀")
