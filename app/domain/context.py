"""What a model is told: a pure choice among a conversation's messages."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.messages import Role
from app.domain.text import CHARACTERS_PER_TOKEN, estimated_tokens
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
    asked = next(content for number, content, _ in reversed(history.messages) if number == question)
    system = [told(Role.SYSTEM, history.system_prompt)] if history.system_prompt else []
    sent = [*system, told(Role.USER, asked)]
    room = window - (max_tokens or min(REPLY_TOKENS, window // 2)) - sum(map(cost, sent))
    return [*system, *newest_that_fit(history.messages, room), sent[-1]]


def newest_that_fit(messages: Sequence[HistoryMessage], room: int) -> list[PromptMessage]:
    """The longest run of newest turns, with a question and a reply that has text, within so many tokens.

    One pass, without a call for each message: there may be a thousand of them in every turn.
    """
    chosen: list[PromptMessage] = []
    replies: dict[int, str] = {}
    for number, content, answers in reversed(messages):
        if answers is not None:
            replies[answers] = content
        elif (reply := replies.get(number)) and not reply.isspace():
            room -= (len(content) + len(reply)) // CHARACTERS_PER_TOKEN + 2 * TOKENS_PER_MESSAGE
            if room < 0:
                break
            chosen += ({"role": "assistant", "content": reply}, {"role": "user", "content": content})
    chosen.reverse()
    return chosen


def told(role: str, content: str) -> PromptMessage:
    """One message as a model gets it."""
    return {"role": role, "content": content}


def cost(message: PromptMessage) -> int:
    """Tokens of a message, estimated."""
    return estimated_tokens(len(message["content"])) + TOKENS_PER_MESSAGE
