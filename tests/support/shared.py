"""Fixtures for a folder's conftest: one service for a module and each database, emptied before each test.

Starting one costs far more than a test. What a test leaves running is the next one's trouble, so each waits for its
turns or deletes their conversation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sqlalchemy import delete

from app.db.models import UserRow
from app.services.runtime.timings import Timings
from tests.support.background import lease_of
from tests.support.parley_client import ParleyClient
from tests.support.provider import FakeProvider
from tests.support.service import Service, forget_failures, provider_settings, serving, settings

TEMPLATES = {"sqlite": "sqlite_template", "postgresql": "postgres_template"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty migrated database of each kind."""
    with request.getfixturevalue(TEMPLATES[request.param]).copy() as url:
        yield url


@pytest.fixture(scope="module")
def timings() -> Timings:
    """The intervals of both services; a module with other ones overrides this."""
    return Timings()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_service(shared_database_url: str, timings: Timings) -> AsyncIterator[Service]:
    """The service with the scripted model."""
    async with serving(settings(database_url=shared_database_url), timings) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_provider() -> AsyncIterator[FakeProvider]:
    """The provider behind `shared_openai_service`."""
    async with FakeProvider() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_openai_service(
    shared_database_url: str, shared_provider: FakeProvider, timings: Timings
) -> AsyncIterator[Service]:
    """The service with the SDKs of openai and groq speaking to the fake provider."""
    async with serving(provider_settings(shared_provider, database_url=shared_database_url), timings) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def service(shared_service: Service) -> Service:
    """The service with the scripted model and an empty database."""
    await empty(shared_service)
    return shared_service


@pytest_asyncio.fixture(loop_scope="module")
async def openai_service(shared_openai_service: Service) -> Service:
    """The service with `provider` and an empty database."""
    await empty(shared_openai_service)
    return shared_openai_service


@pytest.fixture
def client(service: Service) -> ParleyClient:
    """The client of `service`."""
    return service.client


@pytest.fixture
def openai_client(openai_service: Service) -> ParleyClient:
    """The client of `openai_service`."""
    return openai_service.client


@pytest.fixture
def shared_client(shared_service: Service) -> ParleyClient:
    """The client of `shared_service`, whose database may have rows of earlier tests."""
    return shared_service.client


@pytest.fixture
def provider(shared_provider: FakeProvider) -> FakeProvider:
    """The provider without calls and scripted answers."""
    shared_provider.reset()
    return shared_provider


async def empty(service: Service) -> None:
    """Delete all users with their data, and forget the failures of providers.

    As after a start, the service begins a grace period in which it recovers no work of other processes.
    """
    forget_failures(service)
    lease_of(service).begin_grace_period(Timings().lease_grace)
    async with service.database.write_session() as session:
        await session.execute(delete(UserRow))
