"""Text and values that look dangerous or large and are welcome: stored and read back as they are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.talk import got, make, messages_of, path_of, problem_of, say, told
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.shelf import Shelf

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
async def test_every_text_is_kept_as_it_is(service: Service, text: str) -> None:
    """Metacharacters of SQL, of full-text search, of HTTP and of terminals are text wherever text is taken."""
    fields: dict[str, Any] = {"title": text, "system_prompt": text, "metadata": {text[:64]: text}}
    response = await service.client.post("/conversations", json={"user_id": text, "message": text, "name": 1} | fields)
    problem_of(response, 422, "validation-error")
    made = await make(service, user_id=text, message=text, **fields)
    assert {name: made[name] for name in fields} == fields
    assert (made["user_id"], made["assistant_reply"]) == (text, text)
    read = await got(service, path_of(made), user_id=text)
    assert {**read, "assistant_reply": text} == made
    assert [each["content"] for each in read["messages"]] == [text, text]
    listed = await got(service, "/conversations", user_id=text, mode="open")
    assert [each["title"] for each in listed] == [text]


@pytest.mark.parametrize("text", TEXTS)
async def test_changed_text_is_kept_as_it_is(service: Service, text: str) -> None:
    """What PATCH and PUT set is read back character by character."""
    made = await make(service, message="Hello")
    fields: dict[str, Any] = {"title": text, "system_prompt": text, "metadata": {text[:64]: text}}
    changed = (await service.client.patch(path_of(made), json=fields)).json()
    assert {name: changed[name] for name in fields} == fields
    message = f"{messages_of(made)}/{made['messages'][0]['message_id']}"
    edited = await service.client.put(message, json={"content": text})
    assert (edited.json()["content"], (await got(service, message))["content"]) == (text, text)
    renamed = await service.client.patch("/users/ada", json={"name": text})
    assert (renamed.json()["name"], (await got(service, "/users/ada"))["name"]) == (text, text)


async def test_text_does_not_reach_headers(service: Service) -> None:
    """Line ends in a message, a title or a user's id make no header."""
    text = "a\r\nSet-Cookie: b=c"
    for body in ({"user_id": text}, {"user_id": "ada", "title": text}, {"user_id": "ada", "message": text}):
        response = await service.client.post("/conversations", json=body)
        assert response.status_code == 201
        assert "set-cookie" not in response.headers


async def test_a_models_name_may_be_any_text(openai_service: Service, provider: FakeProvider) -> None:
    """Only the provider knows its models, so whatever name is given reaches it and is stored."""
    made = await make(openai_service)
    for text in TEXTS:
        answer = await told(openai_service, made, "Hello", model=text)
        assert answer["messages"][-1]["model"] == provider.calls[-1].body["model"] == text


async def test_an_unknown_models_name_is_shown_harmlessly(service: Service) -> None:
    """A name that is refused is shown in the problem without line ends or invisible characters."""
    made = await make(service)
    for text in TEXTS:
        for name in ("provider", "model"):
            problem = problem_of(await say(service, made, "Hello", **{name: text}), 422, "unknown-model")
            assert problem["detail"].isprintable()


async def test_the_largest_values_are_taken(service: Service) -> None:
    """Every limit is the last value that is taken, counted in characters and not in bytes."""
    shelf = Shelf(service)
    await service.client.post("/users", json={"user_id": "😀" * 200})
    fields: dict[str, Any] = {
        "user_id": "😀" * 200,
        "title": "😀" * 200,
        "system_prompt": "😀" * 16_000,
        "temperature": 2,
        "max_tokens": 2**31 - 1,
        "document_ids": [await shelf.add("😀" * 200, f"{n}.txt") for n in range(100)],
        "metadata": {f"{n:02}" + "é" * 62: "é" * 512 for n in range(16)},
    }
    made = await make(service, **fields)
    assert {name: made[name] for name in fields} == fields
    answer = await told(service, made, "😀" * 32_000, max_tokens=1, temperature=0)
    assert answer["assistant_reply"] == "😀" * 32_000
    user = await service.client.patch(f"/users/{'😀' * 200}", json={"name": "😀" * 200})
    assert user.json()["name"] == "😀" * 200


@pytest.mark.parametrize("length", [512 * 1024, 512 * 1024 - 1])
async def test_a_body_may_have_512_kilobytes(service: Service, length: int) -> None:
    """A body of up to 524,288 bytes is read, with its length given or in chunks."""
    body = b'{"user_id": "ada"}'.ljust(length)

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:100_000]
        yield body[100_000:]

    for content in (body, chunks()):
        response = await service.client.post("/users", content=content, headers={"Content-Type": "application/json"})
        assert response.is_success


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]
)
async def test_json_goes_by_many_names(service: Service, content_type: str) -> None:
    """A media type of JSON is taken whatever its case, its parameters and its flavour."""
    response = await service.client.post(
        "/users", content=b'{"user_id": "ada"}', headers={"Content-Type": content_type}
    )
    assert response.status_code == 201


async def test_a_pair_of_surrogates_is_a_character(service: Service) -> None:
    """JSON's escaped pairs are the characters that they stand for."""
    body = json.dumps({"user_id": "😀", "message": "😀"}).encode()
    assert b"\\ud83d\\ude00" in body
    response = await service.client.post("/conversations", content=body, headers={"Content-Type": "application/json"})
    assert (response.json()["user_id"], response.json()["assistant_reply"]) == ("😀", "😀")
