from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.prompt import Prompt, Window
from app.domain.usage import Attempt
from app.llm.base import Target


class Sink(Protocol):
    """Takes a reply as it comes."""

    def append(self, text: str) -> None:
        """More of its text."""
        ...

    def think(self, text: str) -> None:
        """More of the thinking behind it, which is no part of it."""
        ...

    def retract(self) -> str | None:
        """Takes back the text so far, and gives it; None, and nothing is taken, where any of it was sent or stored."""
        ...


@dataclass(slots=True)
class ModelCall:
    """A reply that is wanted, and what has been done for it so far."""

    target: Target
    """Who is to be asked first."""
    compose: Callable[[Window], Prompt]
    """Gives what to send to a model that takes so much. Raises MessageTooLong."""
    sink: Sink
    deadline: float
    """By the event loop's clock."""
    temperature: float | None = None
    max_tokens: int | None = None
    exhausted: Callable[[], bool] | None = None
    """Whether the reply has to stop where it is, asked after each piece of it."""
    attempts: list[Attempt] = field(default_factory=list)
    author: Target | None = None
    """Who was asked last."""
    prompt: Prompt | None = None
    """What was sent last."""
    twentieths: int = 0
    """The text and thoughts that came, estimated in twentieths of a token."""
    begun: bool = False
    """Whether a text or a thought has come: from then on nobody else is asked."""
