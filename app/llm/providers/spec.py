"""The declaration of a provider, from which settings, factories and checks before the start take all they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from pydantic import SecretStr

from app.http.openai_client import NO_KEY
from app.llm.base import ChatModel

COMPLETIONS_PATH = "/chat/completions"
VERSION_IN_PATH = re.compile(r"/v[0-9]+[a-z0-9]*(/|$)", re.IGNORECASE)
"""The version of an API in a URL's path: `/v1`, `/v1beta`, `/v4`."""

S_contra = TypeVar("S_contra", contravariant=True)
"""A pydantic model with the provider's own settings."""


class Endpoint(NamedTuple):
    """Address and key of a server, as the settings give them."""

    api_key: SecretStr | None
    base_url: str | None
    """None for the provider's own address."""

    @property
    def key_text(self) -> str:
        """The key, or `NO_KEY` for a server without keys."""
        return self.api_key.get_secret_value() if self.api_key else NO_KEY


class ModelOptions(NamedTuple):
    """The settings of a provider's default model that all providers share."""

    model: str
    """LLM_MODEL for the default provider, else the provider's own default model."""
    is_named: bool
    """True if LLM_MODEL names it."""
    context_window: int | None
    """LLM_CONTEXT_WINDOW in tokens; None where it is unset, or the provider is not the default one."""
    connect_seconds: float


@dataclass(frozen=True, kw_only=True)
class Server(Generic[S_contra]):
    """The HTTP server of a provider."""

    endpoint: Callable[[S_contra], Endpoint]
    key_setting: str
    base_url_setting: str
    default_base_url: str
    path_warnings: Callable[[str, str], Iterator[str]]
    """Warnings about the path of a base URL, called with the setting's name and its value."""
    needs_key: bool = True
    """False if a base URL suffices."""
    embedding_model: str = ""
    """Its default embedding model; empty where it has no `/embeddings` of OpenAI's API."""


@dataclass(frozen=True, kw_only=True)
class ProviderSpec(Generic[S_contra]):
    """A provider with a name, settings and a factory of its own."""

    name: str
    default_model: str
    build: Callable[[S_contra, ModelOptions], ChatModel]
    requirement: str | None = None
    """The settings or the extra that it needs; None for none."""
    server: Server[S_contra] | None = None
    """None for a provider inside this process."""
    models: Callable[[S_contra], Sequence[str]] | None = None
    """Names of all its models; None when only the provider knows them."""
    ignores_llm_model: bool = False
    """True if its own settings choose the model instead of LLM_MODEL."""
    only_when_named: bool = False
    """True if it is offered only where LLM_PROVIDER or LLM_FALLBACKS names it."""
    is_present: Callable[[S_contra], bool] | None = None
    """Returns whether its libraries and files are installed; None for a provider that needs none."""
    warnings: Callable[[S_contra], Iterator[str]] | None = None
    """Warnings about its settings, each beginning with a setting's name."""
    loggers: tuple[str, ...] = ()
    """Loggers of its libraries, limited to warnings."""

    def is_configured(self, settings: S_contra) -> bool:
        """Return whether the settings give it the key or base URL that it needs."""
        if self.server is None:
            return True
        api_key, base_url = self.server.endpoint(settings)
        return api_key is not None or (base_url is not None and not self.server.needs_key)
