"""Describe a stored prompt to a reader: the messages that were sent, and those left out with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.domain.messages import Role, has_text
from app.domain.prompt import SUMMARY_MARK, PromptRecord, Range, message_tokens
from app.domain.retrieval import RetrievalResult, RetrievalStatus
from app.domain.turns import Summary

BEYOND_WINDOW, IN_SUMMARY, DELETED, SUPERSEDED = "window", "summarised", "deleted", "superseded"
NO_REPLY, HALF_DELETED = "no-reply", "half-deleted"

NO_RETRIEVAL = RetrievalResult(RetrievalStatus.SKIPPED)


class NearbyMessage(NamedTuple):
    """A message after the last one that was dropped or summarised, before the reply: in the prompt, or left out."""

    sequence_number: int
    role: Role
    status: str
    content: str
    answers: int | None
    """The sequence number of the question that a reply answers; None for a user's message."""
    deleted: bool
    superseded: bool


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message in the prompt; the system prompt has no sequence number."""

    sequence_number: int | None
    role: Role
    tokens: int


@dataclass(frozen=True, slots=True)
class Omitted:
    """Messages left out of the prompt, by their first and last sequence number, with the reason."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class SentSummary:
    """The summary in the prompt, in place of the messages from `first` to `last`."""

    first: int
    last: int
    content: str | None
    """None where the summary was deleted since, because a message that it covers has changed."""
    tokens: int


@dataclass(frozen=True, slots=True)
class SentPrompt:
    """The prompt of a reply, for a reader; without messages where no model was called."""

    provider: str | None
    model: str | None
    messages: Sequence[SentMessage] = ()
    summary: SentSummary | None = None
    estimated_tokens: int = 0
    omitted: Sequence[Omitted] = ()
    retrieval: RetrievalResult = NO_RETRIEVAL
    """The retrieval result, with the passages that were sent."""


def sent_messages(record: PromptRecord, nearby: Sequence[NearbyMessage]) -> list[SentMessage]:
    """Return the messages of the prompt in order, with the tokens of their present text.

    The question's tokens include those of the passages before it.
    """
    system = [] if record.system_tokens is None else [SentMessage(None, Role.SYSTEM, record.system_tokens)]
    sent = sent_numbers(record)
    return system + [
        SentMessage(each.sequence_number, each.role, tokens_of(record, each.content) + added_tokens(record, each))
        for each in nearby
        if each.sequence_number in sent
    ]


def added_tokens(record: PromptRecord, message: NearbyMessage) -> int:
    """Return the tokens of the passages that were put before a message: all before the question, 0 elsewhere."""
    return record.passage_tokens if message.sequence_number == record.question_number else 0


def sent_summary(record: PromptRecord, summary: Summary | None) -> SentSummary | None:
    """Return the summary of the prompt; None where it had none.

    Args:
        record: The stored prompt.
        summary: The record's summary; None where it was deleted since.
    """
    if record.summary_id is None:
        return None
    if summary is None:
        return SentSummary(1, record.summarised_up_to, None, 0)
    tokens = tokens_of(record, summary.content) + tokens_of(record, SUMMARY_MARK)
    return SentSummary(1, record.summarised_up_to, summary.content, tokens)


def omitted(record: PromptRecord, nearby: Sequence[NearbyMessage]) -> list[Omitted]:
    """Return the messages left out of the prompt, in order."""
    covered = record.summarised_up_to if record.summary_id is not None else 0
    found = [Omitted(1, covered, IN_SUMMARY)] if covered else []
    dropped = max(record.dropped_up_to, record.summarised_up_to)
    if dropped > covered:
        found.append(Omitted(covered + 1, dropped, BEYOND_WINDOW))
    return found + list(merge_adjacent(omission_reasons(record, nearby)))


def omission_reasons(record: PromptRecord, nearby: Sequence[NearbyMessage]) -> Iterator[tuple[int, str]]:
    """Yield sequence number and reason of each nearby message that was left out.

    Earlier replies to the question of the prompt count as superseded.
    """
    sent = sent_numbers(record)
    replies = {each.answers: each for each in nearby if each.answers is not None and not each.superseded}
    for each in nearby:
        if each.sequence_number in sent:
            continue
        reply = each if each.answers is not None else replies.get(each.sequence_number)
        superseded = each.superseded or each.answers == record.question_number
        yield each.sequence_number, omission_reason(each, reply, superseded=superseded)


def omission_reason(message: NearbyMessage, reply: NearbyMessage | None, *, superseded: bool) -> str:
    """Return the reason why a message was left out, given the reply of its turn (None without one)."""
    if message.deleted:
        return DELETED
    if superseded:
        return SUPERSEDED
    return NO_REPLY if reply is not None and not reply.deleted and not has_text(reply.content) else HALF_DELETED


def merge_adjacent(numbered: Iterable[tuple[int, str]]) -> Iterator[Omitted]:
    """Merge consecutive sequence numbers with one reason."""
    last: Omitted | None = None
    for number, reason in numbered:
        if last is not None and (last.last, last.reason) == (number - 1, reason):
            last = Omitted(last.first, number, reason)
            continue
        if last is not None:
            yield last
        last = Omitted(number, number, reason)
    if last is not None:
        yield last


def sent_numbers(record: PromptRecord) -> set[int]:
    """Return the sequence numbers of the messages in a prompt, the question's among them."""
    return {record.question_number} | numbers_in(record.sent)


def numbers_in(ranges: Iterable[Range]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def tokens_of(record: PromptRecord, content: str) -> int:
    """Return the tokens of a message, as the model was expected to count them."""
    return int(message_tokens(content) * record.correction + 0.999)
