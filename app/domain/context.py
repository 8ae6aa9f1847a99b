"""What a model is told: a pure choice among a conversation's messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from app.domain.messages import Role
from app.domain.text import estimated_tokens
from app.domain.turns import History, HistoryMessage

REPLY_TOKENS = 1_024
"""Room left for the reply where the caller set no bound."""

TOKENS_PER_MESSAGE = 4
"""What a chat format adds around each message."""

PromptMessage = dict[str, str]


def prompt(history: History, question: int, window: int, max_tokens: int | None) -> list[PromptMessage]:
    """The messages to send: the system prompt, the newest earlier turns that fit, and the question whole.

    An earlier turn is told whole or not at all, so that user and assistant always alternate: a failed one
    without text and one of which a half was deleted are left out.

    Args:
        history: What there is, in sequence order.
        question: The sequence number of the message to be answered.
        window: Tokens that the model takes, prompt and reply together.
        max_tokens: The bound of the reply, if there is one.
    """
    asked = [message for message in history.messages if message.sequence_number == question]
    system = [told(Role.SYSTEM, history.system_prompt)] if history.system_prompt else []
    sent = [*system, *(told(Role.USER, message.content) for message in asked)]
    room = window - (max_tokens or min(REPLY_TOKENS, window // 2)) - sum(map(cost, sent))
    earlier = newest_that_fit(turns(history.messages), room)
    return [*system, *earlier, *sent[len(system) :]]


def turns(messages: Sequence[HistoryMessage]) -> Iterator[list[PromptMessage]]:
    """Earlier turns with a question and a reply that has text, newest first."""
    questions = {m.sequence_number: m for m in messages if m.role == Role.USER}
    for reply in reversed(messages):
        asked = questions.get(reply.answers or 0)
        if asked is not None and reply.content.strip():
            yield [told(Role.USER, asked.content), told(Role.ASSISTANT, reply.content)]


def newest_that_fit(newest_first: Iterable[list[PromptMessage]], room: int) -> list[PromptMessage]:
    """The longest run of newest turns within so many tokens, in sequence order."""
    chosen: list[list[PromptMessage]] = []
    for turn in newest_first:
        room -= sum(map(cost, turn))
        if room < 0:
            break
        chosen.append(turn)
    return [message for turn in reversed(chosen) for message in turn]


def told(role: str, content: str) -> PromptMessage:
    """One message as a model gets it."""
    return {"role": role, "content": content}


def cost(message: PromptMessage) -> int:
    """Tokens of a message, estimated."""
    return estimated_tokens(len(message["content"])) + TOKENS_PER_MESSAGE
