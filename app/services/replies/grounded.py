from __future__ import annotations

import functools
import secrets
from dataclasses import replace

from app.domain.citations import CitationFilter
from app.domain.grounded_prompt import NOT_SEARCHED, NOTHING_FOUND, grounded_prompt, quoted, within_short_budget
from app.domain.messages import FinishReason, Status, Usage
from app.domain.retrieval import Lookup, RetrievalStatus
from app.domain.turn_outcome import Outcome
from app.domain.turns import History
from app.llm.calls import ModelCall
from app.llm.router import Router
from app.services.replies.generation import generate
from app.services.replies.passages import Evidence, PassageSelector
from app.services.replies.stream import ReplyStream

MARK_BYTES = 8
SAYS = {RetrievalStatus.EMPTY: NOTHING_FOUND, RetrievalStatus.FAILED: NOT_SEARCHED}
"""What the service answers itself, since no model is to be trusted to refuse."""


class GroundedGenerator:
    """Has replies made from what is found in documents."""

    def __init__(self, router: Router, lookups: PassageSelector) -> None:
        self.lookups = lookups
        self._router = router

    async def answer(self, call: ModelCall, reply: ReplyStream, lookup: Lookup, history: History) -> Outcome:
        """Looks up what there is, and has a reply written from that; gives how it ended.

        Raises:
            UnknownModel: the provider is not there any more.
        """
        question = reply.message.answers
        assert question is not None, "a reply answers something"  # noqa: S101  for the types
        cites = self._router.catalog[call.target.provider].cites
        found = await self.lookups.found(reply, lookup, history, call.target, cites=cites)
        reply.looked_up(found.retrieval)
        if (says := found.says or SAYS.get(found.retrieval.status)) is not None:
            reply.append(says)
            return Outcome(Status.COMPLETED, says, FinishReason.STOP, Usage(0, 0))
        if found.passages:
            call.compose = functools.partial(
                grounded_prompt,
                history,
                question,
                passages=found.passages,
                mark=secrets.token_hex(MARK_BYTES),
            )
        call.sink = heard = CitationSink(reply, call, found)
        try:
            outcome = await generate(self._router, call, reply)
        finally:
            heard.flush()
        if outcome.status is Status.COMPLETED and call.prompt is not None and call.prompt.draft:
            heard.publish()
            outcome = replace(outcome, finish_reason=FinishReason.STOP)
        return replace(outcome, text=reply.text())


class CitationSink:
    """What a model says, on its way to the readers: without marks that it was not given; a draft not before its end."""

    def __init__(self, reply: ReplyStream, call: ModelCall, found: Evidence) -> None:
        self.draft = ""
        """What was said by a model that cannot cite."""
        self._reply = reply
        self._call = call
        self._found = found
        self._filter: CitationFilter | None = None

    def append(self, text: str) -> None:
        """See `Sink.append`."""
        if not text:
            return
        prompt = self._call.prompt
        if prompt is not None and prompt.draft:
            self.draft += text
            return
        if self._filter is None:  # nobody else is asked from here on: it is known what was given
            self._filter = CitationFilter(range(1, 1 + (prompt.context.passages if prompt else 0)))
        self._reply.append(self._filter.feed(text))

    def think(self, text: str) -> None:
        """See `Sink.think`."""
        self._reply.think(text)

    def retract(self) -> str | None:
        """See `Sink.retract`."""
        text = self._reply.retract()
        if text is None:
            return None
        held = self._filter.flush() if self._filter is not None else ""
        draft, self.draft, self._filter = self.draft, "", None
        return text + held + draft

    def flush(self) -> None:
        """Hands on what was held back."""
        if self._filter is not None:
            self._reply.append(self._filter.flush())

    def publish(self) -> None:
        """Hands on what of a draft has support, with the quote that supports it."""
        prompt = self._call.prompt
        given = within_short_budget(self._found.passages)[: prompt.context.passages] if prompt else []
        self._reply.append(quoted(self.draft, prompt.asked if prompt else "", given, self._found.quote))
