from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app import NAME, VERSION
from tests.api.talk import problem_of
from tests.support.service import Service, serving, settings


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A service that may be spoilt."""
    async with serving(settings(database_url=database_url)) as started:
        yield started


async def test_a_running_service_is_well(service: Service) -> None:
    """Each health path says which service answers, in which version, and that it is well."""
    for path in ("/", "/health", "/livez", "/readyz"):
        response = await service.client.get(path)
        assert (response.status_code, response.json()) == (200, {"name": NAME, "version": VERSION, "status": "ok"})
        assert response.headers["content-type"] == "application/json"


async def test_with_another_schema_a_service_lives_but_is_not_ready(service: Service) -> None:
    """With another release's schema `/readyz` is a 503, while the paths that ask for the process alone are well."""
    async with service.database.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    problem_of(await service.client.get("/readyz"), 503, "unavailable")
    for path in ("/", "/health", "/livez"):
        assert (await service.client.get(path)).status_code == 200


async def test_a_draining_service_is_not_ready(service: Service) -> None:
    """A service that is going away says so on `/readyz`, takes no new turns, and still reads."""
    await service.services.turns.executor.drain(0)
    problem_of(await service.client.get("/readyz"), 503, "draining")
    made = await service.client.post("/conversations", json={"user_id": "ada", "message": "Hello"})
    problem_of(made, 503, "draining")
    assert (await service.client.get("/livez")).status_code == 200
    assert (await service.client.get("/conversations?user_id=ada")).json() == []
