"""The composition root: builds a running service from settings."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI

from app import preflight
from app.api.app import build_app
from app.db.startup import when_ready
from app.errors import ProviderUnavailable
from app.factories import open_resources, service_options
from app.llm.catalog import Catalog
from app.llm.providers.local import LocalModel
from app.logging import configure_logging
from app.rag.models.embedder import Embedder
from app.services.container import Services
from app.services.runtime.timings import Timings
from app.settings import Settings
from app.shutdown import Shutdown
from app.signals import exit_on_signal

log = logging.getLogger(__name__)


class CannotServe(RuntimeError):
    """A server cannot start with these settings; the message says what to set."""


def create_app(settings: Settings, embedder: Embedder | None = None, timings: Timings = Timings()) -> FastAPI:
    """Build the application; it opens nothing before its lifespan starts.

    A given embedder replaces the one of the settings, and is closed with the application.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with started(settings, embedder, timings) as services:
            app.state.services = services
            yield

    return build_app(lifespan, settings.cors_origins, settings.root_path)


@contextlib.asynccontextmanager
async def started(settings: Settings, embedder: Embedder | None, timings: Timings) -> AsyncIterator[Services]:
    """Start the service; leaving the block drains it and closes everything in reverse order.

    Raises:
        CannotServe: no provider can respond, or a provider's proxy cannot be used.
    """
    check(settings)
    async with open_resources(settings, embedder) as resources, warm_up(resources.router.catalog):
        services = Services(resources, service_options(settings), timings)
        async with background_work(services), drained(services, settings.drain_seconds):
            freeze_garbage()
            yield services


def check(settings: Settings) -> None:
    """Raise CannotServe for settings that cannot work; log those that probably have a mistake."""
    if reasons := preflight.startup_errors(settings):
        raise CannotServe("; ".join(reasons))
    for warning in preflight.startup_warnings(settings):
        log.warning(warning)


@contextlib.asynccontextmanager
async def warm_up(catalog: Catalog) -> AsyncIterator[None]:
    """Prepare the providers in a task of its own, which ends with the block."""
    task = asyncio.create_task(prepare_models(catalog))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def prepare_models(catalog: Catalog) -> None:
    """Fetch the providers' model lists; load the embedded model if it is the default."""
    await catalog.prepare_all()
    if isinstance(catalog.default, LocalModel):
        with contextlib.suppress(ProviderUnavailable):  # logged already; each turn reports it too
            await catalog.default.warm()


@contextlib.asynccontextmanager
async def background_work(services: Services) -> AsyncIterator[None]:
    """Hold the process's lease and run the pollers within the block."""
    with exit_on_signal():
        await when_ready(services.process.lease.start)
    services.supervisor.start(services.pollers)
    try:
        yield
    finally:
        await services.supervisor.stop()
        await services.process.lease.release()


@contextlib.asynccontextmanager
async def drained(services: Services, seconds: float) -> AsyncIterator[None]:
    """Drain turns and tasks at the end of the block, or when a signal requests it within the block."""
    executor, process = services.turns.executor, services.process
    with Shutdown(executor, process.tasks, seconds) as shutdown:
        try:
            yield
        finally:
            await executor.drain(shutdown.seconds_left)
            await process.background_tasks.drain(0)
            await process.tasks.drain(shutdown.seconds_left)


def freeze_garbage() -> None:
    """Exclude all objects made so far from garbage collection, and make it less frequent.

    A full collection walks every object of every library, which stops all streams for 0.1 s (measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def __getattr__(name: str) -> FastAPI:
    # For `uvicorn app.main:app`; an import of this module for anything else builds nothing.
    if name != "app":
        raise AttributeError(name)
    settings = Settings()
    configure_logging(settings.log_level)
    return create_app(settings)
