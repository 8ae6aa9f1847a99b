from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable
from dataclasses import replace

from app.domain.citation_groups import group_pattern
from app.domain.citations import CitationFilter
from app.domain.evidence import Evidence
from app.domain.grounded_prompt import build_grounded_prompt
from app.domain.language import language_of
from app.domain.messages import FinishReason, Status, Usage
from app.domain.prompt import Prompt, Window, build_prompt, question_text
from app.domain.refusals import not_searched, nothing_found
from app.domain.retrieval import RetrievalRequest, RetrievalStatus
from app.domain.turn_outcome import Outcome
from app.domain.turns import History
from app.llm.calls import CallLimits
from app.llm.router import Router
from app.services.replies.generation import generate
from app.services.replies.passages import PassageSelector
from app.services.replies.turn_run import TurnRun

NONCE_BYTES = 8
REFUSALS = {RetrievalStatus.EMPTY: nothing_found, RetrievalStatus.FAILED: not_searched}
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
        await asyncio.to_thread(group_pattern)  # its first call is too long for the event loop
        evidence = await self.passages.select(run, retrieval_request, history, cites=cites)
        run.stream.set_retrieval(evidence.retrieval)
        answer = evidence.canned_answer
        if answer is None and (refusal := REFUSALS.get(evidence.retrieval.status)) is not None:
            answer = refusal(language_of(question_text(history, run.question_number)))
        if answer is not None:
            run.stream.append(answer)
            return Outcome(Status.COMPLETED, answer, FinishReason.STOP, Usage(0, 0))
        sink = CitationSink(run)
        call = run.start_call(prompt_builder(run, history, evidence), sink, limits)
        if cites and evidence.passages:
            call.substitute = functools.partial(self._quote, run, evidence)
        try:
            outcome = await generate(self._router, run, call)
        finally:
            sink.flush()
        return replace(outcome, text=run.stream.text())

    async def _quote(self, run: TurnRun, evidence: Evidence) -> None:
        """Append the quote that is the reply of a model that cannot cite."""
        run.stream.append(await self.passages.quote(evidence))


def prompt_builder(run: TurnRun, history: History, evidence: Evidence) -> Callable[[Window], Prompt]:
    """Return the function that builds the prompt for a window, with the passages if there are any."""
    if not evidence.passages:
        return functools.partial(build_prompt, history, run.question_number)
    nonce = secrets.token_hex(NONCE_BYTES)
    return functools.partial(
        build_grounded_prompt, history, run.question_number, passages=evidence.passages, nonce=nonce
    )


class CitationSink:
    """A sink in front of the reply stream that removes unknown citation marks."""

    def __init__(self, run: TurnRun) -> None:
        self._run = run
        self._filter: CitationFilter | None = None

    def append(self, text: str) -> None:
        if not text:
            return
        if self._filter is None:  # no other model is called from here on, so the number of passages is final
            prompt = self._run.prompt
            self._filter = CitationFilter(range(1, 1 + (prompt.record.passage_count if prompt else 0)))
        self._run.stream.append(self._filter.feed(text))

    def append_reasoning(self, text: str) -> None:
        self._run.stream.append_reasoning(text)

    def retract(self) -> str | None:
        text = self._run.stream.retract()
        if text is None:
            return None
        held = self._filter.flush() if self._filter is not None else ""
        self._filter = None
        return text + held

    def flush(self) -> None:
        """Append the text that the filter has held back."""
        if self._filter is not None:
            self._run.stream.append(self._filter.flush())
