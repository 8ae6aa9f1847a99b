from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

import app as parley
from app import NAME, VERSION
from app.api import errors, openapi
from app.api.cors import Cors
from app.api.middleware import RequestMiddleware
from app.api.route_table import RouteTable
from app.api.routes import conversations, documents, health, messages, models, prompt_records, usage, users

# The busiest first: they are tried in order.
ROUTERS = [each.router for each in (messages, conversations, users, documents, usage, prompt_records, models, health)]
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}


def build_app(
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[Any]],
    cors_origins: Sequence[str] = (),
    root_path: str = "",
) -> FastAPI:
    """Build the web application; its lifespan puts `Services` into `app.state.services`.

    `root_path` is the prefix of all paths if neither the server nor a mounting application sets one.
    """
    app = FastAPI(
        title=NAME,
        version=VERSION,
        description=parley.__doc__ or "",
        lifespan=lifespan,
        docs_url=None,  # its page loads a script from a CDN
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,  # generated clients name their methods by it
        telemetry=NO_TELEMETRY,
    )
    app.openapi = functools.partial(openapi.document, app)  # type: ignore[method-assign]  # the documented way
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(RequestMiddleware, paths=RouteTable(app.routes), root_path=root_path)
    if cors_origins:
        app.add_middleware(Cors, origins=cors_origins)
    return app
