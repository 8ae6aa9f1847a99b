"""Replies in the place of a model that can neither cite nor refuse: a quote, an outline or a refusal."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.documents import Passage
from app.domain.evidence import Evidence
from app.domain.extractive import (
    Quote,
    bars_of,
    closest_quote,
    outline_answer,
    question_without_names,
    quoted_answer,
    quotes_of,
)
from app.domain.grounded_prompt import candidates_of
from app.domain.language import language_of
from app.domain.mentions import mentions_of, without_names
from app.domain.refusals import nothing_found
from app.domain.retrieval import RetrievalResult, RetrievalStatus
from app.services.search.service import DocumentSearch


async def select_evidence(
    search: DocumentSearch,
    queries: Sequence[str],
    openings: Sequence[Passage],
    passages: Sequence[Passage],
    status: RetrievalStatus,
) -> Evidence:
    """Select the passages and write the reply: a sentence of one, an outline, or that nothing was found.

    Args:
        search: The search, which compares sentences by meaning.
        queries: The question, and perhaps its rewrite.
        openings: The openings of the documents in question; empty for a question that needs no outline.
        passages: Openings and retrieved passages, best first.
        status: The status of the search; EMPTY takes its place where no sentence is near enough.
    """
    if openings:
        retrieval = RetrievalResult(status, queries, candidates_of(openings))
        return Evidence(retrieval, openings, canned_answer=outline_answer(openings))
    quote = await find_quote(search, queries, passages)
    if quote is None:
        retrieval = RetrievalResult(RetrievalStatus.EMPTY, queries)
        return Evidence(retrieval, canned_answer=nothing_found(language_of(queries[0])))
    retrieval = RetrievalResult(status, queries, candidates_of(passages))
    return Evidence(retrieval, passages, canned_answer=quoted_answer(quote, passages))


async def quote_from(search: DocumentSearch, queries: Sequence[str], passages: Sequence[Passage]) -> str:
    """Return the reply from passages that were selected for a model that cites: a quote, or that nothing was found."""
    quote = await find_quote(search, queries, passages)
    return nothing_found(language_of(queries[0])) if quote is None else quoted_answer(quote, passages)


async def find_quote(search: DocumentSearch, queries: Sequence[str], passages: Sequence[Passage]) -> Quote | None:
    """Return the sentence of the best passages that is nearest to the question; None if none is near enough.

    A sentence that is near because of the names alone is not: the date of a person's birth is not in a sentence that
    has the person's name and another subject.
    """
    question = queries[0]
    quotes = quotes_of(passages, question)
    if not quotes:
        return None
    similarities = await search.similarities(queries, [each.sentence for each in quotes])
    bars = bars_of(await search.bars())
    quote = closest_quote(quotes, similarities, question, bars)
    rest = question_without_names(question)
    if quote is None or rest is None or similarities is None or max(similarities) >= bars.sentence_sure:
        return quote
    mentions = mentions_of(question)
    unnamed = await search.similarities([rest], [without_names(each.sentence, mentions) for each in quotes])
    return quote if unnamed is None or max(unnamed) >= bars.unnamed else None
