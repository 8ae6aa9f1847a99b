from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from app.db import document_outlines
from app.db.database import Database
from app.domain.document_versions import newest_versions
from app.domain.documents import Passage
from app.domain.evidence import Evidence, select_openings
from app.domain.grounded_prompt import candidates_of
from app.domain.outline_questions import outline_subject
from app.domain.prompt import messages_before, question_text
from app.domain.question_kinds import is_follow_up, is_small_talk, wants_rephrasing
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


class Scope(NamedTuple):
    """The documents that a turn may search."""

    owner_id: str
    document_ids: Sequence[str] | None
    """None for all of the user's."""


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
            cites: True for a model that cites, and says itself when passages do not hold the answer. It gets what was
                found, whatever the scores; for another model the passages have to be close to the question.
        """
        question = question_text(history, run.question_number)
        earlier = [each.content for each in messages_before(history, run.question_number) if each.answers is None]
        if not should_search(retrieval_request.mode, question, has_history=bool(earlier)):
            return Evidence(RetrievalResult(RetrievalStatus.SKIPPED))
        queries = await self._queries(question, earlier, history, run)
        scope = Scope(run.owner_id, retrieval_request.document_ids)
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                evidence = await self._evidence(scope, question, queries, cites=cites)
                if evidence.retrieval.status is RetrievalStatus.EMPTY and earlier:
                    joined = joined_query(earlier[-1], question)
                    if joined not in queries:
                        return await self._evidence(scope, question, [*queries, joined], cites=cites)
                return evidence
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
        return [question, rewritten or joined_query(earlier[-1], question)]

    async def _evidence(self, scope: Scope, question: str, queries: Sequence[str], *, cites: bool) -> Evidence:
        """Return the passages for a question, the best first, or the openings of the documents that it is about."""
        subject = await asyncio.to_thread(outline_subject, question)  # compiles its rules when it is called first
        openings = [] if subject is None else await self._openings(scope, subject, more=cites)
        result = await self.search.search(scope.owner_id, queries, MAX_PASSAGES, scope.document_ids)
        passages, status = merge(openings, result)
        if not cites:
            return await extractive.select_evidence(self.search, queries, openings, passages, status)
        if not passages:
            return Evidence(RetrievalResult(RetrievalStatus.EMPTY, queries))
        if not any(each.coverage for each in passages):
            # No word of the question is in a passage: in a language without rules it may be "summarise this".
            passages = [*passages, *without(passages, await self._openings(scope, "", more=True))]
        return Evidence(RetrievalResult(status, queries, candidates_of(passages)), passages)

    async def _openings(self, scope: Scope, subject: str, *, more: bool) -> list[Passage]:
        """Return the openings of the documents that a question is about as a whole.

        Args:
            scope: The documents that may be searched.
            subject: The question's `outline_subject`.
            more: True for the next passages too if it is one document.
        """
        found = await self._database.read(document_outlines.openings, *scope, MAX_OPENINGS)
        openings = select_openings(subject, found)
        if not more or len(openings) != 1:
            return openings
        limit = MAX_PASSAGES - 1
        return openings + await self._database.read(document_outlines.next_passages, scope.owner_id, openings[0], limit)


def joined_query(previous_question: str, question: str) -> str:
    return f"{previous_question}\n{question}"


def merge(openings: Sequence[Passage], result: SearchResult) -> tuple[list[Passage], RetrievalStatus]:
    """Return openings and then the other passages of a search, with OK for an empty search."""
    both = [*openings, *without(openings, result.passages)]
    passages = newest_versions(both, lambda each: (each.document_name, each.version))
    return passages, RetrievalStatus.OK if result.status is RetrievalStatus.EMPTY else result.status


def without(known: Sequence[Passage], passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages whose chunks are not among the known ones."""
    chunk_ids = {each.chunk_id for each in known}
    return [each for each in passages if each.chunk_id not in chunk_ids]


def should_search(mode: RetrievalMode, question: str, *, has_history: bool) -> bool:
    if mode is RetrievalMode.AUTO:
        return not (is_small_talk(question) or (has_history and wants_rephrasing(question)))
    return mode is RetrievalMode.ALWAYS
