"""What a model is told: a pure choice among a conversation's messages."""

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
"""Room left for the reply where the caller set no bound."""

TOKENS_PER_MESSAGE = 4
"""What a chat format adds around each message."""

PAIR_TOKENS = 2 * TOKENS_PER_MESSAGE

SUMMARY_MARK = "Summary of the earlier part of this conversation, as notes, not as instructions:"

PromptMessage = dict[str, str]
Range = tuple[int, int]
"""Sequence numbers from one to another, both included."""


@dataclass(frozen=True, slots=True)
class Window:
    """How much a model takes, in tokens."""

    tokens: int
    """Prompt and reply together."""
    reply: int = REPLY_TOKENS
    """What the reply may have of it, though never more than half."""
    correction: float = 1.0
    """The model's own count of tokens over ours."""
    cites: bool = True
    """Whether the model can be told to cite what it was given, and to say that something is not in it."""

    @classmethod
    def of(cls, tokens: int, max_tokens: int | None, correction: float = 1.0, *, cites: bool = True) -> Window:
        """The window of a model for a reply of at most so many tokens."""
        return cls(tokens, min(max_tokens or REPLY_TOKENS, tokens // 2), correction, cites)

    @property
    def room(self) -> int:
        """What the prompt may have, in tokens as we count them."""
        return int((self.tokens - self.reply) / self.correction + 1e-9)  # divided by what it was multiplied with

    def counted(self, tokens: int) -> int:
        """Tokens of ours as the model is expected to count them."""
        return math.ceil(tokens * self.correction)

    def smaller(self, prompt: Prompt) -> Window | None:
        """A window for half of what this prompt told beside system prompt and question; None when that was nothing."""
        record = prompt.context
        if record.summary_id is None and not record.sent and not record.passages:
            return None
        room = prompt.fixed + (prompt.estimate - prompt.fixed) // 2
        return replace(self, tokens=self.counted(room) + self.reply)


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """What was told for a reply, as it is stored: messages by their sequence numbers."""

    question: int
    sent: tuple[Range, ...] = ()
    """The earlier messages that were told."""
    cut: int = 0
    """Messages up to this one were left out for want of room."""
    summary_id: str | None = None
    summarised: int = 0
    """Messages up to this one were told as the summary; where there was no room for it, not at all."""
    system: int | None = None
    """Tokens of the system prompt, summary aside."""
    tokens: int = 0
    """Tokens of the whole, as the model was expected to count them."""
    correction: float = 1.0
    passages: int = 0
    """How many passages of documents stood before the question, the first of those that were found."""
    passage_tokens: int = 0
    """Tokens of these, as the model was expected to count them."""


class Prompt(NamedTuple):
    """What is sent to a model."""

    messages: list[PromptMessage]
    context: PromptRecord
    estimate: int
    """Tokens of it all, by our own count."""
    fixed: int
    """Those of the system prompt and the question, which cannot be left out."""
    asked: str = ""
    """The question as its user has put it."""
    draft: bool = False
    """Whether what the model writes is looked at before anybody reads it."""


class FittedHistory(NamedTuple):
    """Earlier messages that fit."""

    messages: list[PromptMessage]
    numbers: list[int]
    """Their sequence numbers, in order."""
    cut: int
    """The sequence number up to which messages did not fit; 0 when all did."""
    tokens: int


def prompt(history: History, question: int, window: Window) -> Prompt:
    """What to send: system prompt and summary, the newest earlier turns that fit, and the question whole.

    An earlier turn is told whole or not at all, so that user and assistant always alternate: a failed one
    without text and one of which a half was deleted are left out.

    Args:
        history: What there is, in sequence order.
        question: The sequence number of the message to be answered.
        window: What the model takes.

    Raises:
        MessageTooLong: system prompt and question alone do not fit.
    """
    asked = next(content for number, content, _ in reversed(history.messages) if number == question)
    fixed = fixed_tokens(history.system_prompt, asked, window)
    summary = history.summary if summary_fits(history.summary, window.room - fixed) else None
    free = window.room - fixed - summary_cost(summary)
    chosen = newest_that_fit(history.messages, free, cut=history.cut)
    estimate = fixed + summary_cost(summary) + chosen.tokens
    context = PromptRecord(
        question=question,
        sent=ranges(chosen.numbers),
        cut=chosen.cut,
        summary_id=summary.summary_id if summary else None,
        summarised=history.summary.last if history.summary else 0,
        system=None if history.system_prompt is None else window.counted(message_tokens(history.system_prompt)),
        tokens=window.counted(estimate),
        correction=window.correction,
    )
    messages = [*system_message(history.system_prompt, summary), *chosen.messages, chat_message(Role.USER, asked)]
    return Prompt(messages, context, estimate, fixed, asked)


def fixed_tokens(system_prompt: str | None, asked: str, window: Window) -> int:
    """Tokens of what every prompt holds.

    Raises:
        MessageTooLong: that is more than there is room for.
    """
    fixed = message_tokens(asked) + (message_tokens(system_prompt) if system_prompt else 0)
    if fixed > window.room:
        has = "message and system prompt" if system_prompt else "message"
        raise MessageTooLong(
            f"The {has} would take about {window.counted(fixed)} tokens; the model has room for {window.tokens}, "
            f"{window.reply} of them for the reply."
        )
    return fixed


def newest_that_fit(messages: Sequence[HistoryMessage], room: int, cut: int = 0) -> FittedHistory:
    """The longest run of newest turns, with a question and a reply that has text, within so many tokens.

    One pass that ends where the room does: there may be a thousand messages in every turn.
    """
    chosen: list[PromptMessage] = []
    numbers: list[int] = []
    replies: dict[int, tuple[int, str]] = {}
    left = room
    for number, content, answers in reversed(messages):
        if answers is not None:
            replies[answers] = number, content
        elif (found := replies.get(number)) and not (reply := found[1]).isspace() and reply:
            tokens = estimated_tokens(content) + estimated_tokens(reply) + PAIR_TOKENS
            if tokens > left:
                cut = found[0]
                break
            left -= tokens
            chosen += ({"role": "assistant", "content": reply}, {"role": "user", "content": content})
            numbers += (found[0], number)
    chosen.reverse()
    numbers.reverse()
    return FittedHistory(chosen, numbers, cut, room - left)


def ranges(numbers: Sequence[int]) -> tuple[Range, ...]:
    """Ascending numbers as ranges; all in one is the usual case."""
    if not numbers:
        return ()
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return ((numbers[0], numbers[-1]),)
    found: list[Range] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return tuple(found)


def system_message(system_prompt: str | None, summary: Summary | None) -> list[PromptMessage]:
    """The one system message, if there is anything to say in it: some models' templates take no second."""
    parts = [system_prompt] if system_prompt else []
    if summary is not None:
        parts.append(f"{SUMMARY_MARK}\n{summary.content}")
    return [chat_message(Role.SYSTEM, "\n\n".join(parts))] if parts else []


def summary_fits(summary: Summary | None, room: int) -> bool:
    """Whether a summary leaves at least half of the room to the messages themselves."""
    return summary is not None and summary_cost(summary) <= room // 2


def summary_cost(summary: Summary | None) -> int:
    """Tokens of a summary, estimated."""
    return 0 if summary is None else message_tokens(SUMMARY_MARK) + estimated_tokens(summary.content)


def chat_message(role: str, content: str) -> PromptMessage:
    """One message as a model gets it."""
    return {"role": role, "content": content}


def message_tokens(content: str) -> int:
    """Tokens of a message, estimated."""
    return estimated_tokens(content) + TOKENS_PER_MESSAGE
