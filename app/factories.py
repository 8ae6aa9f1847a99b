"""Factories for the resources that settings name: database, providers, document reader, embedder and reranker."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator

from app.db import schema
from app.db.connect import connect, describe_location
from app.db.database import Database
from app.db.startup import when_ready
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
from app.rag.models.local_models import DEFAULT
from app.rag.models.openai_embedder import OpenAIEmbedder
from app.rag.models.reranker import RemoteReranker, Reranker
from app.rag.sandbox import client
from app.rag.sandbox.client import DocumentReader
from app.services.container import Resources, ServiceOptions
from app.services.turns.capacity import CapacityLimits
from app.setting_types import Pooler
from app.settings import EMBEDDED, Settings
from app.signals import exit_on_signal


def describe(settings: Settings) -> str:
    """Summarise database, model, embedder and document support in one line, without secrets."""
    model, embedder = catalog_of(settings).default, embedder_of(settings)
    parts = {
        "database": describe_location(settings.effective_database_url),
        "replies by": f"{model.name} {model.default_model}",
        "embedder": "none" if embedder is None else embedder.name,
        "documents": "on" if client.installed() else "off",
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items())


@contextlib.asynccontextmanager
async def open_resources(settings: Settings, embedder: Embedder | None = None) -> AsyncIterator[Resources]:
    """Open the database, with its schema migrated, and the models; close all of them at the end of the block.

    A given embedder replaces the one of the settings.
    """
    database = database_of(settings, pool_size=settings.database_pool_size)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        with exit_on_signal():
            await when_ready(functools.partial(schema.upgrade, database))
        catalog = catalog_of(settings)
        stack.push_async_callback(catalog.aclose)
        reader = DocumentReader() if client.installed() else None
        embedder, reranker = embedder or embedder_of(settings), reranker_of(settings)
        for each in (reader, embedder, reranker):
            if each is not None:
                stack.push_async_callback(each.aclose)
        yield Resources(database, router_of(settings, catalog), reader, embedder, reranker)


def service_options(settings: Settings) -> ServiceOptions:
    """Select the settings of services."""
    return ServiceOptions(
        capacity=CapacityLimits(
            settings.max_turns_at_work, settings.max_turns_waiting, settings.effective_max_turns_waiting_per_user
        ),
        daily_tokens=settings.user_daily_tokens,
        max_document_bytes=settings.max_document_bytes,
        summaries=settings.summaries,
        title_model=settings.title_model,
    )


def database_of(settings: Settings, *, pool_size: int) -> Database:
    """Build the database; no connection is opened yet."""
    transaction_pooling = settings.database_pooler is Pooler.TRANSACTION
    return connect(settings.effective_database_url, pool_size=pool_size, transaction_pooling=transaction_pooling)


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


def embedder_of(settings: Settings) -> Embedder | None:
    """Build the embedder; None for lexical search only."""
    provider = settings.effective_embedding_provider
    if provider is None:
        return None
    if provider == EMBEDDED:
        return LocalEmbedder(settings.embedding_model or DEFAULT)
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
    compatible = settings.llm_providers.get(provider)
    endpoint = compatible.endpoint if compatible else EMBEDDING_SERVERS[provider].endpoint(settings)
    return functools.partial(openai_client, endpoint.key_text, endpoint.base_url, settings.connect_seconds)
