from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.service import Service, serving, settings

TEMPLATES = {"sqlite": "sqlite_template", "postgresql": "postgres_template"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty migrated database of each kind, one for a module."""
    with request.getfixturevalue(TEMPLATES[request.param]).copy() as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_service(shared_database_url: str) -> AsyncIterator[Service]:
    """A service for all tests of a module: for requests that leave nothing behind."""
    async with serving(settings(database_url=shared_database_url)) as started:
        yield started
