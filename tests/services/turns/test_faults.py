"""Each await of a turn on the database and on the model fails once; all guarantees hold after each fault."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from app.db.checks import conversations
from app.errors import ProviderTimeout, ProviderUnavailable
from app.services.runtime.timings import Timings
from tests.support.faults import DatabaseFault, FaultyStream
from tests.support.parley_client import messages_path
from tests.support.service import Service, forget_failures
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "one two three"
ANSWERED = {201, 202, 200}
HANGS_SECONDS = 10


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Retries that come soon, because hundreds of faults follow."""
    return Timings(first_backoff=0.01, first_poller_backoff=0.01, queue_poll=0.01)


Scenario = Callable[[Service, dict[str, Any]], Awaitable[list[httpx2.Response]]]


async def json_turn(service: Service, conversation: dict[str, Any]) -> list[httpx2.Response]:
    return [await service.client.post(messages_path(conversation), json={"message": TEXT})]


async def streamed_turn(service: Service, conversation: dict[str, Any]) -> list[httpx2.Response]:
    return [await service.client.post(messages_path(conversation), json={"message": TEXT, "stream": True})]


async def keyed_turn(service: Service, conversation: dict[str, Any]) -> list[httpx2.Response]:
    """Post a turn twice under one key."""
    headers = {"Idempotency-Key": conversation["conversation_id"]}
    return [
        await service.client.post(messages_path(conversation), json={"message": TEXT}, headers=headers)
        for _ in range(2)
    ]


async def regenerated_turn(service: Service, conversation: dict[str, Any]) -> list[httpx2.Response]:
    """Run a turn in the background, and regenerate its reply."""
    first = await service.client.post(messages_path(conversation), json={"message": TEXT, "background": True})
    if first.status_code != 202:
        return [first]
    followed = await service.client.get(f"{first.headers['location']}/events")
    return [first, followed, await service.client.post(f"{first.headers['location']}/regenerate", json={})]


async def queued_turns(service: Service, conversation: dict[str, Any]) -> list[httpx2.Response]:
    """Post a turn while another one runs."""
    path = messages_path(conversation)
    first = asyncio.create_task(service.client.post(path, json={"message": "one", "model": "slow"}))
    while not service.services.turns.executor.runs and not first.done():  # noqa: ASYNC110  it sets no event
        await asyncio.sleep(0)
    second = await service.client.post(path, json={"message": TEXT})
    return [await first, second]


async def cancelled_turn(service: Service, conversation: dict[str, Any]) -> list[httpx2.Response]:
    """Start a turn that would never end, and cancel it twice."""
    path = messages_path(conversation)
    accepted = await service.client.post(path, json={"message": TEXT, "model": "stall-midway", "background": True})
    if accepted.status_code != 202:
        return [accepted]
    where = accepted.headers["location"]
    cancels = [await service.client.post(f"{where}/cancel") for _ in range(2)]
    assert {cancel.status_code for cancel in cancels} & {202, 409}
    return [accepted, *cancels, await service.client.get(f"{where}/events")]


SCENARIOS = [json_turn, streamed_turn, keyed_turn, regenerated_turn, queued_turns, cancelled_turn]
ALWAYS_ON_POSTGRESQL = [keyed_turn, queued_turns]
"""The others are for `make soak` there: what fails is the same statement, and on SQLite all fail each time."""
CASES = [("sqlite", scenario, ()) for scenario in SCENARIOS] + [
    ("postgresql", scenario, () if scenario in ALWAYS_ON_POSTGRESQL else pytest.mark.soak) for scenario in SCENARIOS
]


