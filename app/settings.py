"""The service's settings: environment variables, and `.env` in the working directory."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from app.llm.providers.openai import CompatibleServer
from app.llm.providers.registry import EMBEDDING_SERVERS, PROVIDERS, ProviderSettings
from app.llm.providers.spec import ProviderSpec
from app.rag.models.local_models import DEFAULT, LOCAL_MODELS
from app.setting_groups import DatabaseSettings, LimitSettings, ServerSettings
from app.setting_types import LowerCase, one_of, parse_json

PROVIDER_NAMES = [spec.name for spec in PROVIDERS]
FURTHER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
EMBEDDED, LEXICAL = "local", "none"
"""Values of EMBEDDING_PROVIDER: the model in this process, and search without vectors."""
MISSPELT_RATIO = 0.8
"""Ratio of equal characters, 0 to 1, from which on a name counts as a misspelt setting."""


class RoutingSettings(BaseModel):
    """The choice of providers and models."""

    llm_providers: Annotated[dict[str, CompatibleServer], NoDecode] = Field(
        {},
        description='Further servers with OpenAI\'s API: {"name": {"base_url": "https://host/v1", "model": "…", '
        '"api_key": "…", "context_window": 32768}, …}; api_key and context_window (tokens) are optional.',
    )
    llm_provider: Annotated[str | None, LowerCase] = Field(
        None,
        description=f"Default provider: {', '.join(PROVIDER_NAMES)} or a name in LLM_PROVIDERS; default: the first "
        "with a key, else the server at OPENAI_BASE_URL, else local.",
    )
    llm_model: str | None = Field(
        None,
        description="Model of LLM_PROVIDER; default: the provider's own, or the first that the server at "
        "OPENAI_BASE_URL lists.",
    )
    llm_context_window: int | None = Field(
        None,
        ge=256,
        description="Context window of LLM_MODEL in tokens, prompt and reply together; default: by the model's name. "
        "Set it if the server runs the model with another one.",
    )
    llm_fallbacks: str | None = Field(
        None,
        description="Fallbacks, comma-separated, as provider or provider:model; tried in order when a provider fails "
        "before its reply has begun; default: none.",
    )
    title_model: str | None = Field(
        None,
        description="Model that writes a conversation's title after its first turn, as model or provider:model; "
        "default: none, the title is the beginning of the first message.",
    )
    summaries: bool = Field(
        True,
        description="Whether messages that no longer fit the context window are summarised in the background, which "
        "costs provider calls.",
    )
    user_daily_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens that each user may spend per day (UTC), input and output together; default: unlimited.",
    )

    @field_validator("llm_providers", mode="before")
    @classmethod
    def _parse_llm_providers(cls, value: object) -> object:
        return parse_json(value) if isinstance(value, str) else value

    @field_validator("llm_providers")
    @classmethod
    def _check_names(cls, value: dict[str, CompatibleServer]) -> dict[str, CompatibleServer]:
        for name in value:
            if name in PROVIDER_NAMES or not FURTHER_NAME.fullmatch(name):
                raise ValueError(
                    f"cannot name a provider {name!r}: use 1 to 40 of a-z, 0-9, _ and -, a letter first, but not "
                    f"{', '.join(PROVIDER_NAMES)}"
                )
        return value

    @field_validator("llm_provider")
    @classmethod
    def _check_llm_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        return one_of(value, [*PROVIDER_NAMES, *info.data.get("llm_providers", {})])

    @property
    def fallbacks(self) -> list[tuple[str, str | None]]:
        """The fallbacks as provider and model; None for the provider's default model."""
        named = [each.strip().partition(":") for each in (self.llm_fallbacks or "").split(",") if each.strip()]
        return [(provider.lower(), model or None) for provider, _, model in named]


