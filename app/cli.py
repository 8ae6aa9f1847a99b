"""The console command `parley`."""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import sys
from collections.abc import Sequence
from typing import Any

import uvicorn
from pydantic import ValidationError

from app import VERSION
from app.api.protocol import HttpProtocol
from app.assembly import database_of
from app.db import check, schema
from app.db.start import when_ready
from app.errors import AppError, DatabaseUnavailable
from app.llm.addresses import leads_astray
from app.log import configure_logging
from app.settings import Settings
from app.signals import ending_at_once
from app.workers import Workers

ANSWER_SECONDS = 2
"""How long clients may take for their answers when the drain is over; one that reads nothing would take for ever."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives its exit status: 0, 1 when something was found wrong, 2 when it cannot run."""
    asked = parser().parse_args(arguments)
    if asked.command == "version":
        print(VERSION)
        return 0
    try:
        os.environ.update(given(asked))  # workers read their settings from there
        settings = Settings()
    except ValidationError as error:
        return refuse(settings_errors(error))
    if asked.command == "serve" and (astray := [name for name, url in settings.base_urls.items() if leads_astray(url)]):
        return refuse([f"{name}: leads to a link-local or metadata address" for name in astray])
    configure_logging(settings.log_level)
    try:
        with ending_at_once():
            status = asyncio.run({"serve": migrated, "migrate": migrate, "check": report}[asked.command](settings))
    except DatabaseUnavailable as error:
        return refuse([f"{error.detail.rstrip('.')}: {error.reason}" if error.reason else error.detail])
    except (AppError, schema.SchemaRefused, OSError) as error:
        return refuse([str(error)])
    if asked.command == "serve":
        serve(settings)
    return status


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser("parley", description="A conversation service.")
    commands = top.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve; settings come from the environment and .env")
    serving.add_argument("--host", help="the address to serve on, instead of HOST")
    serving.add_argument("--port", type=int, help="the port to serve on, instead of PORT")
    commands.add_parser("migrate", help="bring the database's schema up to date")
    commands.add_parser("check", help="report broken invariants and orphans; exit 1 when there are any")
    commands.add_parser("version", help="print the version")
    return top


def given(asked: argparse.Namespace) -> dict[str, str]:
    """The variables that the command line overrides."""
    named = {name: getattr(asked, name, None) for name in ("host", "port")}
    return {name.upper(): str(value) for name, value in named.items() if value is not None}


def serve(settings: Settings) -> None:
    """Serves until a signal ends it; uvicorn exits by itself when it cannot start."""
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "workers": settings.web_concurrency,
        "http": HttpProtocol,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": ANSWER_SECONDS,
    }
    if settings.web_concurrency == 1:
        uvicorn.run("app.main:app", **options)
        return
    config = uvicorn.Config("app.main:app", **options)
    Workers(config, sockets=[config.bind_socket()]).run()


async def migrated(settings: Settings) -> int:
    """Brings the schema up to date; a server does so too, but says what is wrong in a stack's trace alone."""
    database = database_of(settings, pool_size=1)
    try:
        await when_ready(functools.partial(schema.upgrade, database))
    finally:
        await database.close()
    return 0


async def migrate(settings: Settings) -> int:
    """Brings the schema up to date and says which one that is."""
    status = await migrated(settings)
    print(f"schema {schema.HEAD}")
    return status


async def report(settings: Settings) -> int:
    """Prints what is wrong with what is stored; 1 when there is anything."""
    database = database_of(settings, pool_size=1)
    try:
        await when_ready(functools.partial(schema.require, database))
        findings = await database.damage() or await database.query(check.findings, database.kind)
    finally:
        await database.close()
    for finding in findings:
        print(finding)
    print(f"{len(findings)} broken invariants")
    return 1 if findings else 0


def settings_errors(error: ValidationError) -> list[str]:
    """Each setting that cannot be read, by the name of its variable, without its value."""
    return [
        f"{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" if each["loc"] else each["msg"]
        for each in error.errors(include_input=False, include_url=False)
    ]


def refuse(reasons: Sequence[str]) -> int:
    """Says why the command cannot run."""
    for reason in reasons:
        print(f"parley: {reason}", file=sys.stderr)
    return 2
