"""The composition root: settings become a running service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
from collections.abc import AsyncIterator, Sequence

from fastapi import FastAPI

from app import preflight
from app.api.app import build_app
from app.api.dependencies import Services
from app.db import schema
from app.db.database import Database
from app.db.startup import when_ready
from app.domain.ids import new_id
from app.errors import ProviderUnavailable
from app.factories import Rag, catalog_of, database_of, rag_of, router_of
from app.llm.catalog import Catalog
from app.llm.providers.local import LocalModel
from app.llm.router import Router
from app.logging import configure_logging
from app.rag.models.embedder import Embedder
from app.services.conversations import ConversationService
from app.services.documents.deletion import DocumentDeleter
from app.services.documents.ingestion import IngestionRecovery, IngestionWorker
from app.services.documents.progress import DocumentFeed
from app.services.documents.service import DocumentService
from app.services.health import HealthService
from app.services.messages import MessageService
from app.services.prompt_records import PromptRecords
from app.services.replies.background import BackgroundCompletions
from app.services.replies.grounded import GroundedGenerator
from app.services.replies.passages import PassageSelector
from app.services.replies.query_rewriting import QueryRewriter
from app.services.replies.summaries import SummaryWriter
from app.services.replies.titles import TitleWriter
from app.services.runtime.maintenance import Maintenance
from app.services.runtime.polling import Poller, Supervisor
from app.services.runtime.process_lease import ProcessLease
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings
from app.services.search.service import DocumentSearch
from app.services.turns.cancellation import CancellationPoller
from app.services.turns.capacity import Capacity, CapacityLimits
from app.services.turns.checkpoints import CheckpointWriter
from app.services.turns.executor import TurnExecutor
from app.services.turns.quota import TokenQuota
from app.services.turns.recovery import TurnRecovery
from app.services.turns.remote_replies import RemoteReplies
from app.services.turns.service import TurnService
from app.services.usage import UsageService
from app.services.users import UserService
from app.settings import Settings
from app.shutdown import Shutdown
from app.signals import exit_on_signal

log = logging.getLogger(__name__)


class CannotServe(RuntimeError):
    """A server cannot start with these settings; the message says what to set."""


def create_app(settings: Settings, embedder: Embedder | None = None, timings: Timings = Timings()) -> FastAPI:
    """The application for these settings; it opens nothing before its lifespan starts.

    An embedder that is given stands in the place of the one that they name, and is closed with the application.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with started(settings, embedder, timings) as services:
            app.state.services = services
            yield

    return build_app(lifespan, settings.cors_origins, settings.root_path)


@contextlib.asynccontextmanager
async def started(settings: Settings, embedder: Embedder | None, timings: Timings) -> AsyncIterator[Services]:
    """Builds everything, and closes it in reverse.

    Raises:
        CannotServe: no provider can answer, or the proxy on the way to one cannot be used.
    """
    if reasons := preflight.startup_errors(settings):
        raise CannotServe("; ".join(reasons))
    for warning in preflight.startup_warnings(settings):
        log.warning(warning)
    database = database_of(settings, pool_size=settings.database_pool_size)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        with exit_on_signal():
            await when_ready(functools.partial(schema.upgrade, database))
        catalog = catalog_of(settings)
        stack.push_async_callback(catalog.aclose)
        rag = rag_of(settings, embedder)
        for each in rag:
            if each is not None:
                stack.push_async_callback(each.aclose)
        warming = asyncio.create_task(warm(catalog))
        stack.push_async_callback(ended, warming)
        async with served(settings, database, catalog, rag, timings) as services:
            keep_what_was_imported()
            yield services


