"""Every operation on a conversation in every state of its turns: the answer, and what is left."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from app.db.checks import conversations
from app.db.models import MessageRow
from app.domain.messages import Status
from tests.support.background import recover
from tests.support.parley_client import conversation_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import Call, FakeProvider
from tests.support.replies import Answer, Reply, context_too_long
from tests.support.service import Service
from tests.support.turns import dead_process

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = re.compile(r"<(\d+)>")

names = itertools.count()

# The provider's answers: text, a failure, white space, text without an end; or held after the first piece, or before
# it, until the gate opens.
WHOLE, FAIL, BLANK, CUT, HOLD, STALL = "whole", "fail", "blank", "cut", "hold", "stall"

STATES = {
    "nothing": [],
    "completed": ["say A"],
    "completed-twice": ["say A", "say B"],
    "failed": ["say A fail"],
    "blank": ["say A blank"],
    "failed-with-text": ["say A cut"],
    "cancelled": ["say A stall", "cancel"],
    "cancelled-with-text": ["say A hold", "cancel"],
    "interrupted": ["say A stall", "crash"],
    "interrupted-with-text": ["say A hold", "crash"],
    "in-progress": ["say A hold"],
    "queued": ["say A hold", "say B"],
    "cancelled-while-waiting": ["say A hold", "say B", "cancel"],
    "cancelled-while-waiting-behind-a-queue": ["say A hold", "say B", "say C", "cancel"],
    "cancelled-while-waiting-earlier-ended": ["say A hold", "say B", "cancel", "release"],
    "regenerated": ["say A", "again last"],
    "regenerated-twice": ["say A", "again last", "again last"],
    "regenerate-failed": ["say A", "again last fail"],
    "regenerate-blank": ["say A", "again last blank"],
    "regenerate-failed-twice": ["say A", "again last fail", "again last fail"],
    "regenerate-failed-with-text": ["say A", "again last cut"],
    "regenerate-cancelled-with-text": ["say A", "again last hold", "cancel"],
    "regenerate-interrupted": ["say A", "again last stall", "crash"],
    "regenerate-interrupted-with-text": ["say A", "again last hold", "crash"],
    "regenerate-in-progress": ["say A", "again last hold"],
    "regenerate-queued": ["say A", "again last hold", "again first"],
    "regenerate-cancelled-while-waiting": ["say A", "again last hold", "again first", "cancel"],
    "regenerate-queued-behind-a-turn": ["say A hold", "say B", "cancel", "again last"],
    "regenerate-with-a-turn-behind": ["say A", "again last hold", "say B"],
    "question-deleted": ["say A", "delete question"],
    "reply-deleted": ["say A", "delete reply"],
    "successor-deleted": ["say A", "again last", "delete reply"],
}

OPERATIONS = [
    *(f"say Z on {word}" for word in ("queue", "reject", "interrupt")),
    *(f"again last on {word}" for word in ("queue", "reject", "interrupt")),
    *(f"again first on {word}" for word in ("queue", "reject", "interrupt")),
    "edit question",
    "delete question",
    "delete reply",
    "cancel",
    "delete conversation",
]
"""`last` is the last reply, `first` the first one; question and reply are those of the last turn."""

OK, BUSY, UNFINISHED, CANNOT = "ok", "conversation-busy", "turn-unfinished", "cannot-regenerate"
FINISHED, NOT_THERE, NONE = "already-finished", "message-not-found", "-"
IDLE = [OK] * 3
WHILE_BUSY = [OK, BUSY, OK]

ENDED = [*IDLE, *IDLE, *IDLE, OK, OK, OK, FINISHED, OK]
AT_WORK = [*WHILE_BUSY, *[UNFINISHED] * 3, *[UNFINISHED] * 3, UNFINISHED, UNFINISHED, UNFINISHED, OK, OK]
CANCELLED_BEHIND = [*WHILE_BUSY, *WHILE_BUSY, *[UNFINISHED] * 3, OK, OK, OK, FINISHED, OK]
SUPERSEDED = [*IDLE, *IDLE, *[CANNOT] * 3, OK, OK, OK, FINISHED, OK]
AGAIN_AT_WORK = [*WHILE_BUSY, *[UNFINISHED] * 3, *WHILE_BUSY, UNFINISHED, UNFINISHED, UNFINISHED, OK, OK]

EXPECTED = {
    "nothing": [*IDLE, *[NONE] * 10, OK],
    "completed": ENDED,
    "completed-twice": SUPERSEDED,
    "failed": ENDED,
    "blank": ENDED,
    "failed-with-text": ENDED,
    "cancelled": ENDED,
    "cancelled-with-text": ENDED,
    "interrupted": ENDED,
    "interrupted-with-text": ENDED,
    "in-progress": AT_WORK,
    "queued": AT_WORK,
    "cancelled-while-waiting": CANCELLED_BEHIND,
    "cancelled-while-waiting-behind-a-queue": CANCELLED_BEHIND,
    "cancelled-while-waiting-earlier-ended": SUPERSEDED,
    "regenerated": SUPERSEDED,
    "regenerated-twice": SUPERSEDED,
    "regenerate-failed": ENDED,
    "regenerate-blank": ENDED,
    "regenerate-failed-twice": ENDED,
    "regenerate-failed-with-text": SUPERSEDED,
    "regenerate-cancelled-with-text": SUPERSEDED,
    "regenerate-interrupted": ENDED,
    "regenerate-interrupted-with-text": SUPERSEDED,
    "regenerate-in-progress": AGAIN_AT_WORK,
    "regenerate-queued": AGAIN_AT_WORK,
    "regenerate-cancelled-while-waiting": [*WHILE_BUSY * 3, UNFINISHED, UNFINISHED, OK, FINISHED, OK],
    "regenerate-queued-behind-a-turn": AT_WORK,
    "regenerate-with-a-turn-behind": [*WHILE_BUSY, *[UNFINISHED] * 3, *[CANNOT] * 3, *[UNFINISHED] * 3, OK, OK],
    "question-deleted": [*IDLE, *[CANNOT] * 6, NOT_THERE, NOT_THERE, OK, FINISHED, OK],
    "reply-deleted": [*IDLE, *[NOT_THERE] * 6, OK, OK, NOT_THERE, NOT_THERE, OK],
    "successor-deleted": [*IDLE, *[NOT_THERE] * 3, *IDLE, OK, OK, NOT_THERE, NOT_THERE, OK],
}


class Talk:
    """A conversation with its own user and model, so that its failures open no other circuit breaker."""

    def __init__(self, service: Service) -> None:
        self.name = f"talk{next(names)}"
        self.listed: list[dict[str, Any]] = []
        """The messages of the last read."""
        self.known: dict[str, dict[str, Any]] = {}
        """All messages ever read, by id, in their last state."""
        self.question_of: dict[str, str] = {}
        """The ids of questions by those of their replies."""
        self.prompts: dict[str, list[str]] = {}
        """The prompt of each answer, by the unique mark at the answer's beginning."""
        self._service = service
        self._answers: list[str] = []
        self._gate = asyncio.Event()
        self._replies: list[str] = []
        self._question = ""

    async def begin(self) -> None:
        self._made = await self._service.client.create_conversation(model=self.name, user_id=self.name)

    def answer(self, call: Call) -> Answer:
        """Return the provider's next answer."""
        mark = f"<{len(self.prompts)}>"
        self.prompts[mark] = [message["content"] for message in call.body["messages"]]
        replies: dict[str, Answer] = {
            WHOLE: Reply([mark, " whole"]),
            FAIL: context_too_long(),
            BLANK: Reply([" ", "\n"]),
            CUT: Reply([mark], finish=None),
            HOLD: Reply([mark, self._gate, " whole"]),
            STALL: Reply([self._gate, mark]),
        }
        return replies[self._answers.pop(0) if self._answers else WHOLE]

    async def read(self) -> list[tuple[Any, ...]]:
        """Read the messages; return the fields of each that a refused operation does not change."""
        self.listed = await self._service.client.get_messages(self._made, limit=100)
        self.known |= {message["message_id"]: message for message in self.listed}
        return [(each["message_id"], each["status"], each["edited_at"], each["superseded_by"]) for each in self.listed]

    async def prepare(self, step: str) -> None:
        """Do a step towards a state, and wait until its effect is complete."""
        if step == "crash":
            await self._crash()
        elif step == "release":
            await self.settle()
        else:
            if step.startswith("delete"):
                await self.read()  # the last state of the message
            kind = step.rsplit(maxsplit=1)[-1]
            self._answers += [kind] if kind in {FAIL, BLANK, CUT, HOLD, STALL} else []
            response = await self.do(step)
            assert response.is_success, response.text
            run = self._executor.runs.get(self._replies[-1])
            if run is not None and kind == HOLD:
                await run.stream.wait_beyond(0)
            elif run is not None and kind != STALL and (step == "cancel" or run.reply.status != Status.QUEUED):
                await run.stream.wait_finished()

    async def do(self, step: str) -> httpx2.Response:
        """Send the request of a step or an operation."""
        what, *words = step.split()
        body = {"background": True} | ({"on_busy": words[-1]} if "on" in words else {})
        client, reply = self._service.client, self._path(self._replies[-1] if self._replies else "")
        if what == "say":
            question = f"{words[0]} of {self.name}"
            return await self._accepted(await client.post(messages_path(self._made), json={"message": question} | body))
        if what == "again":
            reply = reply if "last" in words else self._path(self._replies[0])
            return await self._accepted(await client.post(f"{reply}/regenerate", json=body))
        if what == "cancel":
            return await client.post(f"{reply}/cancel")
        if what == "edit":
            return await client.put(self._path(self._question), json={"content": "edited"})
        if "conversation" in words:
            return await client.delete(conversation_path(self._made))
        return await client.delete(reply if "reply" in words else self._path(self._question))

    async def settle(self) -> None:
        """Let all turns end."""
        self._gate.set()
        while unfinished := self._unfinished():
            await asyncio.gather(*(run.stream.wait_finished() for run in unfinished))
            await asyncio.sleep(0)

    @property
    def _executor(self) -> Any:
        return self._service.services.turns.executor

    def _path(self, message_id: str) -> str:
        return f"{messages_path(self._made)}/{message_id}"

    def _unfinished(self) -> list[Any]:
        conversation_id = self._made["conversation_id"]
        runs = self._executor.runs.values()
        return [run for run in runs if run.reply.conversation_id == conversation_id]

    async def _accepted(self, response: httpx2.Response) -> httpx2.Response:
        if response.status_code == 202:
            question, reply = response.json()["messages"]
            self.question_of[reply["message_id"]] = self._question = question["message_id"]
            self._replies.append(reply["message_id"])
        return response

    async def _crash(self) -> None:
        """End the running turn as if its process had died, with its text saved."""
        [run] = self._unfinished()
        dead = await dead_process(self._service)
        async with self._service.database.write_session() as session:
            of_it = update(MessageRow).where(MessageRow.message_id == run.reply.message_id)
            await session.execute(of_it.values(process_id=dead, content=run.stream.text()))
        await recover(self._service)
        self._executor.stop(run, Status.CANCELLED)
        assert (await run.stream.wait_finished()).status is Status.INTERRUPTED


