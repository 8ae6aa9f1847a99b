"""What was told for a reply, as callers see it: nothing is hidden, neither what was sent nor what was not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.domain.messages import Role, has_text
from app.domain.prompt import SUMMARY_MARK, PromptRecord, Range, message_tokens
from app.domain.retrieval import RetrievalResult, RetrievalStatus
from app.domain.turns import Summary

TOO_MUCH, IN_SUMMARY, DELETED, SUPERSEDED = "window", "summarised", "deleted", "superseded"
NO_REPLY, HALF = "no-reply", "half-deleted"

NO_RETRIEVAL = RetrievalResult(RetrievalStatus.SKIPPED)


class NearbyMessage(NamedTuple):
    """A message that was told, or might have been."""

    sequence_number: int
    role: Role
    status: str
    content: str
    answers: int | None
    deleted: bool
    superseded: bool


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message as it was sent; the system prompt has no sequence number."""

    sequence_number: int | None
    role: Role
    tokens: int


@dataclass(frozen=True, slots=True)
class Omitted:
    """Messages that were not sent, from one sequence number to another, and why."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class SentSummary:
    """The summary that was sent in place of the messages up to `last`."""

    first: int
    last: int
    content: str | None
    """None when it was dropped since, as a message that it covers has changed."""
    tokens: int


@dataclass(frozen=True, slots=True)
class SentContext:
    """What was sent for a reply."""

    provider: str | None
    model: str | None
    messages: Sequence[SentMessage] = ()
    summary: SentSummary | None = None
    estimated_tokens: int = 0
    omitted: Sequence[Omitted] = ()
    retrieval: RetrievalResult = NO_RETRIEVAL
    """The search for it, with the passages that were sent."""


def sent_messages(context: PromptRecord, neighbours: Sequence[NearbyMessage]) -> list[SentMessage]:
    """The messages that were sent, in order; tokens by the text that they have now.

    The question's are with those of the passages that stood before it.
    """
    system = [] if context.system is None else [SentMessage(None, Role.SYSTEM, context.system)]
    told = numbers_of([*context.sent, (context.question, context.question)])
    return system + [
        SentMessage(each.sequence_number, each.role, tokens(context, each.content) + beside(context, each))
        for each in neighbours
        if each.sequence_number in told
    ]


def beside(context: PromptRecord, message: NearbyMessage) -> int:
    """Tokens of what stood in a message beside its own text."""
    return context.passage_tokens if message.sequence_number == context.question else 0


def sent_summary(context: PromptRecord, summary: Summary | None) -> SentSummary | None:
    """The summary that was sent, if one was."""
    if context.summary_id is None:
        return None
    if summary is None:
        return SentSummary(1, context.summarised, None, 0)
    counted = tokens(context, summary.content) + tokens(context, SUMMARY_MARK)
    return SentSummary(1, context.summarised, summary.content, counted)


def omitted(context: PromptRecord, neighbours: Sequence[NearbyMessage]) -> list[Omitted]:
    """What was not sent, in order, with why."""
    covered = context.summarised if context.summary_id is not None else 0
    found = [Omitted(1, covered, IN_SUMMARY)] if covered else []
    beyond = max(context.cut, context.summarised)
    if beyond > covered:
        found.append(Omitted(covered + 1, beyond, TOO_MUCH))
    told = numbers_of([*context.sent, (context.question, context.question)])
    return found + list(joined(reasons(context.question, told, neighbours)))


def reasons(question: int, told: set[int], neighbours: Sequence[NearbyMessage]) -> Iterator[tuple[int, str]]:
    """Explain why each message within the window was not sent; earlier replies to its question are superseded."""
    replies = {each.answers: each for each in neighbours if each.answers is not None and not each.superseded}
    for each in neighbours:
        if each.sequence_number in told:
            continue
        reply = each if each.answers is not None else replies.get(each.sequence_number)
        superseded = each.superseded or each.answers == question
        yield each.sequence_number, reason(each, reply, superseded=superseded)


def reason(message: NearbyMessage, reply: NearbyMessage | None, *, superseded: bool) -> str:
    """Why a message was not sent, given the reply of its turn."""
    if message.deleted:
        return DELETED
    if superseded:
        return SUPERSEDED
    return NO_REPLY if reply is not None and not reply.deleted and not has_text(reply.content) else HALF


def joined(numbered: Iterable[tuple[int, str]]) -> Iterator[Omitted]:
    """Neighbouring messages with one reason as one."""
    last: Omitted | None = None
    for number, why in numbered:
        if last is not None and (last.last, last.reason) == (number - 1, why):
            last = Omitted(last.first, number, why)
            continue
        if last is not None:
            yield last
        last = Omitted(number, number, why)
    if last is not None:
        yield last


def numbers_of(ranges: Iterable[Range]) -> set[int]:
    """The numbers in ranges."""
    return {number for first, last in ranges for number in range(first, last + 1)}


def tokens(context: PromptRecord, content: str) -> int:
    """Tokens of a message, as the model was expected to count them."""
    return int(message_tokens(content) * context.correction + 0.999)
