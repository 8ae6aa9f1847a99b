"""Identity and scope: no route is reached without the dependency that identifies the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from app.api import routes
from app.api.dependencies import Caller, identify_caller
from app.errors import BadRequest
from app.main import create_app
from tests.support.service import settings

APP = create_app(settings())
OPERATIONS = [
    (method, route.path or "", route.original_route)
    for route in iter_route_contexts(APP.routes)
    if isinstance(route.original_route, APIRoute)
    for method in sorted(route.methods or ())
]
ID = "0192f0a4-6b7c-7d8e-9f00-112233445566"


async def refuse() -> Caller:
    raise BadRequest("The caller is not identified.")


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """The client of an application that identifies no caller."""
    app: FastAPI = create_app(settings())
    app.dependency_overrides[identify_caller] = refuse
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://parley") as opened:
        yield opened


@pytest.mark.parametrize(("method", "path", "route"), OPERATIONS, ids=[f"{each[0]} {each[1]}" for each in OPERATIONS])
async def test_unidentified_caller_refused(client: httpx2.AsyncClient, method: str, path: str, route: APIRoute) -> None:
    """Every route refuses a caller that the dependency has not identified."""
    names = {each.name: ID for each in route.dependant.path_params}
    answer = await client.request(method, path.replace(":text", "").format(**names), json={}, params=scope_of(path))
    assert answer.json()["detail"] == "The caller is not identified."


@pytest.mark.parametrize(("method", "path", "route"), OPERATIONS, ids=[f"{each[0]} {each[1]}" for each in OPERATIONS])
def test_routes_have_no_own_query(method: str, path: str, route: APIRoute) -> None:
    """No route has query parameters of its own, such as a user that nothing has checked."""
    assert not route.dependant.query_params


def test_routes_create_no_principal() -> None:
    """No route creates a principal itself."""
    for file in Path(*routes.__path__).glob("*.py"):
        assert "Principal" not in file.read_text(), file


def scope_of(path: str) -> dict[str, str]:
    return {"user_id": "ada"} if path in {"/conversations", "/documents", "/usage"} else {}
