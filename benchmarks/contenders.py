"""The compared servers: Parley and its floors, each on a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.client import request
from benchmarks.processes import FLOOR, PARLEY, Provider, Server, Watch
from benchmarks.stores import Database, FloorStore, NoStore, ParleyStore, PostgresServer, SqliteFile, Store
from tests.support.parley_client import messages_path
from tests.support.postgres import PostgresCluster

BASELINE = "floor"
FULL = "floor, full sync"
SERVICE = "parley"
DIRECT = "provider alone"
"""No server: the effect of the machine and the load itself on a paced stream."""

WHOLE = "parley, 50 messages"
"""Without `Prefer: return=minimal`: the answer holds up to fifty messages."""

SYNCHRONOUS = {BASELINE: "NORMAL", FULL: "FULL"}


@dataclass
class Contender:
    """A server, the store of its database, and its requests."""

    label: str
    server: Server
    store: Store
    url: str = ""
    """URL of its database."""
    prefer: str = "return=minimal"
    rates: dict[bool, float] = field(default_factory=dict)
    """Measured turns a second, by whether they were streamed."""

    def request(self, conversation: str, *, stream: bool) -> bytes:
        document = {"message": "And what does that mean for the harbour?", "stream": stream}
        return request("POST", messages_path({"conversation_id": conversation}), document, Prefer=self.prefer)

    def needed(self, stream: bool, length: int, clients: int, seconds: float) -> int:
        """Return the conversations that a load needs: none is used twice at once or grows far beyond its length."""
        turns = self.rates.get(stream, 0.0) * seconds * 1.5
        return max(2 * clients, math.ceil(turns / (1 + length // 40)))

    def record_rate(self, stream: bool, rate: float) -> None:
        self.rates[stream] = max(self.rates.get(stream, 0.0), rate)


class Direct(Contender):
    """The provider in place of a server."""

    def request(self, conversation: str, *, stream: bool) -> bytes:  # noqa: ARG002  it stores no conversations
        messages = [{"role": "user", "content": "And what does that mean for the harbour?"}]
        document = {"model": "bench", "stream": stream, "messages": messages}
        return request("POST", "/v1/chat/completions", document)


class Servers:
    """Starts servers in a directory, with the provider and, if needed, PostgreSQL."""

    def __init__(self, directory: Path, cluster: PostgresCluster | None) -> None:
        self.provider = Provider(directory)
        self._directory = directory
        self._cluster = cluster
        self._numbers = itertools.count(1)
        self._database_pid: int | None = None
        if cluster is not None:
            self._database_pid = int(cluster.psql("SELECT pg_read_file('postmaster.pid')").split()[0])

    def watch(self, contender: Contender, database: str) -> Watch:
        pids = {"server": contender.server.pid, "provider": self.provider.server.pid}
        if database == "postgresql":
            pids["database"] = self._database_pid
        return Watch(pids)

    def new(self, label: str, database: str, **settings: str) -> Contender:
        """Return a contender on an empty database, not started."""
        url = self.empty(database)
        rows = SqliteFile(url) if database == "sqlite" else PostgresServer(url)
        return self.on(url, label, rows, **settings)

    def direct(self) -> Contender:
        """Return the provider as a contender."""
        return Direct(DIRECT, self.provider.server, NoStore())

    def on(self, url: str, label: str, rows: Database, **settings: str) -> Contender:
        """Return a contender on an existing database, not started."""
        if label == SERVICE:
            given = self._parley_settings(url) | {name.upper(): value for name, value in settings.items()}
            server = Server(PARLEY, given, self._directory)
            return Contender(label, server, ParleyStore(rows), url)
        server = Server(FLOOR, self._floor_settings(url, SYNCHRONOUS[label]), self._directory)
        return Contender(label, server, FloorStore(rows), url)

    def empty(self, database: str) -> str:
        """Create an empty database and return its URL."""
        name = f"bench_{next(self._numbers)}"
        if database == "sqlite":
            return f"sqlite:///{self._directory / name}.db"
        self._cluster.create_database(name)
        return self._cluster.url(name)

    def _parley_settings(self, url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": url,
            "DATA_DIR": str(self._directory / "data"),
            "LLM_PROVIDER": "openai",
            "LLM_MODEL": "bench",
            "OPENAI_API_KEY": "x",
            "OPENAI_BASE_URL": self.provider.url,
            "LOG_LEVEL": "error",
            "DRAIN_SECONDS": "1",
        }

    def _floor_settings(self, url: str, synchronous: str) -> dict[str, str]:
        return {
            "FLOOR_DATABASE": url,
            "FLOOR_SYNCHRONOUS": synchronous,
            "FLOOR_PROVIDER": self.provider.url,
            "FLOOR_MODEL": "bench",
        }

    @contextlib.asynccontextmanager
    async def started(self, labels: Sequence[str], database: str, **settings: str) -> AsyncIterator[list[Contender]]:
        """Start new servers, so that no group of loads starts with the memory of the one before.

        The settings are Parley's, by their names in lower case.
        """
        contenders = [self.new(label, database, **settings) for label in labels]
        with stopping(contenders):
            started = await asyncio.gather(*(each.server.start() for each in contenders), return_exceptions=True)
            for failure in filter(lambda result: isinstance(result, BaseException), started):
                raise failure
            yield contenders


@contextlib.contextmanager
def stopping(contenders: Sequence[Contender]) -> Iterator[None]:
    """Stop the servers of these contenders at the end."""
    try:
        yield
    finally:
        for each in contenders:
            each.server.stop()


def labels(database: str, *, full: bool) -> list[str]:
    """Return the labels of the contenders; the second floor exists only on SQLite."""
    return [BASELINE, FULL, SERVICE] if full and database == "sqlite" else [BASELINE, SERVICE]
