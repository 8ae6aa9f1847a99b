from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_asyncio

from app.api.routes.conversations import Deleted
from app.api.routes.health import HealthOut
from app.api.schemas.conversations import ConversationOut, ConversationWithMessages, CreatedConversation
from app.api.schemas.events import MessageDelta, MessageEnded, TurnStarted
from app.api.schemas.fields import Output
from app.api.schemas.messages import MessageOut, TurnOut
from app.api.schemas.users import UserOut
from tests.api.talk import got, make, messages_of, path_of, streamed, told
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
    return await got(shared_service, "/openapi.json")


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Every operation, with its path and its method."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(part: Any) -> Iterator[str]:
    """Every `$ref` in a part of the document."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


async def test_every_operation_is_documented(document: Any) -> None:
    """The document is OpenAPI 3.1 and names every path of the contract with its methods."""
    assert document["openapi"].startswith("3.1")
    documented = {path: set(methods) for path, methods in document["paths"].items()}
    assert {path: documented.get(path) for path in OPERATIONS} == OPERATIONS
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


async def test_every_reference_leads_somewhere(document: Any) -> None:
    """Each `$ref` points to a schema that is there, and each schema is referred to."""
    named = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert named == document["components"]["schemas"].keys()


async def test_every_path_parameter_is_described(document: Any) -> None:
    """The names in a path's braces are its parameters, and every operation takes `user_id`."""
    for path, method, operation in operations(document):
        parameters = {(each["in"], each["name"]) for each in operation["parameters"]}
        braced = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert {name for place, name in parameters if place == "path"} == braced, (method, path)
        assert ("query", "user_id") in parameters, (method, path)


async def test_every_operation_may_answer_with_a_problem(document: Any) -> None:
    """Refusals are problem+json everywhere, and the framework's own error is nowhere."""
    for path, method, operation in operations(document):
        responses = operation["responses"]
        expected = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        assert responses["default"]["content"] == expected, (method, path)
        assert "422" not in responses
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_streams_are_documented(document: Any) -> None:
    """What answers with a stream says so, with a schema of its events."""
    for path, method in STREAMED:
        responses = document["paths"][path][method]["responses"]
        content = responses["200"]["content"]
        assert content.keys() == {"text/event-stream"}
        events = [each["$ref"].rpartition("/")[2] for each in content["text/event-stream"]["schema"]["oneOf"]]
        assert {"TurnStarted", "RetrievalCompleted", "MessageDelta", "MessageEnded", "StreamClosing"} == set(events)
        assert "application/json" in responses["201"]["content"]
    others = {"200", "201", "202", "204", "default"}
    assert all(operation["responses"].keys() <= others for _, _, operation in operations(document))


async def test_the_end_of_streams_is_documented(document: Any) -> None:
    """What streams events by GET says that it may answer that there are no more, with that answer's headers."""
    for path in (f"{MESSAGES}/{{message_id}}/events", "/documents/{document_id}/events"):
        nothing = document["paths"][path]["get"]["responses"]["204"]
        assert "content" not in nothing
        assert nothing["headers"]["Cache-Control"]["schema"] == {"type": "string", "const": "no-store"}


async def test_a_user_id_is_documented_as_text_or_a_number(document: Any) -> None:
    """A body's `user_id` is described with both types that it may have, and its limits."""
    schema = document["components"]["schemas"]["NewConversationBody"]
    types = {each["type"] for each in schema["properties"]["user_id"]["anyOf"]}
    assert types == {"string", "integer"}
    assert schema["additionalProperties"] is False


async def test_answers_about_conversations_are_as_documented(service: Service) -> None:
    """What is answered about conversations has the documented members and no others."""
    empty, made = await make(service), await make(service, message="Hello", metadata={"a": "b"})
    checked(CreatedConversation, empty, made)
    checked(ConversationWithMessages, await got(service, path_of(empty)), await got(service, path_of(made)))
    checked(ConversationOut, *await got(service, "/conversations", user_id="ada"))
    checked(ConversationOut, (await service.client.patch(path_of(made), json={"title": "New"})).json())
    checked(Deleted, (await service.client.delete(path_of(made))).json())


async def test_answers_about_messages_are_as_documented(openai_service: Service, provider: FakeProvider) -> None:
    """What is answered about messages, failed ones too, has the documented members and no others."""
    made = await make(openai_service)
    provider.answer(unauthorized())
    failed = (await streamed(openai_service, made, "Hello"))[-1]
    checked(TurnOut, await told(openai_service, made, "Hello"))
    checked(MessageOut, failed.data["message"], *await got(openai_service, messages_of(made)))
    path = f"{messages_of(made)}/{failed.data['message']['message_id']}"
    checked(MessageOut, await got(openai_service, path))
    checked(Deleted, (await openai_service.client.delete(path)).json())


async def test_events_are_as_documented(openai_service: Service, provider: FakeProvider) -> None:
    """The data of every event of a stream is what the document says."""
    made = await make(openai_service)
    started, *deltas, ended = await streamed(openai_service, made, "Hello")
    checked(TurnStarted, started.data)
    checked(MessageDelta, *(each.data for each in deltas))
    provider.answer(unauthorized())
    checked(MessageEnded, ended.data, (await streamed(openai_service, made, "Hello"))[-1].data)


async def test_other_answers_are_as_documented(service: Service) -> None:
    """What is answered about users and the service's health has the documented members and no others."""
    checked(UserOut, (await service.client.post("/users", json={"user_id": "ada"})).json())
    checked(UserOut, await got(service, "/users/ada"))
    checked(HealthOut, *[await got(service, path) for path in ("/", "/health", "/livez", "/readyz")])


def checked(model: type[Output], *answers: Any) -> None:
    """Holds answers against a documented model: nothing more, nothing less, nothing of another type."""
    assert answers
    for answer in answers:
        assert model.model_validate(answer).model_dump(mode="json", exclude_unset=True) == answer
        assert {name for name, field in model.model_fields.items() if field.is_required()} <= answer.keys()
