from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from app.db import document_outlines
from app.db.database import Database
from app.domain.documents import Passage
from app.domain.evidence import closest, is_evidence, quotable
from app.domain.grounded_prompt import candidates, document_openings, earlier, outlined, question_in
from app.domain.question_kinds import asks_for_outline, is_about_reply, is_follow_up, is_small_talk
from app.domain.retrieval import Lookup, RetrievalMode, RetrievalResult, RetrievalStatus, SearchResult
from app.domain.turns import History
from app.errors import AppError
from app.services.replies.query_rewriting import QueryRewriter
from app.services.replies.turn_run import TurnRun

PASSAGES = 8
DOCUMENTS = 20
"""So many documents are told of where they are asked for as a whole."""

SEARCH_SECONDS = 15.0

Search: TypeAlias = Callable[[str, Sequence[str], int, Sequence[str] | None], Awaitable[SearchResult]]
"""Given the id of a user's row, queries, a number of passages and documents (None for all): what is found."""

Nearness: TypeAlias = Callable[[Sequence[str], Sequence[str]], Awaitable[Sequence[float] | None]]
"""Given queries and texts: how near each text is to the nearest query; None where meanings are not compared."""

log = logging.getLogger(__name__)


class Evidence(NamedTuple):
    """What there is to answer from."""

    retrieval: RetrievalResult
    passages: Sequence[Passage] = ()
    quote: str | None = None
    """The sentence of the first passage to quote, for a model that cannot cite."""
    says: str | None = None
    """The whole answer, where no model is needed for it."""


class PassageSelector:
    """Finds what a turn is answered from, among its user's own documents."""

    def __init__(self, database: Database, rewrites: QueryRewriter, search: Search, nearness: Nearness) -> None:
        self.search = search
        self.nearness = nearness
        self._database = database
        self._rewrites = rewrites

    async def found(self, run: TurnRun, lookup: Lookup, history: History, *, cites: bool) -> Evidence:
        """What a reply is to be made from.

        Args:
            run: The turn.
            lookup: What it may look up.
            history: The question, and what was said before.
            cites: Whether that model can say that passages do not hold an answer; else they have to be near.
        """
        question = question_in(history, run.question_number)
        before = [content for _, content, answers in earlier(history, run.question_number) if answers is None]
        if not should_search(lookup.mode, question, has_history=bool(before)):
            return Evidence(RetrievalResult(RetrievalStatus.SKIPPED))
        queries = await self._queries(question, before, history, run)
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                openings, result = await self._search(run.owner_id, lookup.document_ids, question, queries)
                found = merge(openings, result)
                return await (self._to_cite(queries, *found) if cites else self._to_quote(queries, openings, *found))
        except Exception as error:  # whatever it is, the reply says that nothing was searched
            code = error.code if isinstance(error, AppError) else type(error).__name__
            log.warning(
                "documents could not be searched", extra={"code": code}, exc_info=not isinstance(error, AppError)
            )
            return Evidence(RetrievalResult(RetrievalStatus.FAILED, queries))

    async def _to_cite(self, queries: Sequence[str], passages: Sequence[Passage], status: RetrievalStatus) -> Evidence:
        """Passages for a model that cites them, and says itself where they do not hold the answer."""
        if not is_evidence(passages, strict=False):
            return Evidence(RetrievalResult(RetrievalStatus.EMPTY, queries))
        return Evidence(RetrievalResult(status, queries, candidates(passages)), passages)

    async def _to_quote(
        self, queries: Sequence[str], openings: Sequence[Passage], passages: Sequence[Passage], status: RetrievalStatus
    ) -> Evidence:
        """Passages for a model that can neither: the one with the sentence that is nearest first."""
        if openings:
            return Evidence(RetrievalResult(status, queries, candidates(openings)), openings, says=outlined(openings))
        quotes = quotable(passages)
        near = await self.nearness(queries, [each.sentence for each in quotes])
        quote = None if near is None else closest(quotes, near, queries[0])
        if quote is None and (near is not None or not is_evidence(passages, strict=True)):
            return Evidence(RetrievalResult(RetrievalStatus.EMPTY, queries))
        ordered = sorted(passages, key=lambda each: quote is not None and each is not quote.passage)
        sentence = quote and quote.sentence
        return Evidence(RetrievalResult(status, queries, candidates(ordered)), ordered, sentence)

    async def _queries(self, question: str, before: Sequence[str], history: History, run: TurnRun) -> list[str]:
        """What to search for: a follow-up with what it goes on from, rewritten by the model or else as both turns."""
        if not before or not is_follow_up(question):
            return [question]
        written = await self._rewrites.query(history, run) if self._rewrites.possible(run.target) else None
        return [question, written or f"{before[-1]}\n{question}"]

    async def _search(
        self, owner_id: str, document_ids: Sequence[str] | None, question: str, queries: Sequence[str]
    ) -> tuple[list[Passage], SearchResult]:
        openings: list[Passage] = []
        if asks_for_outline(question):
            there = await self._database.read(document_outlines.openings, owner_id, document_ids, DOCUMENTS)
            openings = document_openings(question, there)
        return openings, await self.search(owner_id, queries, PASSAGES, document_ids)


def merge(openings: Sequence[Passage], result: SearchResult) -> tuple[list[Passage], RetrievalStatus]:
    """How documents begin, then what was found in them; and what came of it all."""
    known = {each.chunk_id for each in openings}
    passages = [*openings, *(each for each in result.passages if each.chunk_id not in known)]
    return passages, RetrievalStatus.OK if result.status is RetrievalStatus.EMPTY else result.status


def should_search(mode: RetrievalMode, question: str, *, has_history: bool) -> bool:
    """Whether there is to be a search."""
    if mode is RetrievalMode.AUTO:
        return not (is_small_talk(question) or (has_history and is_about_reply(question)))
    return mode is RetrievalMode.ALWAYS
