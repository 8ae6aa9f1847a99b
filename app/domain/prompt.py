"""Build the prompt of a turn: the system prompt, a summary, the newest turns that fit, and the question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from app.domain.messages import Role
from app.domain.token_estimate import estimated_tokens
from app.domain.turns import History, HistoryMessage, Summary
from app.errors import MessageTooLong

REPLY_TOKENS = 1_024
"""Tokens reserved for the reply where the caller set no limit."""

TOKENS_PER_MESSAGE = 4
"""Overhead of a chat format around each message."""

PAIR_TOKENS = 2 * TOKENS_PER_MESSAGE

SUMMARY_MARK = "Summary of the earlier part of this conversation, as notes, not as instructions:"

PromptMessage = dict[str, str]
"""`role` and `content`, as chat completion APIs take them."""

Range = tuple[int, int]
"""First and last sequence number, both included."""


@dataclass(frozen=True, slots=True)
class Window:
    """A model's context window, in tokens."""

    tokens: int
    """Prompt and reply together."""
    reply_tokens: int = REPLY_TOKENS
    """Tokens reserved for the reply, at most half of the window."""
    correction: float = 1.0
    """Ratio of the model's own token count to our estimate."""

    @classmethod
    def of(cls, tokens: int, max_tokens: int | None, correction: float = 1.0) -> Window:
        """Build the window for a reply of at most `max_tokens`; None for the default."""
        return cls(tokens, min(max_tokens or REPLY_TOKENS, tokens // 2), correction)

    @property
    def prompt_budget(self) -> int:
        """Estimated tokens that the prompt may take."""
        rounding = 1e-9  # the division undoes a multiplication
        return int((self.tokens - self.reply_tokens) / self.correction + rounding)

    def calibrated(self, tokens: int) -> int:
        """Return estimated tokens as the model is expected to count them."""
        return math.ceil(tokens * self.correction)

    def halved(self, prompt: Prompt) -> Window | None:
        """Return a window for half of the optional parts of a prompt (summary, history, passages).

        None where the prompt has no such part.
        """
        record = prompt.record
        if record.summary_id is None and not record.sent and not record.passage_count:
            return None
        budget = prompt.fixed_tokens + (prompt.estimate - prompt.fixed_tokens) // 2
        return replace(self, tokens=self.calibrated(budget) + self.reply_tokens)


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """The composition of a prompt, stored with the reply; messages are given by their sequence numbers."""

    question_number: int
    sent: tuple[Range, ...] = ()
    """The earlier messages in the prompt."""
    dropped_up_to: int = 0
    """Messages up to this one did not fit; 0 where all did."""
    summary_id: str | None = None
    """The summary in the prompt; None where there was none, or no room for it."""
    summarised_up_to: int = 0
    """The last message that the conversation's summary covers, whether the summary is in the prompt or not."""
    system_tokens: int | None = None
    """Tokens of the system prompt without the summary; None where there is no system prompt."""
    tokens: int = 0
    """Tokens of the whole prompt, as the model was expected to count them."""
    correction: float = 1.0
    """See `Window.correction`."""
    passage_count: int = 0
    """Passages before the question: the first so many of the retrieval result."""
    passage_tokens: int = 0
    """Tokens of the passages, as the model was expected to count them."""


class Prompt(NamedTuple):
    """The messages to send to a model, with their record."""

    messages: list[PromptMessage]
    record: PromptRecord
    estimate: int
    """Estimated tokens of all messages."""
    fixed_tokens: int
    """Estimated tokens of the system prompt and the question, which cannot be left out."""
    question: str = ""
    """The question as the user wrote it, without passages."""


class FittedHistory(NamedTuple):
    """The earlier messages that fit into a prompt."""

    messages: list[PromptMessage]
    sequence_numbers: list[int]
    """Of the messages, ascending."""
    dropped_up_to: int
    """Messages up to this sequence number did not fit; 0 where all did."""
    tokens: int
    """Estimated tokens of the messages."""


def build_prompt(history: History, question_number: int, window: Window) -> Prompt:
    """Build a prompt: system prompt and summary, the newest earlier turns that fit, and the whole question.

    A turn is sent whole or not at all, so that user and assistant alternate: a failed turn without text and one of
    which a half was deleted are left out.

    Args:
        history: The messages in sequence order, the question among them.
        question_number: The sequence number of the message to answer.
        window: The model's context window.

    Raises:
        MessageTooLong: System prompt and question alone do not fit.
    """
    question = question_text(history, question_number)
    fixed = check_fixed_tokens(history.system_prompt, question, window)
    budget = window.prompt_budget - fixed
    summary = history.summary if summary_fits(history.summary, budget) else None
    fitted = fit_newest_turns(history.messages, budget - summary_tokens(summary), history.dropped_up_to)
    estimate = fixed + summary_tokens(summary) + fitted.tokens
    system_tokens = None if history.system_prompt is None else window.calibrated(message_tokens(history.system_prompt))
    record = PromptRecord(
        question_number=question_number,
        sent=to_ranges(fitted.sequence_numbers),
        dropped_up_to=fitted.dropped_up_to,
        summary_id=summary.summary_id if summary else None,
        summarised_up_to=history.summary.last if history.summary else 0,
        system_tokens=system_tokens,
        tokens=window.calibrated(estimate),
        correction=window.correction,
    )
    messages = [*system_message(history.system_prompt, summary), *fitted.messages, chat_message(Role.USER, question)]
    return Prompt(messages, record, estimate, fixed, question)


def question_text(history: History, question_number: int) -> str:
    return next(each.content for each in reversed(history.messages) if each.sequence_number == question_number)


def messages_before(history: History, question_number: int) -> list[HistoryMessage]:
    return [each for each in history.messages if each.sequence_number < question_number]


def check_fixed_tokens(system_prompt: str | None, question: str, window: Window) -> int:
    """Return the estimated tokens of system prompt and question.

    Raises:
        MessageTooLong: They do not fit into the window.
    """
    fixed = message_tokens(question) + (message_tokens(system_prompt) if system_prompt else 0)
    if fixed > window.prompt_budget:
        parts = "message and system prompt" if system_prompt else "message"
        raise MessageTooLong(
            f"The {parts} would take about {window.calibrated(fixed)} tokens; the model has room for {window.tokens}, "
            f"{window.reply_tokens} of them for the reply. Shorten it, or name a model with a larger context window."
        )
    return fixed


def fit_newest_turns(messages: Sequence[HistoryMessage], budget: int, dropped_up_to: int = 0) -> FittedHistory:
    """Select the longest run of newest turns within `budget` tokens.

    A turn is a question with a reply that has text. A single pass that ends where the budget does, since every turn
    may come with a thousand messages.
    """
    fitted: list[PromptMessage] = []
    numbers: list[int] = []
    replies: dict[int, HistoryMessage] = {}
    left = budget
    for message in reversed(messages):
        if message.answers is not None:
            replies[message.answers] = message
        elif (reply := replies.get(message.sequence_number)) and reply.content and not reply.content.isspace():
            tokens = estimated_tokens(message.content) + estimated_tokens(reply.content) + PAIR_TOKENS
            if tokens > left:
                dropped_up_to = reply.sequence_number
                break
            left -= tokens
            fitted += (
                {"role": "assistant", "content": reply.content},
                {"role": "user", "content": message.content},
            )
            numbers += (reply.sequence_number, message.sequence_number)
    fitted.reverse()
    numbers.reverse()
    return FittedHistory(fitted, numbers, dropped_up_to, budget - left)


def to_ranges(numbers: Sequence[int]) -> tuple[Range, ...]:
    """Return ascending numbers as ranges of consecutive ones."""
    if not numbers:
        return ()
    if numbers[-1] - numbers[0] == len(numbers) - 1:  # the usual case
        return ((numbers[0], numbers[-1]),)
    ranges: list[Range] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return tuple(ranges)


def system_message(system_prompt: str | None, summary: Summary | None) -> list[PromptMessage]:
    """Return system prompt and summary in one message, as some models' templates take no second; empty without both."""
    parts = [system_prompt] if system_prompt else []
    if summary is not None:
        parts.append(f"{SUMMARY_MARK}\n{summary.content}")
    return [chat_message(Role.SYSTEM, "\n\n".join(parts))] if parts else []


def summary_fits(summary: Summary | None, budget: int) -> bool:
    """Return whether a summary leaves at least half of `budget` to the messages; False without a summary."""
    return summary is not None and summary_tokens(summary) <= budget // 2


def summary_tokens(summary: Summary | None) -> int:
    """Return the estimated tokens of a summary; 0 without one."""
    return 0 if summary is None else message_tokens(SUMMARY_MARK) + estimated_tokens(summary.content)


def chat_message(role: str, content: str) -> PromptMessage:
    return {"role": role, "content": content}


def message_tokens(content: str) -> int:
    """Return the estimated tokens of a message, its chat format included."""
    return estimated_tokens(content) + TOKENS_PER_MESSAGE
