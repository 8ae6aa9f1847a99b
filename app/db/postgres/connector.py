"""New connections to PostgreSQL: to the first suitable server of a URL, with a session's settings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from asyncpg.transaction import Transaction

from app.db.outages import reason_of
from app.db.postgres.errors import is_transient
from app.db.postgres.tls import tls_options
from app.db.postgres.url import PostgresUrl, Server
from app.errors import DatabaseUnavailable

CONNECT_SECONDS = 5
"""Time limit for connecting to one server if the URL has none."""
TRY_NEXT_SERVER = (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)
"""Errors after which the next server is tried, as in libpq; a refused login would be refused by all of them."""


class LocalSettingsConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection whose transactions begin with a statement that sets their settings."""

    set_statement = ""

    def transaction(self, **options: Any) -> Transaction:
        """Build a transaction, with asyncpg's options, that begins with the settings if there are any."""
        options = {"isolation": None, "readonly": False, "deferrable": False} | options
        return LocalSettingsTransaction(self, **options) if self.set_statement else Transaction(self, **options)


class LocalSettingsTransaction(Transaction):  # type: ignore[misc]  # asyncpg has no types
    """A transaction of a `LocalSettingsConnection`."""

    async def start(self) -> None:
        """Begin and set the settings; terminate the connection if that fails: it must not be used without them."""
        await super().start()
        try:
            await self._connection.execute(self._connection.set_statement)
        except BaseException:
            self._connection.terminate()
            raise


class Connector:
    """Opens connections.

    With `transaction_pooling`, behind a pooler that gives each transaction another server, statements are prepared
    without names and settings are set in each transaction; otherwise once for each connection. They are never sent in
    the startup message, since poolers reject that.
    """

    def __init__(
        self,
        url: PostgresUrl,
        settings: Mapping[str, str],
        *,
        transaction_pooling: bool = False,
        command_seconds: float | None = None,
    ) -> None:
        self._url = url
        self._transaction_pooling = transaction_pooling
        self._set_statement = set_config_statement(dict(settings) | url.settings, local=transaction_pooling)
        self._connect_seconds = url.connect_seconds or CONNECT_SECONDS
        startup = {"application_name": url.application_name or "parley", "options": url.startup_options}
        self._options: dict[str, Any] = url.login | {
            "timeout": self._connect_seconds,
            "command_timeout": command_seconds,
            "server_settings": {name: value for name, value in startup.items() if value},
            "direct_tls": url.direct_tls or None,
            "connection_class": LocalSettingsConnection,
        }
        if transaction_pooling:
            self._options["statement_cache_size"] = 0

    async def open(self) -> asyncpg.Connection:
        """Open a connection.

        Raises:
            DatabaseUnavailable: it is refused; whatever the code, no statement is to blame.
        """
        try:
            return await self._open_first(await asyncio.to_thread(tls_options, self._url.tls))
        except DatabaseUnavailable:
            raise
        except Exception as error:
            raise DatabaseUnavailable(reason=self._reason(error), transient=is_transient(error)) from error

    async def _open_first(self, tls: dict[str, Any]) -> asyncpg.Connection:
        errors: list[tuple[Server, Exception]] = []
        for server, attributes in self._candidates():
            try:
                return await self._open_at(server, attributes, tls)
            except TRY_NEXT_SERVER as error:
                errors.append((server, error))
        if len(errors) == 1:
            raise errors[0][1]
        reasons = [f"{server.host}: {self._reason(error)}" for server, error in errors]
        transient = any(is_transient(error) for _, error in errors)
        raise DatabaseUnavailable(reason="; ".join(reasons), transient=transient) from errors[-1][1]

    def _candidates(self) -> Sequence[tuple[Server, str | None]]:
        """Servers in the order to try, each with its `target_session_attrs`; None for no requirement."""
        servers = list(self._url.servers)
        if self._url.random_order:
            random.shuffle(servers)
        attributes = self._url.target_session_attrs
        if attributes == "prefer-standby":
            return [(server, each) for each in ("standby", "any") for server in servers]
        if attributes is None and len(servers) > 1:  # the first may be a standby
            attributes = "read-write"
        return [(server, attributes) for server in servers]

    async def _open_at(self, server: Server, attributes: str | None, tls: dict[str, Any]) -> asyncpg.Connection:
        target = {"host": server.host, "port": server.port, "target_session_attrs": attributes}
        connection: LocalSettingsConnection = await asyncpg.connect(**self._options, **target, **tls)
        if self._transaction_pooling:
            connection.set_statement = self._set_statement
        elif self._set_statement:
            try:
                await connection.execute(self._set_statement, timeout=self._connect_seconds)
            except BaseException:
                connection.terminate()
                raise
        return connection

    def _reason(self, error: Exception) -> str:
        """Return an error's message and code, with passwords replaced by `***`."""
        reason = reason_of(error, getattr(error, "sqlstate", None))
        for secret in (self._url.login.get("password"), self._url.tls.get("sslpassword")):
            reason = reason.replace(secret, "***") if secret else reason
        return reason


def set_config_statement(settings: Mapping[str, str], *, local: bool) -> str:
    """Build a statement that sets settings, of the transaction if `local`, else of the session; empty without any."""
    calls = ", ".join(
        f"set_config({quote_literal(name)}, {quote_literal(value)}, {str(local).lower()})"
        for name, value in settings.items()
    )
    return f"SELECT {calls}" if calls else ""


def quote_literal(text: str) -> str:
    """Quote a text as a constant of SQL, safe with either value of `standard_conforming_strings`."""
    plain = text.replace("'", "''")
    return "E'" + plain.replace("\\", "\\\\") + "'" if "\\" in plain else f"'{plain}'"