@pytest.mark.parametrize(
    ("shared_database_url", "scenario"),
    [pytest.param(kind, each, marks=marks, id=f"{kind}-{each.__name__}") for kind, each, marks in CASES],
    indirect=["shared_database_url"],
)
async def test_fault_of_database(service: Service, scenario: Scenario) -> None:
    """Each statement and each commit of a turn fails once: all posts are answered, all turns end."""
    for at in itertools.count():
        fault = DatabaseFault(at)
        conversation = await service.client.create_conversation()
        with fault.of(service.database):
            async with asyncio.timeout(HANGS_SECONDS):
                responses = await scenario(service, conversation)
                await wait_until_idle(service)
        await check_guarantees(service, conversation, responses, f"moment {at}")
        if not fault.happened:
            break
    assert at > 10, "the faults have missed the turns"


FAULTS = [ProviderUnavailable(), ProviderTimeout("connect"), RuntimeError("a bug"), asyncio.CancelledError()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("scenario", [json_turn, streamed_turn])
async def test_fault_of_model(
    service: Service, scenario: Scenario, fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model fails before its first chunk, between any two or at its end: the turn fails, with its text."""
    scripted = service.services.resources.router.catalog["scripted"]
    model = FaultyStream(scripted.stream)
    monkeypatch.setattr(scripted, "stream", model)
    conversation = await service.client.create_conversation()
    await json_turn(service, conversation)
    model.fault = fault
    for at in range(model.moments):
        model.at = at
        forget_failures(service)
        conversation = await service.client.create_conversation()
        async with asyncio.timeout(HANGS_SECONDS):
            responses = await scenario(service, conversation)
            await wait_until_idle(service)
        replies = (await service.client.get_json(messages_path(conversation)))[1::2]
        assert {reply["status"] for reply in replies} == {"failed"}
        assert all(TEXT.startswith(reply["content"]) for reply in replies)
        model.at = None
        forget_failures(service)
        await check_guarantees(service, conversation, responses, f"chunk {at}")


async def wait_until_idle(service: Service) -> None:
    """Wait until the service has no unfinished turns."""
    while service.services.turns.executor.runs:  # noqa: ASYNC110  it sets no event
        await asyncio.sleep(0)


async def check_guarantees(
    service: Service, conversation: dict[str, Any], responses: list[httpx2.Response], moment: str
) -> None:
    """Check all that must hold after a fault, and that the conversation goes on."""
    stored = await service.client.get_json(messages_path(conversation), limit=100)
    numbers = [message["sequence_number"] for message in stored]
    assert numbers == list(range(1, len(stored) + 1)), moment
    assert all(message["completed_at"] for message in stored), moment
    assert await service.database.read(conversations.findings, service.database.kind) == [], moment
    by_id = {message["message_id"]: message for message in stored}
    for response in responses:
        check_response(response, by_id, moment)
    if not stored:
        assert {response.status_code for response in responses} == {503}, moment
    if any("idempotency-replayed" in response.headers for response in responses):
        assert len(stored) == 2, moment
    check_capacity(service, moment)
    [after] = await json_turn(service, conversation)
    assert after.json()["assistant_reply"] == TEXT, moment
    assert after.json()["messages"][-1]["sequence_number"] == len(stored) + 2, moment


def check_response(response: httpx2.Response, stored: dict[str, Any], moment: str) -> None:
    """Check that a response about a finished message equals the stored message."""
    if response.headers["content-type"].startswith("text/event-stream"):
        events = parse_events(response.text)
        last = events[-1].data["message"]
        assert "".join(event.data.get("delta", "") for event in events) == last["content"], moment
        messages = [last]
    elif response.status_code in ANSWERED:
        body = response.json()
        messages = [message for message in body.get("messages", [body]) if message["completed_at"]]
    else:
        assert response.headers["content-type"] == "application/problem+json", moment
        assert ("retry-after" in response.headers) == (response.status_code == 503), moment
        messages = []
    for message in messages:
        ended = stored[message["message_id"]]
        assert message | {"superseded_by": None} == ended | {"superseded_by": None}, moment


def check_capacity(service: Service, moment: str) -> None:
    """Check that no slot and no place in the queue is taken."""
    assert service.services.turns.executor.capacity.is_idle, moment
