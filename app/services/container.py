"""The services of a process, wired room by room. A new service or poller is added here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.db.database import Database
from app.domain.ids import new_id
from app.llm.router import Router
from app.rag.models.embedder import Embedder
from app.rag.models.reranker import Reranker
from app.rag.sandbox.client import DocumentReader
from app.services.conversations import ConversationService
from app.services.documents.deletion import DocumentDeleter
from app.services.documents.ingestion import IngestionRecovery, IngestionWorker
from app.services.documents.progress import DocumentFeed
from app.services.documents.service import DocumentService
from app.services.health import HealthService
from app.services.messages import MessageService
from app.services.models import ModelService
from app.services.prompt_records import PromptRecordService
from app.services.replies.background import BackgroundCompletions
from app.services.replies.grounded import GroundedGenerator
from app.services.replies.passages import PassageSelector
from app.services.replies.query_rewriting import QueryRewriter
from app.services.replies.summaries import SummaryWriter
from app.services.replies.titles import TitleWriter
from app.services.replies.turn_run import TurnRun
from app.services.runtime.maintenance import Maintenance
from app.services.runtime.polling import Supervisor
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
from app.services.turns.reservation import TurnReservations
from app.services.turns.service import TurnService
from app.services.usage import UsageService
from app.services.users import UserService


@dataclass(frozen=True, slots=True)
class Resources:
    """Database, models and document reader; the composition root opens and closes them."""

    database: Database
    router: Router
    reader: DocumentReader | None
    """None if documents cannot be read."""
    embedder: Embedder | None
    """None for lexical search only."""
    reranker: Reranker | None


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The settings of services."""

    capacity: CapacityLimits
    daily_tokens: int | None
    """Per user; None for no limit."""
    max_document_bytes: int
    summaries: bool
    title_model: str | None
    """The model that writes titles; None to take them from first messages."""


class Process:
    """The parts that all rooms share: database, lease, timings and tasks that outlive their requests."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self.database = database
        self.timings = timings
        self.lease = ProcessLease(database, new_id(), timings)
        self.id = self.lease.process_id
        self.tasks = TaskOwner()
        """Erasures and deletions, which a shutdown waits for."""
        self.background_tasks = TaskOwner()
        """Titles and summaries, which a shutdown cancels."""


class DocumentRoom:
    """Documents: upload, ingestion, search and deletion."""

    def __init__(self, process: Process, resources: Resources, max_bytes: int) -> None:
        database, timings = process.database, process.timings
        self.search = DocumentSearch(database, resources.embedder, resources.reranker)
        self.deleter = DocumentDeleter(database, process.tasks, process.id, timings)
        worker = IngestionWorker(database, resources.reader, resources.embedder, self.deleter, process.id, timings)
        feed = DocumentFeed(database, timings)
        self.service = DocumentService(
            database, worker, self.deleter, feed, self.search, process.id, max_bytes=max_bytes
        )
        self.on_drain = [feed.close, worker.drain]
        recovery = IngestionRecovery(database, process.lease, self.deleter, worker, timings)
        self.pollers = [feed.poller(), worker.poller(), recovery.poller()]


class TurnRoom:
    """Turns and their replies, from acceptance to the final status."""

    def __init__(
        self,
        process: Process,
        router: Router,
        options: ServiceOptions,
        search: DocumentSearch,
        on_drain: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    ) -> None:
        database, timings = process.database, process.timings
        completions = BackgroundCompletions(database, router, timings)
        passages = PassageSelector(database, search, QueryRewriter(completions))
        remote_replies = RemoteReplies(database, timings)
        quota = TokenQuota(database, options.daily_tokens)
        self.executor = TurnExecutor(
            database,
            router,
            GroundedGenerator(router, passages),
            remote_replies,
            Capacity(lambda name: router.catalog[name].concurrency, options.capacity),
            quota,
            process.lease,
            timings=timings,
            on_turn_finished=[*writers(process, completions, options)],
            on_drain=on_drain,
        )
        reservations = TurnReservations(router, quota, process.id)
        self.service = TurnService(database, router, self.executor, remote_replies, reservations, timings)
        self.pollers = [
            TurnRecovery(database, self.executor, process.lease, timings).poller(),
            self.executor.queue.poller(),
            remote_replies.poller(),
            CheckpointWriter(database, self.executor, process.id, timings).poller(),
            CancellationPoller(database, self.executor, process.id, timings).poller(),
        ]


def writers(
    process: Process, completions: BackgroundCompletions, options: ServiceOptions
) -> Iterator[Callable[[TurnRun], None]]:
    """Generate the callbacks that write summaries and titles after turns."""
    database, tasks, timings = process.database, process.background_tasks, process.timings
    if options.summaries:
        yield SummaryWriter(database, completions, tasks, timings).on_turn_finished
    if options.title_model:
        target = completions.router.catalog.target(options.title_model)
        yield TitleWriter(database, completions, tasks, target, timings).on_turn_finished


class Services:
    """All services of a process, with the pollers of their background work."""

    def __init__(self, resources: Resources, options: ServiceOptions, timings: Timings) -> None:
        database, router = resources.database, resources.router
        self.resources = resources
        self.process = process = Process(database, timings)
        self.supervisor = Supervisor(timings)
        documents = DocumentRoom(process, resources, options.max_document_bytes)
        turns = TurnRoom(process, router, options, documents.search, documents.on_drain)
        executor = turns.executor

        self.turns = turns.service
        self.documents = documents.service
        self.users = UserService(database, executor, documents.deleter, process.tasks, timings)
        self.conversations = ConversationService(database, router.catalog, executor)
        self.messages = MessageService(database)
        self.prompt_records = PromptRecordService(database)
        self.usage = UsageService(database)
        self.models = ModelService(router)
        self.health = HealthService(database, executor, process.lease, self.supervisor)
        self.pollers = [
            process.lease.poller(),
            *turns.pollers,
            *documents.pollers,
            self.users.poller(),
            *Maintenance(database, timings).pollers(),
        ]
