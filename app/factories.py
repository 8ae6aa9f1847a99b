"""Factories for what settings name: the database, providers, document reader, embedder and reranker."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pydantic import SecretStr

from app.db.connect import connect, describe_location
from app.db.database import Database
from app.http.openai_client import openai_client
from app.http.sdk_client import SdkClient
from app.llm.base import ChatModel, Target
from app.llm.catalog import Catalog
from app.llm.context_windows import UNKNOWN
from app.llm.providers.groq import GroqModel
from app.llm.providers.local import CONTEXT_TOKENS as LOCAL_CONTEXT_TOKENS
from app.llm.providers.local import LocalModel
from app.llm.providers.openai import OpenAIModel
from app.llm.providers.optional_parameters import is_openai_or_azure
from app.llm.providers.scripted import ScriptedModel
from app.llm.router import Router
from app.llm.stream_consumer import StreamLimits
from app.rag.models.embedder import Embedder
from app.rag.models.local_embedder import LocalEmbedder
from app.rag.models.openai_embedder import OpenAIEmbedder
from app.rag.models.reranker import RemoteReranker, Reranker
from app.rag.sandbox import client
from app.rag.sandbox.client import DocumentReader
from app.setting_types import Pooler, Provider
from app.settings import Settings

DEFAULT_EMBEDDING_MODEL = "text-embedding-3-small"

NO_KEY = "none"
"""What a server without keys is sent, since the SDK insists on one."""


def described(settings: Settings) -> str:
    """Say in a few words what these settings make, without a secret."""
    model, embedder = catalog_of(settings).default, embedder_of(settings)
    parts = {
        "database": describe_location(settings.effective_database_url),
        "replies by": f"{model.name} {model.default_model}",
        "embedder": "none" if embedder is None else embedder.name,
        "documents": "on" if client.installed() else "off",
    }
    return ", ".join(f"{name} {what}" for name, what in parts.items())


def database_of(settings: Settings, *, pool_size: int) -> Database:
    """The database, to which nothing is connected yet."""
    transaction_pooling = settings.database_pooler is Pooler.TRANSACTION
    return connect(settings.effective_database_url, pool_size=pool_size, transaction_pooling=transaction_pooling)


def catalog_of(settings: Settings) -> Catalog:
    """The providers that these settings give access to."""
    return Catalog(list(providers(settings)), settings.effective_provider)


def providers(settings: Settings) -> Iterator[ChatModel]:
    """Each provider that can be asked, by the name that it is asked by."""
    default = settings.effective_provider
    window, patience = settings.llm_context_window, settings.connect_seconds

    def chosen(provider: str, otherwise: str) -> tuple[str, int | None]:
        return (settings.llm_model or otherwise, window) if provider == default else (otherwise, None)

    for name in settings.providers:
        if (further := settings.llm_providers.get(name)) is not None:
            key, (model, tokens) = secret(further.api_key), chosen(name, further.model)
            yield OpenAIModel(key, further.base_url, model, tokens or further.context_window, patience, name)
        elif name == Provider.OPENAI:
            key, (model, tokens) = secret(settings.openai_api_key), chosen(name, "gpt-5-mini")
            discover = lists_its_models(settings)
            yield OpenAIModel(key, settings.openai_base_url, model, tokens, patience, discover_model=discover)
        elif name == Provider.GROQ:
            key, (model, tokens) = secret(settings.groq_api_key), chosen(name, "openai/gpt-oss-120b")
            yield GroqModel(key, settings.groq_base_url, model, tokens, patience)
        elif name == Provider.LOCAL:
            tokens = (window if default == name else None) or LOCAL_CONTEXT_TOKENS
            yield LocalModel(
                settings.local_model_path, settings.local_model_threads, settings.local_model_turns, tokens
            )
        else:
            model, tokens = chosen(name, "echo")
            yield ScriptedModel(model, tokens or UNKNOWN)


def lists_its_models(settings: Settings) -> bool:
    """Return whether the server at OPENAI_BASE_URL is to say which model answers, since no setting does."""
    base_url = settings.openai_base_url
    named = settings.llm_model is not None and settings.effective_provider == Provider.OPENAI
    return base_url is not None and not is_openai_or_azure(base_url) and not named


def secret(key: SecretStr | None) -> str:
    """A key as the SDKs want it."""
    return key.get_secret_value() if key else NO_KEY


def router_of(settings: Settings, catalog: Catalog) -> Router:
    """Who is asked, and who else when that one fails."""
    fallbacks = [Target(name, model or "") for name, model in settings.fallbacks]
    return Router(catalog, fallbacks, limits_of(settings))


def limits_of(settings: Settings) -> StreamLimits:
    """How long models may take."""
    return StreamLimits(
        first_token=settings.first_token_seconds,
        first_token_reasoning=settings.first_token_reasoning_seconds,
        idle=settings.idle_seconds,
        total=settings.turn_seconds,
        characters=settings.max_output_characters,
    )


class Rag(NamedTuple):
    """What reads documents, and finds what they say; None for what is not there."""

    reader: DocumentReader | None
    embedder: Embedder | None
    reranker: Reranker | None


def rag_of(settings: Settings, embedder: Embedder | None) -> Rag:
    """What documents are read and found with."""
    reader = DocumentReader() if client.installed() else None
    return Rag(reader, embedder or embedder_of(settings), reranker_of(settings))


def embedder_of(settings: Settings) -> Embedder | None:
    """Who gives vectors to what documents say and to what is asked; None where words have to do."""
    provider = settings.effective_embedding_provider
    if provider is None:
        return None
    if provider == Provider.LOCAL:
        return LocalEmbedder()
    return OpenAIEmbedder(provider, settings.embedding_model or DEFAULT_EMBEDDING_MODEL, client_of(settings, provider))


def reranker_of(settings: Settings) -> Reranker | None:
    """Who puts in order what was found, where that is wanted."""
    if settings.rerank_model is None:
        return None
    provider, _, model = settings.rerank_model.partition(":")
    return RemoteReranker(model, client_of(settings, provider))


def client_of(settings: Settings, provider: str) -> Callable[[], SdkClient]:
    """What makes a client for a provider that speaks OpenAI's API."""
    further = settings.llm_providers.get(provider)
    key, base_url = (
        (further.api_key, further.base_url) if further else (settings.openai_api_key, settings.openai_base_url)
    )
    return functools.partial(openai_client, secret(key), base_url, settings.connect_seconds)
