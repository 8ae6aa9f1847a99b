from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from app.domain.messages import ResolvedModel, Sampling
from app.errors import UnknownModel
from app.llm.base import ChatModel, Target


class Catalog:
    """The configured providers by name, with the default one."""

    def __init__(self, models: Sequence[ChatModel], default: str) -> None:
        self._models = {model.name: model for model in models}
        self.default = self._models[default]

    def __getitem__(self, provider: str) -> ChatModel:
        """Return the provider of that name.

        Raises:
            UnknownModel: there is none; a stored turn may name one that is no longer configured.
        """
        try:
            return self._models[provider]
        except KeyError:
            raise UnknownModel(f"There is no provider {provider!r}; choose one of {', '.join(self._models)}.") from None

    async def prepare(self, provider: str | None = None) -> None:
        """Wait until a provider, by default the default one, knows its default model."""
        model = self._models.get(provider or self.default.name)
        if model is not None:
            await model.prepare()

    async def prepare_all(self) -> None:
        await asyncio.gather(*(model.prepare() for model in self._models.values()))

    def resolve(self, turn: Sampling, conversation: Sampling) -> ResolvedModel:
        """Resolve the model and parameters of a turn: those of the request, else of the conversation, else the default.

        A model named for one provider is never used with another.

        Raises:
            UnknownModel: there is no such provider, or it has no such model.
        """
        provider = self[turn.provider or conversation.provider or self.default.name]
        inherited = conversation.provider or self.default.name
        model = turn.model or (conversation.model if provider.name == inherited else None)
        return ResolvedModel(
            provider=provider.name,
            model=checked_model(provider, model or provider.default_model),
            temperature=conversation.temperature if turn.temperature is None else turn.temperature,
            max_tokens=conversation.max_tokens if turn.max_tokens is None else turn.max_tokens,
        )

    def target(self, name: str) -> Target:
        """Return the target that `provider`, `provider:model` or `model` (of the default provider) names.

        Raises:
            UnknownModel: the provider has no such model.
        """
        provider, _, model = name.partition(":")
        chosen = self._models.get(provider)
        if chosen is None:
            chosen, model = self.default, name
        return Target(chosen.name, checked_model(chosen, model or chosen.default_model))

    def targets(self) -> Iterator[Target]:
        """Yield all models whose names are known, each provider's default one first."""
        for provider in self._models.values():
            names = dict.fromkeys([provider.default_model, *(provider.models or ())])
            yield from (Target(provider.name, model) for model in names)

    async def aclose(self) -> None:
        for model in self._models.values():
            await model.aclose()


def checked_model(provider: ChatModel, model: str) -> str:
    """Return the model's name, if the provider has it or publishes no list.

    Raises:
        UnknownModel: it is not in the provider's list.
    """
    if provider.models is None or model in provider.models:
        return model
    raise UnknownModel(f"{provider.name} has no model {model!r}; choose one of {', '.join(provider.models)}.")
