"""The whole service on a real socket, in the event loop of the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from app.main import create_app
from app.services.container import Services
from app.services.runtime.timings import Timings
from app.serving.server import options
from app.settings import Settings
from tests.support.documented import checked_client
from tests.support.parley_client import ParleyClient
from tests.support.provider import FakeProvider

OPEN_FILES = 4096
WAIT_SECONDS = 30

HASTY = Timings(first_backoff=0.01, longest_backoff=0.05, first_poller_backoff=0.05)
"""Short pauses between retries."""


def settings(**overrides: Any) -> Settings:
    """Return settings from these arguments only, with the scripted model and without embeddings."""
    given: dict[str, Any] = {"llm_provider": "scripted", "embedding_provider": "none", "drain_seconds": 3} | overrides
    return Settings(_env_file=None, **given)


def provider_settings(provider: FakeProvider, **overrides: Any) -> Settings:
    """Return settings for a fake provider behind the SDKs of openai, the default, and groq."""
    return settings(
        llm_provider="openai",
        openai_api_key="sk-secret",
        openai_base_url=provider.openai_base_url,
        groq_api_key="gsk-secret",
        groq_base_url=provider.groq_base_url,
        **overrides,
    )


def forget_failures(service: Service) -> None:
    """Close all circuit breakers and refill the retry budget, as if no provider had failed before."""
    service.services.resources.router.reset()


async def wait_for_writers(service: Service) -> None:
    """Wait until no titles and summaries are being written."""
    tasks = service.services.process.background_tasks
    while len(tasks):
        await tasks.wait(WAIT_SECONDS)


class QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class Service:
    """A running service and its client."""

    app: FastAPI
    url: str
    client: ParleyClient

    @property
    def services(self) -> Services:
        """The services of the process, for state that the API does not show."""
        services: Services = self.app.state.services
        return services

    @property
    def database(self) -> Any:
        """The database of the service."""
        return self.services.resources.database


@contextlib.asynccontextmanager
async def serving(configured: Settings, timings: Timings = Timings()) -> AsyncIterator[Service]:
    """Start the service on a free port, and stop it at the end like SIGTERM."""
    app = create_app(configured, timings=timings)
    config = uvicorn.Config(app, port=0, **options(configured, OPEN_FILES) | {"timeout_graceful_shutdown": None})
    server = QuietServer(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        if running.done():
            await running
            raise RuntimeError("the service did not start")
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with checked_client(url) as http:
        yield Service(app, url, ParleyClient(http))
    server.should_exit = True
    await running
