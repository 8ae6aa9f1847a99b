from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from app.domain.messages import ResolvedModel, Sampling
from app.errors import UnknownModel
from app.llm.base import ChatModel, Target


class Catalog:
    """The providers of this deployment, and which of them answers what."""

    def __init__(self, models: Sequence[ChatModel], default: str) -> None:
        self._models = {model.name: model for model in models}
        self.default = self._models[default]

    def __getitem__(self, provider: str) -> ChatModel:
        """The provider of that name.

        Raises:
            UnknownModel: there is none, as when a stored turn names one that is no longer configured.
        """
        try:
            return self._models[provider]
        except KeyError:
            raise UnknownModel(f"There is no provider {provider!r}; choose one of {', '.join(self._models)}.") from None

    async def prepare(self, provider: str | None = None) -> None:
        """Waits until a provider, or the default one, knows which model answers when none is named."""
        model = self._models.get(provider or self.default.name)
        if model is not None:
            await model.prepare()

    async def prepare_all(self) -> None:
        """The same for all of them, at once."""
        await asyncio.gather(*(model.prepare() for model in self._models.values()))

    def resolve(self, turn: Sampling, conversation: Sampling) -> ResolvedModel:
        """Resolve the model and parameters of a turn: those of the request, else of the conversation, else the default.

        A model named for one provider is never used with another.

        Raises:
            UnknownModel: provider or model is not to be had here.
        """
        provider = self[turn.provider or conversation.provider or self.default.name]
        inherited = conversation.provider or self.default.name
        model = turn.model or (conversation.model if provider.name == inherited else None)
        return ResolvedModel(
            provider=provider.name,
            model=checked(provider, model or provider.default_model),
            temperature=conversation.temperature if turn.temperature is None else turn.temperature,
            max_tokens=conversation.max_tokens if turn.max_tokens is None else turn.max_tokens,
        )

    def target(self, name: str) -> Target:
        """Who is meant by `provider`, `provider:model` or `model`, of which the last is the default provider's.

        Raises:
            UnknownModel: the provider has no such model.
        """
        provider, _, model = name.partition(":")
        chosen = self._models.get(provider)
        if chosen is None:
            chosen, model = self.default, name
        return Target(chosen.name, checked(chosen, model or chosen.default_model))

    def targets(self) -> Iterator[Target]:
        """The models that are known by name, each provider's default one first."""
        for provider in self._models.values():
            names = dict.fromkeys([provider.default_model, *(provider.models or ())])
            yield from (Target(provider.name, model) for model in names)

    async def aclose(self) -> None:
        """Closes every provider's client."""
        for model in self._models.values():
            await model.aclose()


def checked(provider: ChatModel, model: str) -> str:
    """The model's name, if the provider has it or is the only one to know."""
    if provider.models is None or model in provider.models:
        return model
    raise UnknownModel(f"{provider.name} has no model {model!r}; choose one of {', '.join(provider.models)}.")
