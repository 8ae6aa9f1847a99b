"""Factories for what settings name: the database, providers, document reader, embedder and reranker."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.db.connect import connect, place_of
from app.db.database import Database
from app.http.openai_client import openai_client
from app.http.sdk_client import SdkClient
from app.llm.base import ChatModel, Target
from app.llm.catalog import Catalog
from app.llm.providers.openai import build_compatible
from app.llm.providers.registry import EMBEDDING_SERVERS
from app.llm.providers.spec import ModelOptions
from app.llm.router import Router
from app.llm.stream_consumer import StreamLimits
from app.rag.models.embedder import Embedder
from app.rag.models.local_embedder import LocalEmbedder
from app.rag.models.openai_embedder import OpenAIEmbedder
from app.rag.models.reranker import RemoteReranker, Reranker
from app.rag.sandbox import client
from app.rag.sandbox.client import DocumentReader
from app.setting_types import Pooler
from app.settings import EMBEDDED, Settings


def described(settings: Settings) -> str:
    """Say in a few words what these settings make, without a secret."""
    model, embedder = catalog_of(settings).default, embedder_of(settings)
    parts = {
        "database": place_of(settings.effective_database_url),
        "replies by": f"{model.name} {model.default_model}",
        "embedder": "none" if embedder is None else embedder.name,
        "documents": "on" if client.installed() else "off",
    }
    return ", ".join(f"{name} {what}" for name, what in parts.items())


def database_of(settings: Settings, *, pool_size: int) -> Database:
    """The database, to which nothing is connected yet."""
    by_transaction = settings.database_pooler is Pooler.TRANSACTION
    return connect(settings.effective_database_url, pool_size=pool_size, by_transaction=by_transaction)


def catalog_of(settings: Settings) -> Catalog:
    """Build the catalog of all configured providers."""
    return Catalog([*providers(settings)], settings.effective_provider)


def providers(settings: Settings) -> Iterator[ChatModel]:
    """Build each configured provider."""
    for spec in settings.configured_providers:
        yield spec.build(settings, model_options(settings, spec.name, spec.default_model))
    for name, server in settings.llm_providers.items():
        yield build_compatible(name, server, model_options(settings, name, server.model))


def model_options(settings: Settings, provider: str, default_model: str) -> ModelOptions:
    """Return a provider's model and window; LLM_MODEL and LLM_CONTEXT_WINDOW are the default provider's alone."""
    is_default = provider == settings.effective_provider
    model = settings.llm_model if is_default else None
    window = settings.llm_context_window if is_default else None
    return ModelOptions(model or default_model, model is not None, window, settings.connect_seconds)


def router_of(settings: Settings, catalog: Catalog) -> Router:
    fallbacks = [Target(name, model or "") for name, model in settings.fallbacks]
    return Router(catalog, fallbacks, limits_of(settings))


def limits_of(settings: Settings) -> StreamLimits:
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
    """Build the embedder; None for lexical search only."""
    provider = settings.effective_embedding_provider
    if provider is None:
        return None
    if provider == EMBEDDED:
        return LocalEmbedder()
    model = settings.embedding_model or EMBEDDING_SERVERS[provider].embedding_model
    return OpenAIEmbedder(provider, model, client_of(settings, provider))


def reranker_of(settings: Settings) -> Reranker | None:
    """Build the reranker; None where RERANK_MODEL is unset."""
    if settings.rerank_model is None:
        return None
    provider, _, model = settings.rerank_model.partition(":")
    return RemoteReranker(model, client_of(settings, provider))


def client_of(settings: Settings, provider: str) -> Callable[[], SdkClient]:
    """Return the factory of the client for a provider with OpenAI's API."""
    further = settings.llm_providers.get(provider)
    endpoint = further.endpoint if further else EMBEDDING_SERVERS[provider].endpoint(settings)
    return functools.partial(openai_client, endpoint.key_text, endpoint.base_url, settings.connect_seconds)
