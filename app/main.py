"""The composition root: settings become a running service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import multiprocessing
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple

from fastapi import FastAPI
from pydantic import SecretStr

from app.api.application import application
from app.api.deps import Services
from app.db import schema
from app.db.connect import connect
from app.db.engine import Database
from app.domain.ids import new_id
from app.errors import ProviderUnavailable
from app.llm.base import ChatModel, Target
from app.llm.catalog import Catalog
from app.llm.groq import GroqModel
from app.llm.listener import Limits
from app.llm.local import CONTEXT_TOKENS as LOCAL_CONTEXT_TOKENS
from app.llm.local import LocalModel
from app.llm.openai import OpenAIModel, openai_client
from app.llm.router import Router
from app.llm.scripted import ScriptedModel
from app.llm.windows import UNKNOWN
from app.log import configure_logging
from app.rag import reader as reading
from app.rag.embedding.base import Embedder
from app.rag.embedding.local import LocalEmbedder
from app.rag.embedding.openai import OpenAIEmbedder
from app.rag.reader import DocumentReader
from app.rag.rerank import RemoteReranker, Reranker
from app.services.asides import Asides
from app.services.budgets import Budgets
from app.services.checkpoints import Checkpoints
from app.services.contexts import Contexts
from app.services.conversations import Conversations
from app.services.document_watches import DocumentWatches
from app.services.documents import Documents
from app.services.grounding import Grounding
from app.services.health import Health
from app.services.indexing import Indexing
from app.services.ingest import Ingest, IngestSweep
from app.services.leases import Leases
from app.services.ledger import Ledger
from app.services.lookups import Lookups
from app.services.messages import Messages
from app.services.removals import Removals
from app.services.retention import Retention
from app.services.retrieval import Retrieval
from app.services.rewrites import Rewrites
from app.services.running import Running
from app.services.slots import Slots
from app.services.stops import Stops
from app.services.summaries import Summaries
from app.services.tasks import TaskOwner
from app.services.titles import Titles
from app.services.turns import Turns
from app.services.users import Users
from app.services.watches import Watches
from app.settings import Provider, Settings

SAME_SIGNAL_SECONDS = 2.0
"""When a group of processes is signalled, a worker gets the signal again from its parent: that is not a second one."""

DEFAULT_EMBEDDING_MODEL = "text-embedding-3-small"
NO_KEY = "none"
"""What a server without keys is sent, since the SDK insists on one."""


def create_app(settings: Settings, embedder: Embedder | None = None) -> FastAPI:
    """The application for these settings; it opens nothing before its lifespan starts.

    An embedder that is given stands in the place of the one that they name, and is closed with the application.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with started(settings, embedder) as services:
            app.state.services = services
            yield

    return application(lifespan)


