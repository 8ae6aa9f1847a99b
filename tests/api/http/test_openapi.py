"""The OpenAPI document, compared with the answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.api import turn_responses
from app.api.routes import documents
from app.api.schemas.conversations import ConversationOut, ConversationWithMessages, CreatedConversation
from app.api.schemas.deletion import Deleted
from app.api.schemas.events import (
    DOCUMENT_EVENT_NAMES,
    EVENT_NAMES,
    DocumentSeen,
    MessageDelta,
    MessageEnded,
    TurnStarted,
    event_schemas,
)
from app.api.schemas.fields import MessageText, Name, Output, ProviderName, SearchText, SystemPrompt, Title, UserId
from app.api.schemas.health import HealthOut
from app.api.schemas.messages import MessageOut, TurnOut
from app.api.schemas.users import UserOut
from tests.support.documented import Documented
from tests.support.parley_client import ParleyClient, conversation_path, document_path, message_path
from tests.support.provider import FakeProvider
from tests.support.replies import unauthorized
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPERATIONS = {
    "/": {"get"},
    "/health": {"get"},
    "/livez": {"get"},
    "/readyz": {"get"},
    "/users": {"post"},
    "/users/{user_id}": {"get", "patch", "delete"},
    "/conversations": {"get", "post"},
    "/conversations/{conversation_id}": {"get", "patch", "delete"},
    "/conversations/{conversation_id}/messages": {"get", "post"},
    "/conversations/{conversation_id}/messages/{message_id}": {"get", "put", "delete"},
}
MESSAGES = "/conversations/{conversation_id}/messages"
STREAMED = [("/conversations", "post"), (MESSAGES, "post"), (f"{MESSAGES}/{{message_id}}/regenerate", "post")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(shared_service: Service) -> Any:
    """The OpenAPI document as it is served."""
    return await shared_service.client.get_json("/openapi.json")


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Generate the operations as path, method and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(part: Any) -> Iterator[str]:
    """Generate every `$ref` in a part of the document."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


async def test_every_operation_documented(document: Any) -> None:
    """The document is OpenAPI 3.1 and has every path with its methods."""
    assert document["openapi"].startswith("3.1")
    documented = {path: set(methods) for path, methods in document["paths"].items()}
    assert {path: documented.get(path) for path in OPERATIONS} == OPERATIONS
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


async def test_references_resolve(document: Any) -> None:
    """Each `$ref` resolves to a component, and each component is used."""
    components = document["components"]
    there = {f"#/components/{kind}/{name}" for kind, named in components.items() for name in named}
    assert set(references(document)) == there


async def test_path_parameters_documented(document: Any) -> None:
    """Every parameter of a path is documented, and every operation takes `user_id`."""
    for path, method, operation in operations(document):
        parameters = {(each["in"], each["name"]) for each in operation["parameters"]}
        braced = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert {name for place, name in parameters if place == "path"} == braced, (method, path)
        assert ("query", "user_id") in parameters, (method, path)
        # OpenAPI has these elsewhere (3.1, Parameter Object).
        assert not parameters & {("header", name) for name in ("accept", "content-type", "authorization")}


async def test_refusals_documented_as_problems(document: Any) -> None:
    """Every error status is documented as problem+json with its possible codes."""
    codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    for path, method, operation in operations(document):
        refusals = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert refusals.keys() >= {"400", "413", "414", "415", "422", "431", "500"}, (method, path)
        for answer in refusals.values():
            schema = answer["content"]["application/problem+json"]["schema"]
            assert schema["$ref"] == "#/components/schemas/Problem"
            assert set(schema["properties"]["code"]["enum"]) <= set(codes)
            assert answer["content"].keys() == {"application/problem+json"}
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_answers_documented_by_status(document: Any) -> None:
    """Each answer has a status of its own and the `X-Request-ID` header."""
    for path, method, operation in operations(document):
        assert all(status.isdigit() for status in operation["responses"]), (method, path)
        assert all("X-Request-ID" in answer["headers"] for answer in operation["responses"].values()), (method, path)
    for status in ("200", "201"):
        answer = document["paths"]["/users"]["post"]["responses"][status]
        assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/UserOut"}


