from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from app.db import document_outlines
from app.db.database import Database
from app.domain.documents import Passage
from app.domain.evidence import LENIENT, Evidence, is_evidence, relevant_openings
from app.domain.grounded_prompt import candidates_of
from app.domain.prompt import messages_before, question_text
from app.domain.question_kinds import is_follow_up, is_small_talk, wants_outline, wants_rephrasing
from app.domain.retrieval import RetrievalMode, RetrievalRequest, RetrievalResult, RetrievalStatus, SearchResult
from app.domain.turns import History
from app.errors import AppError
from app.services.replies import extractive
from app.services.replies.query_rewriting import QueryRewriter
from app.services.replies.turn_run import TurnRun
from app.services.search.service import DocumentSearch

MAX_PASSAGES = 8
MAX_OPENINGS = 20
"""Documents whose openings are read for a question about documents as a whole."""

SEARCH_SECONDS = 15.0

log = logging.getLogger(__name__)


class PassageSelector:
    """Selects the passages for a grounded reply from the user's own documents."""

    def __init__(self, database: Database, search: DocumentSearch, rewriter: QueryRewriter) -> None:
        self.search = search
        self._database = database
        self._rewriter = rewriter

    async def select(
        self, run: TurnRun, retrieval_request: RetrievalRequest, history: History, *, cites: bool
    ) -> Evidence:
        """Search for a turn's question and select the passages that may hold the answer.

        A failed search is logged and returned as such.

        Args:
            run: The turn.
            retrieval_request: The documents to search, and whether to search.
            history: The messages up to the question.
            cites: True for a model that cites, and says itself when passages do not hold the answer; the passages for
                another one have to be closer to the question.
        """
        question = question_text(history, run.question_number)
        earlier = [each.content for each in messages_before(history, run.question_number) if each.answers is None]
        if not should_search(retrieval_request.mode, question, has_history=bool(earlier)):
            return Evidence(RetrievalResult(RetrievalStatus.SKIPPED))
        queries = await self._queries(question, earlier, history, run)
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                openings = await self._openings(run.owner_id, retrieval_request.document_ids, question)
                result = await self.search.search(run.owner_id, queries, MAX_PASSAGES, retrieval_request.document_ids)
                passages, status = merge(openings, result)
                if cites:
                    return citable_evidence(queries, passages, status)
                return await extractive.select_evidence(self.search, queries, openings, passages, status)
        except Exception as error:  # whatever it is, the reply says that nothing was searched
            code = error.code if isinstance(error, AppError) else type(error).__name__
            log.warning(
                "documents could not be searched", extra={"code": code}, exc_info=not isinstance(error, AppError)
            )
            return Evidence(RetrievalResult(RetrievalStatus.FAILED, queries))

    async def quote(self, evidence: Evidence) -> str:
        """Return the reply of a model that cannot cite, from evidence that was selected for one that does."""
        return await extractive.quote_from(self.search, evidence.retrieval.queries, evidence.passages)

    async def _queries(self, question: str, earlier: Sequence[str], history: History, run: TurnRun) -> list[str]:
        """Return the question and, for a follow-up, a query that stands alone: rewritten, or both last questions."""
        if not earlier or not is_follow_up(question):
            return [question]
        rewritten = await self._rewriter.rewrite(history, run) if self._rewriter.supports(run.target) else None
        return [question, rewritten or f"{earlier[-1]}\n{question}"]

    async def _openings(self, owner_id: str, document_ids: Sequence[str] | None, question: str) -> list[Passage]:
        """Return the openings of the documents that a question is about as a whole; empty for other questions."""
        if not wants_outline(question):
            return []
        openings = await self._database.read(document_outlines.openings, owner_id, document_ids, MAX_OPENINGS)
        return relevant_openings(question, openings)


def citable_evidence(queries: Sequence[str], passages: Sequence[Passage], status: RetrievalStatus) -> Evidence:
    if not is_evidence(passages, LENIENT):
        return Evidence(RetrievalResult(RetrievalStatus.EMPTY, queries))
    return Evidence(RetrievalResult(status, queries, candidates_of(passages)), passages)


def merge(openings: Sequence[Passage], result: SearchResult) -> tuple[list[Passage], RetrievalStatus]:
    """Return openings and then the other passages of a search, with OK for an empty search."""
    known = {each.chunk_id for each in openings}
    passages = [*openings, *(each for each in result.passages if each.chunk_id not in known)]
    return passages, RetrievalStatus.OK if result.status is RetrievalStatus.EMPTY else result.status


def should_search(mode: RetrievalMode, question: str, *, has_history: bool) -> bool:
    if mode is RetrievalMode.AUTO:
        return not (is_small_talk(question) or (has_history and wants_rephrasing(question)))
    return mode is RetrievalMode.ALWAYS