@contextlib.contextmanager
def draining_on_signals(running: Running, seconds: float) -> Iterator[None]:
    """Drains with the signal, and has the server end when that is done: until then it answers, if only with refusals.

    A second signal ends the drain at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, tasks = asyncio.get_running_loop(), TaskOwner()
    # A signal that nobody handles is left to end the process.
    before = {each: handler for each in (signal.SIGTERM, signal.SIGINT) if callable(handler := signal.getsignal(each))}
    asked_at: float | None = None

    async def drain(number: signal.Signals, frame: FrameType | None) -> None:
        await running.drain(seconds)
        before[number](number, frame)

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        if asked_at is None:
            asked_at = time.monotonic()
            loop.call_soon_threadsafe(lambda: tasks.spawn(drain(signal.Signals(number), frame)))
        elif time.monotonic() >= asked_at + (SAME_SIGNAL_SECONDS if multiprocessing.parent_process() else 0):
            loop.call_soon_threadsafe(lambda: tasks.spawn(running.drain(0)))

    for each in before:
        signal.signal(each, on_signal)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextlib.asynccontextmanager
async def started(settings: Settings, embedder: Embedder | None = None) -> AsyncIterator[Services]:
    """Builds everything, and closes it in reverse."""
    database = connect(settings.effective_database_url, pool_size=settings.database_pool_size)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        await schema.upgrade(database)
        catalog = catalog_of(settings)
        stack.push_async_callback(catalog.aclose)
        rag = rag_of(settings, embedder)
        for each in rag:
            if each is not None:
                stack.push_async_callback(each.aclose)
        warming = asyncio.create_task(warm(catalog.default))
        stack.push_async_callback(ended, warming)
        async with served(settings, database, catalog, rag) as services:
            keep_what_was_imported()
            yield services


@contextlib.asynccontextmanager
async def served(settings: Settings, database: Database, catalog: Catalog, rag: Rag) -> AsyncIterator[Services]:
    """The services, with what runs beside them; leaving drains the turns and ends the lease."""
    process_id = new_id()
    watches = Watches(database)
    slots = Slots(lambda name: catalog[name].concurrency, settings.max_turns_at_work, settings.max_turns_waiting)
    router = router_of(settings, catalog)
    retrieval = Retrieval(database, rag.embedder, rag.reranker)
    grounding = Grounding(router, Lookups(database, Rewrites(Asides(database, router)), retrieval.search))
    budgets = Budgets(database, settings.user_daily_tokens)
    running = Running(database, router, grounding, watches, slots, budgets, process_id)
    leases = Leases(database, running, process_id)
    tasks, asides = TaskOwner(), TaskOwner()
    removals = Removals(database, tasks, process_id)
    ingest = Ingest(database, rag.reader, rag.embedder, process_id)
    document_watches = DocumentWatches(database)
    write_beside(settings, database, router, running, asides)
    services = Services(
        users=Users(database, running, removals, tasks),
        conversations=Conversations(database, catalog, running),
        messages=Messages(database),
        turns=Turns(database, router, running, watches, process_id),
        documents=Documents(
            database,
            ingest,
            removals,
            document_watches,
            retrieval,
            process_id,
            max_bytes=settings.max_document_bytes,
        ),
        contexts=Contexts(database),
        ledger=Ledger(database),
        router=router,
        health=Health(database, running),
    )
    running.on_drain += [document_watches.close, ingest.drain]
    await leases.renew()
    beside = (
        leases.run(),
        leases.sweep(),
        running.line.run(),
        watches.run(),
        document_watches.run(),
        ingest.run(),
        IngestSweep(database, leases, removals, ingest).run(),
        Checkpoints(database, running, process_id).run(),
        Stops(database, running, process_id).run(),
        Retention(database).run(),
        Indexing(database).run(),
        services.users.finish_erasures(),
    )
    loops = [asyncio.create_task(each) for each in beside]
    with draining_on_signals(running, settings.drain_seconds):
        try:
            yield services
        finally:
            await running.drain(settings.drain_seconds)
            await asides.drain(0)
            await tasks.drain(settings.drain_seconds)
            await ended(*loops)
            await leases.resign()


def keep_what_was_imported() -> None:
    """Takes what the start has made out of the garbage collector's sight, and lets it look less often.

    A full collection stops all streams while it walks every object of every library: a tenth of a second, measured.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def warm(model: ChatModel) -> None:
    """Loads the embedded model beside the start, where it is the one that answers."""
    if isinstance(model, LocalModel):
        with contextlib.suppress(ProviderUnavailable):  # logged already; each turn will say so
            await model.warm()


async def ended(*tasks: asyncio.Task[None]) -> None:
    """Ends tasks that would go on for ever."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
            yield OpenAIModel(key, settings.openai_base_url, model, tokens, patience)
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


def secret(key: SecretStr | None) -> str:
    """A key as the SDKs want it."""
    return key.get_secret_value() if key else NO_KEY


def router_of(settings: Settings, catalog: Catalog) -> Router:
    """Who is asked, and who else when that one fails."""
    fallbacks = [Target(name, model or catalog[name].default_model) for name, model in settings.fallbacks]
    return Router(catalog, fallbacks, limits_of(settings))


def write_beside(settings: Settings, database: Database, router: Router, running: Running, tasks: TaskOwner) -> None:
    """Has titles and summaries written behind the turns, where they are wanted."""
    asides = Asides(database, router)
    if settings.summaries:
        running.on_ended.append(Summaries(database, asides, tasks).after)
    if settings.title_model:
        target = router.catalog.target(settings.title_model)
        running.on_ended.append(Titles(database, asides, tasks, target).after)


def limits_of(settings: Settings) -> Limits:
    """How long models may take."""
    return Limits(
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
    reader = DocumentReader() if reading.installed() else None
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


def client_of(settings: Settings, provider: str) -> Callable[[], Any]:
    """What makes a client for a provider that speaks OpenAI's API."""
    further = settings.llm_providers.get(provider)
    key, base_url = (
        (further.api_key, further.base_url) if further else (settings.openai_api_key, settings.openai_base_url)
    )
    return functools.partial(openai_client, secret(key), base_url, settings.connect_seconds)


def __getattr__(name: str) -> FastAPI:
    # `uvicorn app.main:app` asks for it; whoever imports this module for something else builds nothing.
    if name != "app":
        raise AttributeError(name)
    settings = Settings()
    configure_logging(settings.log_level)
    return create_app(settings)
