from __future__ import annotations

import pytest

from app import NAME, VERSION
from tests.api.talk import problem_of
from tests.support.service import Service


@pytest.mark.parametrize("path", ["/", "/health", "/livez", "/readyz"])
async def test_a_running_service_is_well(service: Service, path: str) -> None:
    """Each health path says which service answers, in which version, and that it is well."""
    response = await service.client.get(path)
    assert (response.status_code, response.json()) == (200, {"name": NAME, "version": VERSION, "status": "ok"})
    assert response.headers["content-type"] == "application/json"


async def test_without_its_database_a_service_lives_but_is_not_ready(service: Service) -> None:
    """When the schema is another release's `/readyz` is a 503, while the paths that ask only for the process are well."""
    async with service.database.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    problem_of(await service.client.get("/readyz"), 503, "unavailable")
    for path in ("/", "/health", "/livez"):
        assert (await service.client.get(path)).status_code == 200


async def test_a_draining_service_is_not_ready(service: Service) -> None:
    """A service that is going away says so on `/readyz`, takes no new turns, and still reads."""
    await service.services.turns.drain(0)
    problem_of(await service.client.get("/readyz"), 503, "draining")
    made = await service.client.post("/conversations", json={"user_id": "ada", "message": "Hello"})
    problem_of(made, 503, "draining")
    assert (await service.client.get("/livez")).status_code == 200
    assert (await service.client.get("/conversations?user_id=ada")).json() == []
