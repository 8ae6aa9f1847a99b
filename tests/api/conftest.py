"""Services that live for a module: for tests that keep to users and conversations of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.provider import FakeProvider
from tests.support.service import Service, serving, settings

TEMPLATES = {"sqlite": "sqlite_template", "postgresql": "postgres_template"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty migrated database of each kind."""
    with request.getfixturevalue(TEMPLATES[request.param]).copy() as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_service(shared_database_url: str) -> AsyncIterator[Service]:
    """The service with the scripted model."""
    async with serving(settings(database_url=shared_database_url)) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_provider() -> AsyncIterator[FakeProvider]:
    """A provider whose `default` a test sets before it asks."""
    async with FakeProvider() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_openai_service(shared_database_url: str, shared_provider: FakeProvider) -> AsyncIterator[Service]:
    """The service with the openai SDK speaking to that provider."""
    base_url = shared_provider.openai_base_url
    async with serving(
        settings(database_url=shared_database_url, llm_provider="openai", openai_base_url=base_url)
    ) as started:
        yield started