async def test_undocumented_answer_fails_test(document: Any) -> None:
    """The tests' clients fail for a status, media type, header or code that is not documented."""
    check = Documented(document).check
    request = httpx2.Request("GET", "http://127.0.0.1/users/a/b/")
    headers = {"X-Request-ID": "1", "Content-Type": "application/problem+json"}
    await check(httpx2.Response(404, headers=headers, json={"code": "user-not-found"}, request=request))
    await check(httpx2.Response(405, request=httpx2.Request("PUT", request.url)))
    for status, changes, code in (
        (409, {}, "conflict"),
        (404, {}, "message-not-found"),
        (200, {}, "user-not-found"),
        (404, {"X-Request-ID": None}, "user-not-found"),
        (503, {}, "database-unavailable"),
    ):
        sent = {name: value for name, value in (headers | changes).items() if value is not None}
        with pytest.raises(AssertionError, match=r"^GET \S+/users/a/b/ answered"):
            await check(httpx2.Response(status, headers=sent, json={"code": code}, request=request))


async def test_links_lead_to_operations(document: Any) -> None:
    """Each link names an operation and its parameters, taken from fields of the answer."""
    known = {each["operationId"]: each for _, _, each in operations(document)}
    found = [
        (link, answer)
        for each in known.values()
        for answer in each["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(found) > 30
    for link, answer in found:
        there = {f"{each['in']}.{each['name']}" for each in known[link["operationId"]]["parameters"]}
        assert link["parameters"].keys() <= there
        name = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        members = document["components"]["schemas"][name]["properties"]
        assert all(value.split("/")[1] in members for value in link["parameters"].values())


async def test_streams_documented(document: Any) -> None:
    """Every operation that streams has a schema of its events."""
    for path, method in STREAMED:
        responses = document["paths"][path][method]["responses"]
        content = responses["200"]["content"]
        assert content.keys() == {"text/event-stream"}
        events = [each["$ref"].rpartition("/")[2] for each in content["text/event-stream"]["schema"]["oneOf"]]
        assert {"TurnStarted", "RetrievalCompleted", "MessageDelta", "MessageEnded", "StreamClosing"} == set(events)
        assert "application/json" in responses["201"]["content"]
    for path in (f"{MESSAGES}/{{message_id}}/events", "/documents/{document_id}/events"):
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert content.keys() == {"text/event-stream"}
        assert content["text/event-stream"]["schema"].keys() == {"oneOf"}


async def test_stream_end_documented(document: Any) -> None:
    """Event streams document the 204 for a reader that has all events."""
    for path in (f"{MESSAGES}/{{message_id}}/events", "/documents/{document_id}/events"):
        nothing = document["paths"][path]["get"]["responses"]["204"]
        assert "content" not in nothing
        assert nothing["headers"]["Cache-Control"]["schema"] == {"type": "string", "const": "no-store"}


async def test_user_id_schema(document: Any) -> None:
    """A body's `user_id` is documented as text or integer."""
    schema = document["components"]["schemas"]["NewConversationBody"]
    types = {each["type"] for each in schema["properties"]["user_id"]["anyOf"]}
    assert types == {"string", "integer"}
    assert schema["additionalProperties"] is False


async def test_conversation_answers_match(client: ParleyClient) -> None:
    """All answers about conversations have exactly the documented fields."""
    empty, made = (
        await client.create_conversation(),
        await client.create_conversation(message="Hello", metadata={"a": "b"}),
    )
    check_answers(CreatedConversation, empty, made)
    check_answers(
        ConversationWithMessages,
        await client.get_conversation(empty),
        await client.get_conversation(made),
    )
    check_answers(ConversationOut, *await client.get_json("/conversations", user_id="ada"))
    check_answers(ConversationOut, (await client.patch(conversation_path(made), json={"title": "New"})).json())
    check_answers(Deleted, (await client.delete(conversation_path(made))).json())


async def test_message_answers_match(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """All answers about messages, failed ones too, have exactly the documented fields."""
    conversation = await openai_client.create_conversation()
    provider.answer(unauthorized())
    failed = (await openai_client.stream_all(conversation, "Hello"))[-1]
    check_answers(TurnOut, await openai_client.send(conversation, "Hello"))
    check_answers(MessageOut, failed.data["message"], *await openai_client.get_messages(conversation))
    path = message_path(failed.data["message"])
    check_answers(MessageOut, await openai_client.get_json(path))
    check_answers(Deleted, (await openai_client.delete(path)).json())


async def test_turn_events_match(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Every event of a turn matches its schema in id, name and data."""
    conversation = await openai_client.create_conversation()
    well = await openai_client.post_message(conversation, "Hello", stream=True)
    provider.answer(unauthorized())
    badly = await openai_client.post_message(conversation, "Hello", stream=True)
    found = [check_event(block, EVENT_NAMES) for block in (well.text + badly.text).split("\n\n") if block]
    assert set(found) == {TurnStarted, MessageDelta, MessageEnded}


async def test_document_events_match(client: ParleyClient) -> None:
    """Every event of a document matches its schema."""
    form: dict[str, Any] = {"files": {"file": ("a.txt", b"Thirty days of leave.")}, "data": {"user_id": "ada"}}
    made = (await client.post("/documents", **form)).json()
    stream = await client.get(f"{document_path(made)}/events")
    assert {check_event(block, DOCUMENT_EVENT_NAMES) for block in stream.text.split("\n\n") if block} == {DocumentSeen}


async def test_every_event_has_a_schema() -> None:
    """All names of events that streams send are in the schemas."""
    named = {name for names in (*EVENT_NAMES.values(), *DOCUMENT_EVENT_NAMES.values()) for name in names}
    assert named >= {*turn_responses.TERMINAL_EVENTS.values(), *documents.TERMINAL_EVENTS.values()}


@given(st.text(max_size=8) | st.text(alphabet=".\0 \t\n\x1c\x85\u200b\ufeff\u3000a", max_size=4))
async def test_text_patterns_match_validators(text: str) -> None:
    """The schemas of text fields accept exactly the same text as their validators."""
    kinds: tuple[Any, ...] = (Name, Title, MessageText, SearchText, SystemPrompt, ProviderName, UserId)
    for kind in kinds:
        adapter: TypeAdapter[str] = TypeAdapter(kind)
        schema = adapter.json_schema()
        fits = re.search(schema["pattern"], text) is not None and len(text) >= schema.get("minLength", 0)
        excluded = text in schema.get("not", {}).get("enum", ())
        assert accepts(adapter, text) == (fits and not excluded), kind


def accepts(adapter: TypeAdapter[str], value: object) -> bool:
    """Return whether a value is valid."""
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def check_event(block: str, names: dict[type[Output], list[str]]) -> type[Output]:
    """Return the model of an event, having compared its fields with the schema."""
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    [model] = [model for model in names if fields["event"] in names[model]]
    schema = event_schemas(names)[model.__name__]
    assert fields.keys() == set(schema["required"])
    assert re.search(schema["properties"]["id"]["pattern"], fields["id"])
    check_answers(model, json.loads(fields["data"]))
    return model


async def test_other_answers_match(client: ParleyClient) -> None:
    """All answers about users and health have exactly the documented fields."""
    check_answers(UserOut, (await client.post("/users", json={"user_id": "ada"})).json())
    check_answers(UserOut, await client.get_json("/users/ada"))
    check_answers(HealthOut, *[await client.get_json(path) for path in ("/", "/health", "/livez", "/readyz")])


def check_answers(model: type[Output], *answers: Any) -> None:
    """Check that answers have exactly the fields of a documented model, with their types."""
    assert answers
    for answer in answers:
        assert model.model_validate(answer).model_dump(mode="json", exclude_unset=True) == answer
        assert {name for name, field in model.model_fields.items() if field.is_required()} <= answer.keys()
