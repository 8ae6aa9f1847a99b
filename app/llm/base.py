"""The seam to every language model: one protocol, one request, one kind of chunk."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from app.domain.messages import FinishReason, Usage
from app.domain.prompt import PromptMessage


class Target(NamedTuple):
    """Who is asked."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked of a model; temperature and max_tokens are left to it when None."""

    model: str
    messages: Sequence[PromptMessage]
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a reply, as it arrives.

    `text` is made of whole code points that both databases can store. `reasoning` is thinking that is no part
    of the reply. The last chunk of a finished reply has a `finish_reason`; `usage` may come with any.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


class ChatModel(Protocol):
    """A provider of replies."""

    @property
    def name(self) -> str:
        """The provider's name, as requests give it."""
        ...

    @property
    def default_model(self) -> str:
        """The model that answers when none is named."""
        ...

    @property
    def models(self) -> Sequence[str] | None:
        """The models that may be named; None when only the provider knows."""
        ...

    @property
    def concurrency(self) -> int | None:
        """How many turns may be at work at once in this process; None for no bound of its own."""
        ...

    @property
    def remote(self) -> bool:
        """Whether it is asked over HTTP."""
        ...

    @property
    def cites(self) -> bool:
        """Whether it can be told to cite what it was given, and to say that something is not in it.

        One that cannot answers from a single passage, and the service quotes that.
        """
        ...

    @property
    def present(self) -> bool:
        """Whether it can be asked at all, as far as is known without asking."""
        ...

    def context_window(self, model: str) -> int:
        """Tokens of prompt and reply together that a model takes, as far as is known."""
        ...

    async def prepare(self) -> None:
        """Finds out what has to be known before a turn, such as the model that answers; soon done, and never fails."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Asks for a reply and gives it piece by piece; closing the generator stops the model.

        Raises:
            TurnFailed: one of its subclasses, when the provider fails or the reply ends without a finish reason.
        """
        ...

    async def aclose(self) -> None:
        """Frees connections and threads."""
        ...
