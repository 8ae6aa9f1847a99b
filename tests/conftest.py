from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import hypothesis
import pytest

from app.settings import Settings
from tests.support.databases import PostgresTemplate, SqliteTemplate
from tests.support.postgres import PostgresCluster
from tests.support.provider import FakeProvider

for name in Settings.model_fields:  # whatever the developer has set is none of the tests' business
    os.environ.pop(name.upper(), None)

# No example fails for its time, which depends on what else the machine does; one that fails says how to repeat it.
hypothesis.settings.register_profile(
    "tests",
    parent=hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
)
hypothesis.settings.load_profile("tests")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Has a worker of pytest-xdist send what a test has logged, halves of surrogate pairs included."""
    return sendable((yield))


def sendable(value: Any) -> Any:
    """A value of JSON with strings that have a UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {sendable(key): sendable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(sendable, value))
    return value


@pytest.fixture(scope="session")
def cluster() -> Iterator[PostgresCluster]:
    with PostgresCluster.start() as started:
        yield started


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplate:
    return SqliteTemplate(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_template(cluster: PostgresCluster) -> PostgresTemplate:
    return PostgresTemplate(cluster)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty migrated database, once of each kind."""
    template = {"sqlite": "sqlite_template", "postgresql": "postgres_template"}[request.param]
    with request.getfixturevalue(template).copy() as url:
        yield url


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as started:
        yield started
