"""The service below a prefix: behind a proxy, with a server's root path, or mounted in an application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from app.main import create_app
from tests.support.databases import SqliteTemplate
from tests.support.service import settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = "http://parley.example"


@pytest.fixture
def url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """One kind of database, as paths are the same on both."""
    with sqlite_template.copy() as made:
        yield made


def with_root_path(app: ASGIApp, root_path: str) -> ASGIApp:
    """Wrap an application as uvicorn with a root path calls it."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        raw_path = root_path.encode() + scope["raw_path"]
        await app(
            {**scope, "root_path": root_path, "path": root_path + scope["path"], "raw_path": raw_path}, receive, send
        )

    return served


@contextlib.asynccontextmanager
async def client_below(url: str, way: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Start the service below /a/parley in one of these ways, and give a client."""
    root_path = "/a/parley" if "setting" in way else ""
    app = create_app(settings(database_url=url, root_path=root_path))
    served: ASGIApp = app
    base = BASE
    if way == "setting, left":
        base += root_path
    elif way == "server":
        served = with_root_path(app, "/a/parley")
    elif way == "mount":
        served, base = Starlette(routes=[Mount("/a", Starlette(routes=[Mount("/parley", app)]))]), f"{BASE}/a/parley"
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(served), base_url=base) as client,
    ):
        yield client


@pytest.mark.parametrize("way", ["setting, taken away", "setting, left", "server", "mount"])
async def test_prefix_in_headers(url: str, way: str) -> None:
    """Headers and the OpenAPI document have the prefix, and all paths are found below it."""
    async with client_below(url, way) as client:
        made = [await client.post("/conversations/", json={"user_id": "ada"}) for _ in range(2)]
        conversation_id = made[0].json()["conversation_id"]
        assert made[0].headers["location"] == f"/a/parley/conversations/{conversation_id}"
        listed = await client.get("/conversations", params={"user_id": "ada", "limit": 1})
        assert listed.headers["link"].startswith("</a/parley/conversations?")
        background = {"message": "Hello", "background": True}
        turn = await client.post(f"/conversations/{conversation_id}/messages", json=background)
        assert turn.headers["location"].startswith(f"/a/parley/conversations/{conversation_id}/messages/")
        uploaded = await client.post("/documents", data={"user_id": "ada"}, files={"file": ("a.txt", b"Hello")})
        assert uploaded.headers["location"].startswith("/a/parley/documents/")
        for path, status in (("/livez/", 200), ("/", 200), ("", 200), ("/nothing", 404)):
            assert (await client.get(path)).status_code == status
        refused = await client.put("/users")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        api = (await client.get("/openapi.json")).json()
        assert api["servers"] == [{"url": "/a/parley"}]


async def test_prefix_ends_at_a_slash(url: str) -> None:
    """A path that only begins with the same letters as the prefix is not found."""
    async with client_below(url, "setting, taken away") as client:
        assert (await client.get("/a/parleylivez")).status_code == 404


async def test_mounted_without_lifespan(url: str) -> None:
    """Mounted in an application that does not run the lifespan, requests are answered with what to do."""
    app = create_app(settings(database_url=url))
    outer = Starlette(routes=[Mount("/parley", app)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(outer), base_url=f"{BASE}/parley") as client:
        for path in ("/readyz", "/conversations?user_id=ada"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert "lifespan" in answer.json()["detail"]
