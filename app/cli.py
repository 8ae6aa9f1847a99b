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
from app.serving.sockets import bind
from app.settings import Settings, misspelt_settings
from app.signals import exit_on_signal

CANNOT_RUN = 2
CANNOT_LISTEN = 3
INTERRUPTED = 130
"""Exit status that a shell reports for a program ended by Ctrl+C."""

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0: success; 1: `check` found errors; 2: the command cannot run; 3: the port cannot be served on.
    """
    options = build_parser().parse_args(arguments)
    if options.command == "version":
        print(VERSION)
        return 0
    try:
        os.environ.update(overrides(options))  # workers read their settings from there
        settings = Settings()
    except ValidationError as error:
        return refuse(settings_errors(error))
    configure_logging(settings.log_level)
    try:
        return (
            run_server(settings)
            if options.command == "serve"
            else run_interruptible(COMMANDS[options.command](settings))
        )
    except (AppError, schema.SchemaError, OSError) as error:
        return refuse([error_text(error)])
    except KeyboardInterrupt:
        return INTERRUPTED


def forbidden_url_errors(settings: Settings) -> Iterator[str]:
    """Generate an error for each base URL that resolves to a forbidden address; behind a proxy the proxy decides."""
    for name, url in settings.base_urls.items():
        if proxy_for(url) is None and resolves_to_forbidden(url):
            yield f"{name} resolves to a link-local or metadata address; set the address of a provider."


def build_parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "parley",
        description="Serve conversations with language models over HTTP. Settings come from the environment and .env.",
    )
    top.add_argument("--version", action="version", version=VERSION)
    commands = top.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="migrate the database and serve until SIGTERM or Ctrl+C")
    serving.add_argument("--host", help="address to serve on; overrides HOST")
    serving.add_argument("--port", type=int, help="port to serve on; overrides PORT")
    commands.add_parser("migrate", help="migrate the database to this release's schema and exit")
    commands.add_parser(
        "check", help="check the stored data for broken invariants and orphans; exit 1 if there are any"
    )
    commands.add_parser("version", help="print the version and exit")
    return top


def overrides(options: argparse.Namespace) -> dict[str, str]:
    """Return the environment variables that the command line sets."""
    named = {name: getattr(options, name, None) for name in ("host", "port")}
    return {name.upper(): str(value) for name, value in named.items() if value is not None}


def run_server(settings: Settings) -> int:
    """Serve until a signal ends it; return the exit status.

    The port is bound first of all; the schema is migrated before anything is served.
    """
    if reasons := [*preflight.startup_errors(settings), *forbidden_url_errors(settings)]:
        return refuse(reasons)
    for name, nearest in misspelt_settings().items():
        log.warning("%s in .env is not a setting; did you mean %s?", name, nearest)
    try:
        sockets = bind(settings.host, settings.port)
    except OSError as error:
        return refuse([cannot_listen(settings, error)], CANNOT_LISTEN)
    run_interruptible(apply_migrations(settings))
    from app.serving.server import serve  # the web framework, which the other commands do without

    try:
        serve(settings, sockets)
    except OSError as error:
        return refuse([cannot_listen(settings, error)], CANNOT_LISTEN)
    return 0


def run_interruptible(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine that a signal may end at once."""
    with exit_on_signal():
        return asyncio.run(work)


def cannot_listen(settings: Settings, error: OSError) -> str:
    """Format the error of a port that cannot be listened on."""
    return f"Cannot serve on {settings.host}, port {settings.port}: {error.strerror}. Set another HOST or PORT."


def error_text(error: AppError | schema.SchemaError | OSError) -> str:
    """Format the error of a command, with the database's own reason or the file's name where it has one."""
    if isinstance(error, DatabaseUnavailable) and error.reason:
        return f"The database cannot be used: {error.reason}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"Cannot use {error.filename}: {error.strerror}. Set DATA_DIR or DATABASE_URL to a writable place."
    return str(error)


async def apply_migrations(settings: Settings) -> int:
    """Migrate the schema and try a write. The server migrates too, but reports errors only as tracebacks."""
    database = database_of(settings, pool_size=1)
    try:
        await when_ready(functools.partial(schema.upgrade, database))
        await when_ready(functools.partial(database.write, process_leases.check_writable, new_id()))
    finally:
        await database.close()
    return 0


async def migrate(settings: Settings) -> int:
    """Migrate the schema and print its revision."""
    status = await apply_migrations(settings)
    print(f"schema {schema.HEAD}")
    return status


async def check(settings: Settings) -> int:
    """Print broken invariants of the stored data; return 1 if there are any."""
    database = database_of(settings, pool_size=1)
    try:
        await when_ready(functools.partial(schema.require_current, database))
        findings = await database.integrity_errors() or await database.read(conversations.findings, database.kind)
    finally:
        await database.close()
    for finding in findings:
        print(finding)
    print(f"{len(findings)} broken invariants")
    return 1 if findings else 0


COMMANDS = {"migrate": migrate, "check": check}


def settings_errors(error: ValidationError) -> list[str]:
    """Format each invalid setting as a sentence with the name of its variable, without its value."""
    return [setting_error(each) for each in error.errors(include_input=False, include_url=False)]


def setting_error(error: ErrorDetails) -> str:
    """Format one invalid setting, with its variable's name in place of pydantic's "Input" or "Field"."""
    ours = error.get("ctx", {}).get("error")
    words = (error["msg"] if ours is None else str(ours)).rstrip(".")
    name = ".".join(map(str, error["loc"])).upper()
    words = words.removeprefix("Input ").replace("Field required", "is required").partition(", unable to ")[0]
    words = words.replace("should be", "must be")
    return f"{name} {words}." if name else f"{words}."


def refuse(reasons: Sequence[str], status: int = CANNOT_RUN) -> int:
    """Print the reasons why the command cannot run; return its exit status."""
    for reason in reasons:
        print(f"parley: {reason}", file=sys.stderr)
    return status
