from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from dataclasses import replace

from app.domain.citations import CitationFilter
from app.domain.evidence import Evidence
from app.domain.extractive import build_extractive_prompt
from app.domain.grounded_prompt import NOT_SEARCHED, NOTHING_FOUND, build_grounded_prompt
from app.domain.messages import FinishReason, Status, Usage
from app.domain.prompt import Prompt, Window, build_prompt
from app.domain.retrieval import RetrievalRequest, RetrievalStatus
from app.domain.turn_outcome import Outcome
from app.domain.turns import History
from app.llm.calls import CallLimits
from app.llm.router import Router
from app.services.replies import extractive
from app.services.replies.generation import generate
from app.services.replies.passages import PassageSelector
from app.services.replies.turn_run import TurnRun

NONCE_BYTES = 8
CANNED_ANSWERS = {RetrievalStatus.EMPTY: NOTHING_FOUND, RetrievalStatus.FAILED: NOT_SEARCHED}
"""Replies that no model writes, since none can be relied on to refuse."""


class GroundedGenerator:
    """Generates replies from passages of the user's documents."""

    def __init__(self, router: Router, passages: PassageSelector) -> None:
        self.passages = passages
        self._router = router

    async def generate(
        self, run: TurnRun, retrieval_request: RetrievalRequest, history: History, limits: CallLimits
    ) -> Outcome:
        """Select passages, generate a reply from them, and return the outcome.

        Raises:
            UnknownModel: the provider is no longer configured.
        """
        cites = self._router.catalog[run.resolved.provider].cites
        evidence = await self.passages.select(run, retrieval_request, history, cites=cites)
        run.stream.set_retrieval(evidence.retrieval)
        answer = evidence.canned_answer or CANNED_ANSWERS.get(evidence.retrieval.status)
        if answer is not None:
            run.stream.append(answer)
            return Outcome(Status.COMPLETED, answer, FinishReason.STOP, Usage(0, 0))
        sink = CitationSink(run)
        call = run.start_call(prompt_builder(run, history, evidence), sink, limits)
        try:
            outcome = await generate(self._router, run, call)
        finally:
            sink.flush()
        if outcome.status is Status.COMPLETED and run.prompt is not None and run.prompt.is_draft:
            run.stream.append(extractive.answer_from(sink.draft, run.prompt, evidence))
            outcome = replace(outcome, finish_reason=FinishReason.STOP)
        return replace(outcome, text=run.stream.text())


def prompt_builder(run: TurnRun, history: History, evidence: Evidence) -> Callable[[Window], Prompt]:
    """Return the function that builds the prompt for a window, with the passages if there are any."""
    if not evidence.passages:
        return functools.partial(build_prompt, history, run.question_number)
    nonce = secrets.token_hex(NONCE_BYTES)

    def build(window: Window) -> Prompt:
        if window.cites:
            return build_grounded_prompt(history, run.question_number, window, evidence.passages, nonce)
        return build_extractive_prompt(history, run.question_number, window, evidence.passages, nonce)

    return build


class CitationSink:
    """A sink in front of the reply stream that removes unknown citation marks, and holds drafts back."""

    def __init__(self, run: TurnRun) -> None:
        self.draft = ""
        """The text of a model that cannot cite, see `app.services.replies.extractive`."""
        self._run = run
        self._filter: CitationFilter | None = None

    def append(self, text: str) -> None:
        if not text:
            return
        prompt = self._run.prompt
        if prompt is not None and prompt.is_draft:
            self.draft += text
            return
        if self._filter is None:  # no other model is called from here on, so the number of passages is final
            self._filter = CitationFilter(range(1, 1 + (prompt.record.passage_count if prompt else 0)))
        self._run.stream.append(self._filter.feed(text))

    def append_reasoning(self, text: str) -> None:
        self._run.stream.append_reasoning(text)

    def retract(self) -> str | None:
        text = self._run.stream.retract()
        if text is None:
            return None
        held = self._filter.flush() if self._filter is not None else ""
        draft, self.draft, self._filter = self.draft, "", None
        return text + held + draft

    def flush(self) -> None:
        """Append the text that the filter has held back."""
        if self._filter is not None:
            self._run.stream.append(self._filter.flush())
