"""Random sequences of client requests, compared with a model of a conversation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx2
import pytest
from hypothesis import settings as chosen
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.databases import PostgresTemplate, SqliteTemplate
from tests.support.provider import FakeProvider
from tests.support.replies import Answer, Reply, unauthorized
from tests.support.service import Service, forget_failures, provider_settings, serving
from tests.support.sse import parse_events, wait_for_event

TEXTS = st.text("aé😀 ", min_size=1, max_size=8).filter(str.strip)


@dataclass
class ModelMessage:
    """A message of the model."""

    message_id: str
    role: str
    content: str
    status: str
    answers: int | None = None
    superseded_by: str | None = None
    deleted: bool = False


@dataclass
class ModelConversation:
    """A conversation of the model; `gate` holds the running reply."""

    conversation_id: str
    messages: list[ModelMessage] = field(default_factory=list)
    gate: asyncio.Event | None = None

    @property
    def path(self) -> str:
        return f"/conversations/{self.conversation_id}"

    @property
    def readable(self) -> list[tuple[int, ModelMessage]]:
        """The messages that are not deleted, with their sequence numbers."""
        return [(number, said) for number, said in enumerate(self.messages, 1) if not said.deleted]

    def prompt(self, question: int) -> list[str]:
        """Return the prompt for a question: each earlier question with its current reply, and the question."""
        prompt = []
        for number, said in self.readable:
            if said.role == "user" and number < question:
                replies = [each for _, each in self.readable if each.answers == number and not each.superseded_by]
                prompt += [text for each in replies if each.content.strip() for text in (said.content, each.content)]
        return [*prompt, self.messages[question - 1].content]

    def end(self, said: ModelMessage, content: str, status: str) -> None:
        """End a reply, which supersedes the others to its question if it has text."""
        said.content, said.status = content, status
        for _, other in self.readable:
            if other is not said and other.answers == said.answers and not other.superseded_by and content.strip():
                other.superseded_by = said.message_id

    def may_be_regenerated(self, said: ModelMessage) -> bool:
        """Return whether an ended reply is the last: nothing follows it, or only replies that left it current."""
        assert said.answers is not None
        last = self.readable[-1][1]
        current = last is said or (last.answers == said.answers and not said.superseded_by)
        return current and not self.messages[said.answers - 1].deleted


class Conversations(RuleBasedStateMachine):
    """The machine: each rule calls the service and updates the model; the invariant compares the two."""

    template: ClassVar[SqliteTemplate | PostgresTemplate]
    talks = Bundle("talks")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.model: list[ModelConversation] = []

    @initialize()
    def start(self) -> None:
        """Start a service on an empty database, and its provider."""
        self.url = self.stack.enter_context(self.template.copy())
        self.provider: FakeProvider = self.run(self.stack.enter_async_context(FakeProvider()))
        self.provider.default = lambda call: Reply(["Re: ", call.body["messages"][-1]["content"]])
        self.run(self.serve())

    async def serve(self) -> None:
        """Start the service."""
        self.process = contextlib.AsyncExitStack()
        configured = provider_settings(self.provider, database_url=self.url, drain_seconds=0.05)
        self.service: Service = await self.process.enter_async_context(serving(configured))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine, and return its result."""
        return self.runner.run(work)

    def ask(self, method: str, path: str, **body: Any) -> httpx2.Response:
        """Send a request, and return the answer."""
        response: httpx2.Response = self.run(self.service.client.request(method, path, json=body or None))
        return response

    def teardown(self) -> None:
        if hasattr(self, "service"):
            self.run(self.process.aclose())
        self.run(self.stack.aclose())
        self.runner.close()

    @rule(target=talks)
    def create(self) -> ModelConversation:
        """Create an empty conversation."""
        response = self.ask("POST", "/conversations", user_id="ada")
        assert response.status_code == 201
        talk = ModelConversation(response.json()["conversation_id"])
        self.model.append(talk)
        return talk

    @rule(talk=talks, text=TEXTS, form=st.sampled_from(["json", "stream", "background"]))
    def say(self, talk: ModelConversation, text: str, form: str) -> None:
        """Complete a turn of an idle conversation, in each form."""
        if talk.gate is not None or talk not in self.model:
            return
        ways = {"stream": form == "stream", "background": form == "background"}
        response = self.ask("POST", f"{talk.path}/messages", message=text, **ways)
        assert response.status_code == {"json": 201, "stream": 200, "background": 202}[form]
        self.run(self.service.client.wait_until_ended({"conversation_id": talk.conversation_id}))
        self.take(talk, text, f"Re: {text}", "completed")
        self.check_prompt(talk, talk.messages[-1])

    @rule(talk=talks, text=TEXTS)
    def begin(self, talk: ModelConversation, text: str) -> None:
        """Begin a turn that stays open after its first piece of text."""
        if talk.gate is not None or talk not in self.model:
            return
        gate = asyncio.Event()
        calls = len(self.provider.calls)
        self.provider.reply("Half ", gate, "whole")
        assert self.ask("POST", f"{talk.path}/messages", message=text, background=True).status_code == 202
        self.take(talk, text, "Half ", "in_progress")
        talk.gate = gate
        self.run(self.provider.wait_calls(calls + 1))
        self.run(self.service.services.turns.executor.runs[talk.messages[-1].message_id].stream.wait_beyond(0))
        self.check_prompt(talk, talk.messages[-1])

    @rule(talk=talks, text=TEXTS)
    def post_to_busy(self, talk: ModelConversation, text: str) -> None:
        """Post a turn with `reject` to a busy conversation: it takes no number."""
        if talk.gate is not None:
            response = self.ask("POST", f"{talk.path}/messages", message=text, on_busy="reject")
            assert (response.status_code, response.json()["code"]) == (409, "conversation-busy")

    @rule(talk=talks, k=st.integers(0, 12), leave=st.booleans())
    def complete(self, talk: ModelConversation, k: int, leave: bool) -> None:
        """Complete the running turn: a reader from any character gets the rest."""
        if talk.gate is None:
            return
        path = f"{talk.path}/messages/{talk.messages[-1].message_id}/events"
        if leave:
            self.run(self.read_first_text(path))
        talk.gate.set()
        events = parse_events(self.run(self.service.client.get(path, params={"starting_after": k})).text)
        assert "".join(event.data.get("delta", "") for event in events) == "Half whole"[k:]
        assert events[-1].name == "message.completed"
        self.end(talk, "Half whole", "completed")

    async def read_first_text(self, path: str) -> None:
        """Read a stream up to its first delta, and disconnect."""
        async with self.service.client.stream_events(path) as events:
            await wait_for_event(events, "message.delta")

    @rule(talk=talks)
    def cancel(self, talk: ModelConversation) -> None:
        """Cancel the last turn: it keeps its text if it runs, and is refused if it has ended."""
        if talk not in self.model or not talk.messages or talk.messages[-1].deleted:
            return
        path = f"{talk.path}/messages/{talk.messages[-1].message_id}"
        response = self.ask("POST", f"{path}/cancel")
        assert response.status_code == (409 if talk.gate is None else 202)
        if talk.gate is not None:
            self.run(self.service.client.get(f"{path}/events"))
            self.end(talk, "Half ", "cancelled")

    @rule(talk=talks, place=st.integers(0, 3), ending=st.sampled_from(["whole", "blank", "fails", "cut", "held"]))
    def regenerate(self, talk: ModelConversation, place: int, ending: str) -> None:
        """Regenerate a reply, with any ending; refused for running, earlier and superseded replies."""
        replies = [said for _, said in talk.readable if said.role == "assistant"]
        if talk not in self.model or not replies:
            return
        said = replies[-1 - place % len(replies)]
        path = f"{talk.path}/messages/{said.message_id}/regenerate"
        if said.status == "in_progress" or not talk.may_be_regenerated(said) or talk.gate is not None:
            response = self.ask("POST", path, on_busy="reject")
            unfinished, last = said.status == "in_progress", talk.may_be_regenerated(said)
            code = "turn-unfinished" if unfinished else "conversation-busy" if last else "cannot-regenerate"
            assert (response.status_code, response.json()["code"]) == (409, code)
            return
        assert said.answers is not None
        self.make_reply(talk, said.answers, path, ending)

    def make_reply(self, talk: ModelConversation, question: int, path: str, ending: str) -> None:
        """Regenerate, and end the new reply in the given way or hold it."""
        self.run(self.forget_failures())
        gate, calls = asyncio.Event(), len(self.provider.calls)
        endings: dict[str, tuple[Answer, str, str]] = {
            "whole": (Reply(["Anew"]), "Anew", "completed"),
            "blank": (Reply([" \n"]), " \n", "completed"),
            "fails": (unauthorized(), "", "failed"),
            "cut": (Reply(["Cut"], finish=None), "Cut", "failed"),
            "held": (Reply(["Half ", gate, "whole"]), "Half ", "in_progress"),
        }
        answer, content, status = endings[ending]
        self.provider.answer(answer)
        response = self.ask("POST", path, background=True)
        assert response.status_code == 202
        said = ModelMessage(response.json()["messages"][-1]["message_id"], "assistant", "", "in_progress", question)
        talk.messages.append(said)
        if ending == "held":
            talk.gate = gate
            self.run(self.provider.wait_calls(calls + 1))
            self.run(self.service.services.turns.executor.runs[said.message_id].stream.wait_beyond(0))
            said.content = content
        else:
            self.run(self.service.client.get(f"{talk.path}/messages/{said.message_id}/events"))
            talk.end(said, content, status)
        self.check_prompt(talk, said)

    async def forget_failures(self) -> None:
        """Close the circuit breakers, since failures are frequent here."""
        forget_failures(self.service)

    @rule(talk=talks)
    def interrupt(self, talk: ModelConversation) -> None:
        """Regenerate with `interrupt`: the running reply is cancelled and keeps its text."""
        if talk not in self.model or talk.gate is None:
            return
        others = [said for _, said in talk.readable[:-1] if said.answers == talk.messages[-1].answers]
        if not others or not talk.may_be_regenerated(others[-1]):
            return
        path = f"{talk.path}/messages/{others[-1].message_id}/regenerate"
        response = self.ask("POST", path, on_busy="interrupt")
        assert response.status_code == 201
        talk.end(talk.messages[-1], "Half ", "cancelled")
        talk.gate = None
        message_id, question = response.json()["messages"][-1]["message_id"], others[-1].answers
        assert question is not None
        said = ModelMessage(message_id, "assistant", "", "in_progress", question)
        talk.messages.append(said)
        talk.end(said, f"Re: {talk.messages[question - 1].content}", "completed")
        self.check_prompt(talk, said)

    @rule(talk=talks, text=TEXTS, place=st.integers(0, 20))
    def edit(self, talk: ModelConversation, text: str, place: int) -> None:
        """Edit a message: only a user's, of a finished turn."""
        chosen_one = self.pick(talk, place)
        if chosen_one is None:
            return
        number, said = chosen_one
        response = self.ask("PUT", f"{talk.path}/messages/{said.message_id}", content=text)
        if self.unfinished(talk, number):
            assert (response.status_code, response.json()["code"]) == (409, "turn-unfinished")
        elif said.role == "assistant":
            assert response.status_code == 422
        else:
            assert response.status_code == 200
            said.content = text

    @rule(talk=talks, place=st.integers(0, 20))
    def delete_message(self, talk: ModelConversation, place: int) -> None:
        """Delete a message of a finished turn, whose number stays taken."""
        chosen_one = self.pick(talk, place)
        if chosen_one is None:
            return
        number, said = chosen_one
        response = self.ask("DELETE", f"{talk.path}/messages/{said.message_id}")
        assert response.status_code == (409 if self.unfinished(talk, number) else 200)
        said.deleted = response.status_code == 200

    @rule(talk=consumes(talks))
    def delete(self, talk: ModelConversation) -> None:
        """Delete a conversation, whatever runs in it."""
        assert self.ask("DELETE", talk.path).status_code == 200
        assert self.ask("GET", talk.path).status_code == 404
        self.model.remove(talk)

    @rule()
    def restart(self) -> None:
        """Restart the service: running replies are interrupted and keep their text."""
        self.run(self.process.aclose())
        for talk in self.model:
            if talk.gate is not None:
                self.end(talk, "Half ", "interrupted")
        self.run(self.serve())

    @invariant()
    def service_matches_model(self) -> None:
        """Each conversation has the messages of the model, with their numbers and their count."""
        for talk in self.model:
            found = self.ask("GET", f"{talk.path}/messages?limit=100").json()
            found_messages = [
                (each["sequence_number"], each["role"], self.content(each), each["status"], each["superseded_by"])
                for each in found
            ]
            assert found_messages == [
                (number, said.role, self.text(said), said.status, said.superseded_by) for number, said in talk.readable
            ]
            assert self.ask("GET", talk.path).json()["message_count"] == len(talk.readable)

    def check_prompt(self, talk: ModelConversation, said: ModelMessage) -> None:
        """Compare the last prompt with the expected one for a reply."""
        assert said.answers is not None
        prompt = [message["content"] for message in self.provider.calls[-1].body["messages"]]
        assert prompt == talk.prompt(said.answers)

    def text(self, said: ModelMessage) -> str:
        """Return a message's text in the model, empty while it runs."""
        return "" if said.status == "in_progress" else said.content

    def content(self, message: dict[str, Any]) -> str:
        """Return a message's text, empty while it runs, since that depends on the last checkpoint."""
        return "" if message["status"] == "in_progress" else str(message["content"])

    def take(self, talk: ModelConversation, text: str, reply: str, status: str) -> None:
        """Add a turn to the model, with the ids of the service."""
        found = self.ask("GET", f"{talk.path}/messages?order=desc&limit=2").json()
        number = len(talk.messages) + 1
        talk.messages.append(ModelMessage(found[1]["message_id"], "user", text, "completed"))
        talk.messages.append(ModelMessage(found[0]["message_id"], "assistant", reply, status, number))

    def end(self, talk: ModelConversation, content: str, status: str) -> None:
        """End the running turn in the model."""
        talk.end(talk.messages[-1], content, status)
        talk.gate = None

    def pick(self, talk: ModelConversation, place: int) -> tuple[int, ModelMessage] | None:
        """Return a readable message with its number; None where there is none."""
        if talk not in self.model or not talk.readable:
            return None
        return talk.readable[place % len(talk.readable)]

    def unfinished(self, talk: ModelConversation, number: int) -> bool:
        """Return whether a message belongs to the running turn."""
        return talk.gate is not None and number in {len(talk.messages), talk.messages[-1].answers}


@pytest.mark.parametrize(("database", "examples"), [("sqlite", 8), ("postgres", 4)])
def test_random_requests_match_model(request: pytest.FixtureRequest, database: str, examples: int) -> None:
    """Any sequence of turns, cancels, edits, deletions, regenerations and restarts leaves what the model has."""

    class Machine(Conversations):
        template = request.getfixturevalue(f"{database}_template")

    run_state_machine_as_test(Machine, settings=chosen(max_examples=examples, stateful_step_count=25))
