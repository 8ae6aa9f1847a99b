from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from app.domain.prompt import Prompt, Window
from app.domain.usage import Attempt
from app.llm.base import Target


class Sink(Protocol):
    """Receives a reply piece by piece."""

    def append(self, text: str) -> None:
        """Add to the text."""
        ...

    def append_reasoning(self, text: str) -> None:
        """Add to the reasoning, which is no part of the text."""
        ...

    def retract(self) -> str | None:
        """Remove and return the text so far; None, with nothing removed, if any of it was sent or stored."""
        ...


class CallLimits(NamedTuple):
    """Bounds of a model call, over all of its attempts."""

    deadline: float
    """By the event loop's clock."""
    should_stop: Callable[[], bool] | None = None
    """Called after each piece of the reply; True ends the reply there."""


@dataclass(slots=True)
class ModelCall:
    """A request for a reply, and its progress over all attempts."""

    target: Target
    """The model to call first."""
    build_prompt: Callable[[Window], Prompt]
    """Builds the prompt for a model with this window. Raises MessageTooLong."""
    sink: Sink
    limits: CallLimits
    temperature: float | None = None
    max_tokens: int | None = None
    substitute: Callable[[], Awaitable[None]] | None = None
    """Writes the reply in the place of a fallback that cannot cite; None to call that fallback."""
    attempts: list[Attempt] = field(default_factory=list)
    target_used: Target | None = None
    """The model that was called last; None before the first attempt."""
    prompt: Prompt | None = None
    """The prompt that was sent last; None before the first attempt."""
    twentieths: int = 0
    """Estimated size of the text and reasoning received, in twentieths of a token."""
    started: bool = False
    """True once text or reasoning has come: no other model is called from then on."""
