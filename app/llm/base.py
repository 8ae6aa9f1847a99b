"""The protocol of language models: one request, one kind of chunk."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from app.domain.messages import FinishReason, Usage
from app.domain.prompt import PromptMessage


class Target(NamedTuple):
    """A model at a provider."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for a reply; the model chooses temperature and max_tokens when they are None."""

    model: str
    messages: Sequence[PromptMessage]
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a reply, as it arrives.

    `text` is made of whole code points that both databases can store; `reasoning` is no part of it. The last chunk of a
    finished reply has a `finish_reason`; `usage` may come with any chunk.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


class ChatModel(Protocol):
    """A provider of replies."""

    @property
    def name(self) -> str:
        """The provider's name in requests."""
        ...

    @property
    def default_model(self) -> str:
        """The model for requests that name none."""
        ...

    @property
    def models(self) -> Sequence[str] | None:
        """Names of all models; None when only the provider knows them."""
        ...

    @property
    def concurrency(self) -> int | None:
        """Maximum of running turns in this process; None for no limit of its own."""
        ...

    @property
    def remote(self) -> bool:
        """True if requests go over HTTP."""
        ...

    @property
    def cites(self) -> bool:
        """True if it follows instructions to cite its sources, and to say when they hold no answer.

        For another one the service quotes the best passage itself.
        """
        ...

    @property
    def present(self) -> bool:
        """False if its libraries or files are missing."""
        ...

    def context_window(self, model: str) -> int:
        """Return the tokens of prompt and reply together that a model accepts, as far as is known."""
        ...

    async def prepare(self) -> None:
        """Discover what a turn needs to know first, such as the default model; takes seconds at most, never raises."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Generate a reply piece by piece; closing the generator stops the model.

        Raises:
            TurnFailed: one of its subclasses, when the provider fails or the reply ends without a finish reason.
        """
        ...

    async def aclose(self) -> None:
        """Free connections and threads."""
        ...
