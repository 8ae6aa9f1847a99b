"""New connections to PostgreSQL: to the first server of a URL that is there and fit, with a session's settings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from asyncpg.transaction import Transaction

from app.db.outages import reason_of
from app.db.postgres.errors import is_passing
from app.db.postgres.tls import tls_options
from app.db.postgres.url import PostgresUrl, Server
from app.errors import DatabaseUnavailable

CONNECT_SECONDS = 5
"""Seconds for connecting to one server, where the URL does not say."""
NEXT_SERVER = (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)
"""After which the next server is tried, as libpq does; a refused login is the same at all of them."""


class SettingConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection whose transactions begin with a statement that makes their settings."""

    settings = ""

    def transaction(self, **options: Any) -> Transaction:
        """See `asyncpg.Connection.transaction`."""
        given = {"isolation": None, "readonly": False, "deferrable": False} | options
        return SettingTransaction(self, **given) if self.settings else Transaction(self, **given)


class SettingTransaction(Transaction):  # type: ignore[misc]  # asyncpg has no types
    """See `SettingConnection`."""

    async def start(self) -> None:
        """See `Transaction.start`; one that has not its settings is not to be worked in."""
        await super().start()
        try:
            await self._connection.execute(self._connection.settings)
        except BaseException:
            self._connection.terminate()
            raise


class Connector:
    """Opens connections.

    Behind a pooler that gives each transaction another server, no statement is prepared by a name, and settings are
    those of each transaction; else they are made when the connection is. They are never part of the start of a
    connection, since poolers refuse that.
    """

    def __init__(
        self,
        url: PostgresUrl,
        settings: Mapping[str, str],
        *,
        by_transaction: bool = False,
        command_seconds: float | None = None,
    ) -> None:
        self._url = url
        self._by_transaction = by_transaction
        self._settings = selection(dict(settings) | url.settings, local=by_transaction)
        self._seconds = url.connect_seconds or CONNECT_SECONDS
        at_start = {"application_name": url.application_name or "parley", "options": url.startup_options}
        self._options: dict[str, Any] = url.login | {
            "timeout": self._seconds,
            "command_timeout": command_seconds,
            "server_settings": {name: value for name, value in at_start.items() if value},
            "direct_tls": url.direct_tls or None,
            "connection_class": SettingConnection,
        }
        if by_transaction:
            self._options["statement_cache_size"] = 0

    async def open(self) -> asyncpg.Connection:
        """A new connection.

        Raises:
            DatabaseUnavailable: it is refused; whatever the code, no statement is to blame.
        """
        try:
            return await self._first_fit(await asyncio.to_thread(tls_options, self._url.tls))
        except DatabaseUnavailable:
            raise
        except Exception as error:
            raise DatabaseUnavailable(reason=self._reason(error), passing=is_passing(error)) from error

    async def _first_fit(self, tls: dict[str, Any]) -> asyncpg.Connection:
        errors: list[tuple[Server, Exception]] = []
        for server, attributes in self._candidates():
            try:
                return await self._connected(server, attributes, tls)
            except NEXT_SERVER as error:
                errors.append((server, error))
        if len(errors) == 1:
            raise errors[0][1]
        reasons = [f"{server.host}: {self._reason(error)}" for server, error in errors]
        passing = any(is_passing(error) for _, error in errors)
        raise DatabaseUnavailable(reason="; ".join(reasons), passing=passing) from errors[-1][1]

    def _candidates(self) -> Sequence[tuple[Server, str | None]]:
        servers = list(self._url.servers)
        if self._url.shuffled:
            random.shuffle(servers)
        attributes = self._url.target_session_attrs
        if attributes == "prefer-standby":
            return [(server, each) for each in ("standby", "any") for server in servers]
        if attributes is None and len(servers) > 1:  # the first may be a standby
            attributes = "read-write"
        return [(server, attributes) for server in servers]

    async def _connected(self, server: Server, attributes: str | None, tls: dict[str, Any]) -> asyncpg.Connection:
        place = {"host": server.host, "port": server.port, "target_session_attrs": attributes}
        connection: SettingConnection = await asyncpg.connect(**self._options, **place, **tls)
        if self._by_transaction:
            connection.settings = self._settings
        elif self._settings:
            try:
                await connection.execute(self._settings, timeout=self._seconds)
            except BaseException:
                connection.terminate()
                raise
        return connection

    def _reason(self, error: Exception) -> str:
        reason = reason_of(error, getattr(error, "sqlstate", None))
        for secret in (self._url.login.get("password"), self._url.tls.get("sslpassword")):
            reason = reason.replace(secret, "***") if secret else reason
        return reason


def selection(settings: Mapping[str, str], *, local: bool) -> str:
    """A statement that makes settings, of the session or of the transaction; empty where there are none."""
    each = (f"set_config({literal(name)}, {literal(value)}, {str(local).lower()})" for name, value in settings.items())
    made = ", ".join(each)
    return f"SELECT {made}" if made else ""


def literal(text: str) -> str:
    """A text as a constant of SQL, whatever the session's rules for backslashes are."""
    plain = text.replace("'", "''")
    return "E'" + plain.replace("\\", "\\\\") + "'" if "\\" in plain else f"'{plain}'"