class DocumentSettings(BaseModel):
    """Documents and the search in them."""

    max_document_bytes: int = Field(
        20_000_000,
        ge=1,
        description="Maximum size of an uploaded document in bytes; larger ones are refused with 413 "
        "payload-too-large.",
    )
    embedding_provider: Annotated[str | None, LowerCase] = Field(
        None,
        description=f"Embedding provider: {', '.join([EMBEDDED, *EMBEDDING_SERVERS])}, a name in LLM_PROVIDERS, or "
        "none (search by words only); default: local if the extra documents is installed, else none.",
    )
    embedding_model: str | None = Field(
        None,
        description="Model of EMBEDDING_PROVIDER, required for one of LLM_PROVIDERS; default: the provider's own. The "
        f"models of local are {' and '.join(LOCAL_MODELS)}. A change re-embeds all documents in the background.",
    )
    rerank_model: str | None = Field(
        None,
        description="Model that reorders search results, as provider:model; the provider is one of LLM_PROVIDERS "
        "with a /rerank endpoint; default: none.",
    )

    @field_validator("embedding_provider")
    @classmethod
    def _check_embedding_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        return one_of(value, [EMBEDDED, *EMBEDDING_SERVERS, *info.data.get("llm_providers", {}), LEXICAL])

    @field_validator("rerank_model")
    @classmethod
    def _check_rerank_model(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider, _, model = (value or "").partition(":")
        if value is not None and (provider not in info.data.get("llm_providers", {}) or not model):
            raise ValueError("must be provider:model, with a provider of LLM_PROVIDERS")
        return value

    @property
    def effective_embedding_provider(self) -> str | None:
        """The embedding provider; None for lexical search only."""
        if self.embedding_provider is None:
            return EMBEDDED if self.embedding_model in LOCAL_MODELS or LOCAL_MODELS[DEFAULT].path() else None
        return None if self.embedding_provider == LEXICAL else self.embedding_provider


class Settings(
    # The groups' fields are listed from the last base to the first, as in `.env.example`.
    LimitSettings,
    DocumentSettings,
    ProviderSettings,
    RoutingSettings,
    DatabaseSettings,
    ServerSettings,
    BaseSettings,
):
    """Every setting with its default; its description is its comment in `.env.example`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,  # it may hold keys
    )

    @model_validator(mode="after")
    def _check_credentials(self) -> Settings:
        for spec in PROVIDERS:
            if spec.name == self.llm_provider and not spec.is_configured(self):
                raise ValueError(f"LLM_PROVIDER is {spec.name}: set {spec.requirement}")
        for provider, _ in self.fallbacks:
            if provider not in self.providers:
                raise ValueError(f"LLM_FALLBACKS names {provider!r}: configured are {', '.join(self.providers)}")
        return self

    @model_validator(mode="after")
    def _check_models(self) -> Settings:
        models = {spec.name: spec.models(self) for spec in PROVIDERS if spec.models is not None}
        for setting, provider, model in self._named_models():
            if model and model not in models.get(provider, [model]):
                raise ValueError(f"{setting} names {model!r}: {provider} has {', '.join(models[provider])}")
        return self

    def _named_models(self) -> Iterator[tuple[str, str, str | None]]:
        """Yield each model in a setting, as setting, provider and model; None for the provider's default model."""
        if not any(spec.ignores_llm_model for spec in PROVIDERS if spec.name == self.effective_provider):
            yield "LLM_MODEL", self.effective_provider, self.llm_model
        for provider, fallback in self.fallbacks:
            yield "LLM_FALLBACKS", provider, fallback
        if self.title_model:
            provider, _, model = self.title_model.partition(":")
            known = provider in self.providers
            yield "TITLE_MODEL", *((provider, model) if known else (self.effective_provider, self.title_model))

    @model_validator(mode="after")
    def _check_embedder(self) -> Settings:
        provider = self.embedding_provider
        if self.effective_embedding_provider == EMBEDDED:
            self._check_local_model(self.embedding_model or DEFAULT)
        for spec in PROVIDERS:
            if spec.name == provider and not spec.is_configured(self):
                raise ValueError(f"EMBEDDING_PROVIDER is {provider}: set {spec.requirement}")
        if provider in self.llm_providers and self.embedding_model is None:
            raise ValueError(f"EMBEDDING_PROVIDER is {provider}: set EMBEDDING_MODEL")
        return self

    def _check_local_model(self, name: str) -> None:
        """Raise ValueError if the local embedder does not have a model, or its extra is not installed."""
        if name not in LOCAL_MODELS:
            raise ValueError(f"EMBEDDING_MODEL names {name!r}: {EMBEDDED} has {', '.join(LOCAL_MODELS)}")
        if LOCAL_MODELS[name].path() is None:
            setting = f"EMBEDDING_MODEL is {name}" if self.embedding_model else f"EMBEDDING_PROVIDER is {EMBEDDED}"
            raise ValueError(f"{setting}: install the extra `{LOCAL_MODELS[name].extra}`")

    @property
    def configured_providers(self) -> list[ProviderSpec[ProviderSettings]]:
        """The known providers that have what they need; the scripted one only where it is named."""
        named = {self.llm_provider, *(provider for provider, _ in self.fallbacks)}
        return [
            spec for spec in PROVIDERS if spec.is_configured(self) and (spec.name in named or not spec.only_when_named)
        ]

    @property
    def providers(self) -> list[str]:
        """Names of all configured providers, further ones included."""
        return [*(spec.name for spec in self.configured_providers), *self.llm_providers]

    @property
    def base_urls(self) -> dict[str, str]:
        """The base URLs that are set, by the names of their settings."""
        servers = [spec.server for spec in PROVIDERS if spec.server is not None]
        own = {server.base_url_setting: server.endpoint(self).base_url for server in servers}
        further = {f"LLM_PROVIDERS.{name}": each.base_url for name, each in self.llm_providers.items()}
        return {name: url for name, url in own.items() if url} | further

    @property
    def effective_provider(self) -> str:
        """The default provider: LLM_PROVIDER, else the first with a key, else the first that needs none."""
        if self.llm_provider is not None:
            return self.llm_provider
        configured = self.configured_providers
        with_key = (spec for spec in configured if spec.server is not None and spec.server.endpoint(self).api_key)
        return next(itertools.chain(with_key, configured)).name


def misspelt_settings() -> dict[str, str]:
    """Find names in `.env` that are almost a setting's; return the nearest setting by name.

    Other names may be other programs' settings in the same file.
    """
    known = [*Settings.model_fields]
    nearest = {
        name: difflib.get_close_matches(name, known, 1, MISSPELT_RATIO)
        for name in DotEnvSettingsSource(Settings).env_vars
    }
    return {name.upper(): found[0].upper() for name, found in nearest.items() if found and found[0] != name}
