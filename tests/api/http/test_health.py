"""Health checks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app import NAME, VERSION
from tests.support.parley_client import ParleyClient
from tests.support.problems import expect_problem
from tests.support.service import Service, serving, settings


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A service of the test's own, which it may damage."""
    async with serving(settings(database_url=database_url)) as started:
        yield started


async def test_healthy_service(client: ParleyClient) -> None:
    """Each health path returns name, version and status `ok`."""
    for path in ("/", "/health", "/livez", "/readyz"):
        response = await client.get(path)
        assert (response.status_code, response.json()) == (200, {"name": NAME, "version": VERSION, "status": "ok"})
        assert response.headers["content-type"] == "application/json"


async def test_schema_mismatch_not_ready(service: Service) -> None:
    """With the schema of another release `/readyz` is a 503, while liveness is ok."""
    async with service.database.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    expect_problem(await service.client.get("/readyz"), 503, "unavailable")
    for path in ("/", "/health", "/livez"):
        assert (await service.client.get(path)).status_code == 200


async def test_draining_service_not_ready(service: Service) -> None:
    """A draining service is a 503 on `/readyz`, accepts no turns, and still serves reads."""
    await service.services.turns.executor.drain(0)
    expect_problem(await service.client.get("/readyz"), 503, "draining")
    made = await service.client.post("/conversations", json={"user_id": "ada", "message": "Hello"})
    expect_problem(made, 503, "draining")
    assert (await service.client.get("/livez")).status_code == 200
    assert (await service.client.get("/conversations?user_id=ada")).json() == []