def check_talk(talk: Talk, *, prompts: bool) -> None:
    """Check numbers, supersession and, unless messages were changed, prompts."""
    known = sorted(talk.known.values(), key=lambda message: message["sequence_number"])
    assert [message["sequence_number"] for message in known] == list(range(1, len(known) + 1))
    called = -1
    for reply in talk.listed:
        if reply["role"] == "user":
            continue
        question = talk.known[talk.question_of[reply["message_id"]]]
        later = [
            each for each in with_text(talk, known, question) if each["sequence_number"] > reply["sequence_number"]
        ]
        assert reply["superseded_by"] == (later[0]["message_id"] if later else None)
        mark = MARK.match(reply["content"])
        if mark is None:
            continue
        assert int(mark[1]) > called, "in sequence order"
        called = int(mark[1])
        if prompts and question in talk.listed:
            assert talk.prompts[mark[0]] == [*expected_prompt(talk, known, question, reply), question["content"]]


def with_text(talk: Talk, known: list[dict[str, Any]], question: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the replies to a question that have text."""
    of_it = [each for each in known if talk.question_of.get(each["message_id"]) == question["message_id"]]
    return [each for each in of_it if each["content"].strip()]


def expected_prompt(
    talk: Talk, known: list[dict[str, Any]], question: dict[str, Any], reply: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the expected prompt before a question: each earlier one with its newest reply that has text."""
    prompts = []
    for message in talk.listed:
        if message["role"] == "user" and message["sequence_number"] < question["sequence_number"]:
            replies = with_text(talk, known, message)
            newest = [each for each in replies if each["sequence_number"] < reply["sequence_number"]][-1:]
            prompts += [message["content"], newest[0]["content"]] if newest and newest[0] in talk.listed else []
    return prompts


@pytest.mark.parametrize("state", STATES)
async def test_operations_in_each_state(openai_service: Service, provider: FakeProvider, state: str) -> None:
    """The answers are those of the table, refusals change nothing, and accepted turns end correctly."""
    talks: dict[str, Talk] = {}

    def answer(call: Call) -> Answer:
        return talks[call.body["model"]].answer(call)

    async def case(operation: str, expected: str) -> None:
        talk = Talk(openai_service)
        talks[talk.name] = talk
        await talk.begin()
        for step in STATES[state]:
            await talk.prepare(step)
        before = await talk.read()
        response = await talk.do(operation)
        if expected == OK:
            assert response.is_success, (operation, response.text)
        else:
            expect_problem(response, 404 if expected == NOT_THERE else 409, expected)
            assert await talk.read() == before, operation
        await talk.settle()
        if operation != "delete conversation":
            await talk.read()
            check_talk(talk, prompts=operation.startswith(("say", "again")))

    provider.default = answer
    expectations = zip(OPERATIONS, EXPECTED[state], strict=True)
    await asyncio.gather(*(case(operation, expected) for operation, expected in expectations if expected != NONE))
    assert await openai_service.database.read(conversations.findings, openai_service.database.kind) == []
