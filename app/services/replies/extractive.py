"""Replies of a model that can neither cite nor refuse: its passages have a quote, its draft is published with it."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.documents import Passage
from app.domain.evidence import Evidence, is_evidence
from app.domain.extractive import (
    STRICT,
    closest_quote,
    outline_answer,
    quoted_answer,
    quotes_of,
    within_prompt_budget,
)
from app.domain.grounded_prompt import candidates_of
from app.domain.prompt import Prompt
from app.domain.retrieval import RetrievalResult, RetrievalStatus
from app.services.search.service import DocumentSearch


async def select_evidence(
    search: DocumentSearch,
    queries: Sequence[str],
    openings: Sequence[Passage],
    passages: Sequence[Passage],
    status: RetrievalStatus,
) -> Evidence:
    """Select the passages and the sentence to quote; a question about whole documents gets their outline instead.

    Args:
        search: The search, which compares sentences by meaning.
        queries: The question, and perhaps its rewrite.
        openings: The openings of the documents in question; empty for a question that needs no outline.
        passages: Openings and retrieved passages, best first.
        status: The status of the search.
    """
    if openings:
        retrieval = RetrievalResult(status, queries, candidates_of(openings))
        return Evidence(retrieval, openings, canned_answer=outline_answer(openings))
    quotes = quotes_of(passages)
    similarities = await search.similarities(queries, [each.sentence for each in quotes])
    quote = None if similarities is None else closest_quote(quotes, similarities, queries[0])
    if quote is None and (similarities is not None or not is_evidence(passages, STRICT)):
        return Evidence(RetrievalResult(RetrievalStatus.EMPTY, queries))
    quoted_first = sorted(passages, key=lambda each: quote is not None and each is not quote.passage)
    retrieval = RetrievalResult(status, queries, candidates_of(quoted_first))
    return Evidence(retrieval, quoted_first, quote and quote.sentence)


def answer_from(draft: str, prompt: Prompt, evidence: Evidence) -> str:
    """Return a draft with the quote that supports it, or the quote alone."""
    passages = within_prompt_budget(evidence.passages)[: prompt.record.passage_count]
    return quoted_answer(draft, prompt.question, passages, evidence.quote)
