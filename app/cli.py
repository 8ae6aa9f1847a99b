"""The console command `parley`."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import os
import sys
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app import VERSION, preflight
from app.db import process_leases, schema
from app.db.checks import conversations
from app.db.startup import when_ready
from app.domain.ids import new_id
from app.errors import AppError, DatabaseUnavailable
from app.factories import database_of
from app.http.outbound_guard import resolves_to_forbidden
from app.http.proxies import proxy_for
from app.logging import configure_logging
from app.serving.server import serve
from app.serving.sockets import bind
from app.settings import Settings, misspelt_settings
from app.signals import ending_at_once

CANNOT_RUN = 2
CANNOT_LISTEN = 3
INTERRUPTED = 130
"""Exit status that a shell reports for a program ended by Ctrl+C."""

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives its exit status.

    0, 1 when something was found wrong, 2 when it cannot run, 3 when it cannot serve on its port.
    """
    asked = parser().parse_args(arguments)
    if asked.command == "version":
        print(VERSION)
        return 0
    try:
        os.environ.update(given(asked))  # workers read their settings from there
        settings = Settings()
    except ValidationError as error:
        return refuse(settings_errors(error))
    configure_logging(settings.log_level)
    try:
        return serve_here(settings) if asked.command == "serve" else run_alone(COMMANDS[asked.command](settings))
    except DatabaseUnavailable as error:
        return refuse([f"{error.detail.rstrip('.')}: {error.reason}" if error.reason else error.detail])
    except (AppError, schema.SchemaRefused, OSError) as error:
        return refuse([str(error)])
    except KeyboardInterrupt:
        return INTERRUPTED


def astray(settings: Settings) -> Iterator[str]:
    """Providers whose names stand for forbidden addresses; behind a proxy the proxy decides."""
    for name, url in settings.base_urls.items():
        if proxy_for(url) is None and resolves_to_forbidden(url):
            yield f"{name} leads to a link-local or metadata address."


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser("parley", description="A conversation service.")
    top.add_argument("--version", action="version", version=VERSION)
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


def serve_here(settings: Settings) -> int:
    """Serve until a signal ends it.

    The port is bound before anything else is done, the schema is brought up to date before anything is served.
    """
    if reasons := [*preflight.refusals(settings), *astray(settings)]:
        return refuse(reasons)
    for name, nearest in misspelt_settings().items():
        log.warning("%s in .env is no setting; is %s meant?", name, nearest)
    try:
        sockets = bind(settings.host, settings.port)
    except OSError as error:
        return refuse([unheard(settings, error)], CANNOT_LISTEN)
    run_alone(migrated(settings))
    try:
        serve(settings, sockets)
    except OSError as error:
        return refuse([unheard(settings, error)], CANNOT_LISTEN)
    return 0


def run_alone(work: Coroutine[Any, Any, int]) -> int:
    """Run what a signal may end at once."""
    with ending_at_once():
        return asyncio.run(work)


def unheard(settings: Settings, error: OSError) -> str:
    """Say why a port cannot be listened on."""
    return f"Cannot serve on {settings.host}, port {settings.port}: {error.strerror}."


async def migrated(settings: Settings) -> int:
    """Brings the schema up to date; a server does so too, but says what is wrong in a stack's trace alone."""
    database = database_of(settings, pool_size=1)
    try:
        await when_ready(functools.partial(schema.upgrade, database))
        await when_ready(functools.partial(database.write, process_leases.check_writable, new_id()))
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
        findings = await database.damage() or await database.read(conversations.findings, database.kind)
    finally:
        await database.close()
    for finding in findings:
        print(finding)
    print(f"{len(findings)} broken invariants")
    return 1 if findings else 0


COMMANDS = {"migrate": migrate, "check": report}


def settings_errors(error: ValidationError) -> list[str]:
    """Say what is wrong with each setting in a sentence with the name of its variable, without its value."""
    return [sentence(each) for each in error.errors(include_input=False, include_url=False)]


def sentence(error: ErrorDetails) -> str:
    """Say what is wrong with a setting, by its variable's name where pydantic says "Input" or "Field"."""
    ours = error.get("ctx", {}).get("error")
    words = (error["msg"] if ours is None else str(ours)).rstrip(".")
    name = ".".join(map(str, error["loc"])).upper()
    words = words.removeprefix("Input ").replace("Field required", "is required")
    return f"{name} {words}." if name else f"{words}."


def refuse(reasons: Sequence[str], status: int = CANNOT_RUN) -> int:
    """Says why the command cannot run."""
    for reason in reasons:
        print(f"parley: {reason}", file=sys.stderr)
    return status