@contextlib.asynccontextmanager
async def served(
    settings: Settings, database: Database, catalog: Catalog, rag: Rag, timings: Timings
) -> AsyncIterator[Services]:
    """The services, with what runs beside them; leaving drains the turns and ends the lease."""
    lease, supervisor = ProcessLease(database, process_id := new_id(), timings), Supervisor(timings)
    remote_replies = RemoteReplies(database, timings)
    capacity = capacity_of(settings, catalog)
    router = router_of(settings, catalog)
    retrieval = DocumentSearch(database, rag.embedder, rag.reranker)
    rewriter = QueryRewriter(BackgroundCompletions(database, router, timings))
    grounded = GroundedGenerator(router, PassageSelector(database, retrieval, rewriter))
    quota = TokenQuota(database, settings.user_daily_tokens)
    executor = TurnExecutor(database, router, grounded, remote_replies, capacity, quota, lease, timings=timings)
    tasks, asides = TaskOwner(), TaskOwner()
    removals = DocumentDeleter(database, tasks, process_id, timings)
    ingest = IngestionWorker(database, rag.reader, rag.embedder, process_id, timings)
    document_watches = DocumentFeed(database, timings)
    write_beside(settings, database, router, executor, asides, timings)
    services = Services(
        users=UserService(database, executor, removals, tasks, timings),
        conversations=ConversationService(database, catalog, executor),
        messages=MessageService(database),
        turns=TurnService(database, router, executor, remote_replies, process_id, timings),
        documents=DocumentService(
            database, ingest, removals, document_watches, retrieval, process_id, max_bytes=settings.max_document_bytes
        ),
        prompt_records=PromptRecords(database),
        usage=UsageService(database),
        router=router,
        health=HealthService(database, executor, lease, supervisor),
    )
    executor.on_drain += [document_watches.close, ingest.drain]
    pollers = [
        lease.poller(),
        TurnRecovery(database, executor, lease, timings).poller(),
        executor.queue.poller(),
        remote_replies.poller(),
        document_watches.poller(),
        ingest.poller(),
        IngestionRecovery(database, lease, removals, ingest, timings).poller(),
        CheckpointWriter(database, executor, process_id, timings).poller(),
        CancellationPoller(database, executor, process_id, timings).poller(),
        services.users.poller(),
        *Maintenance(database, timings).pollers(),
    ]
    async with alive(lease, supervisor, pollers):
        with Shutdown(executor, tasks, settings.drain_seconds) as shutdown:
            try:
                yield services
            finally:
                await executor.drain(shutdown.seconds_left)
                await asides.drain(0)
                await tasks.drain(shutdown.seconds_left)


@contextlib.asynccontextmanager
async def alive(lease: ProcessLease, supervisor: Supervisor, pollers: Sequence[Poller]) -> AsyncIterator[None]:
    """Hold the process's lease and run its pollers within the block."""
    with exit_on_signal():
        await when_ready(lease.start)
    supervisor.start(pollers)
    try:
        yield
    finally:
        await supervisor.stop()
        await lease.release()


def capacity_of(settings: Settings, catalog: Catalog) -> Capacity:
    """The room for turns, as it is set and as the models have it."""
    of_user = settings.effective_max_turns_waiting_per_user
    bounds = CapacityLimits(settings.max_turns_at_work, settings.max_turns_waiting, of_user)
    return Capacity(lambda name: catalog[name].concurrency, bounds)


def keep_what_was_imported() -> None:
    """Takes what the start has made out of the garbage collector's sight, and lets it look less often.

    A full collection stops all streams while it walks every object of every library: a tenth of a second, measured.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def warm(catalog: Catalog) -> None:
    """Prepare the providers in the background, and load the embedded model where it is the default."""
    await catalog.prepare_all()
    if isinstance(catalog.default, LocalModel):
        with contextlib.suppress(ProviderUnavailable):  # logged already; each turn will say so
            await catalog.default.warm()


async def ended(*tasks: asyncio.Task[None]) -> None:
    """Ends tasks that would go on for ever."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def write_beside(
    settings: Settings,
    database: Database,
    router: Router,
    executor: TurnExecutor,
    tasks: TaskOwner,
    timings: Timings,
) -> None:
    """Has titles and summaries written behind the turns, where they are wanted."""
    asides = BackgroundCompletions(database, router, timings)
    if settings.summaries:
        executor.on_ended.append(SummaryWriter(database, asides, tasks, timings).on_turn_finished)
    if settings.title_model:
        target = router.catalog.target(settings.title_model)
        executor.on_ended.append(TitleWriter(database, asides, tasks, target, timings).on_turn_finished)


def __getattr__(name: str) -> FastAPI:
    # `uvicorn app.main:app` asks for it; whoever imports this module for something else builds nothing.
    if name != "app":
        raise AttributeError(name)
    settings = Settings()
    configure_logging(settings.log_level)
    return create_app(settings)
