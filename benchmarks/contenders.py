"""The servers that are compared: Parley and its floors, each on a database of its own."""

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
from tests.support.postgres import PostgresCluster

BASELINE = "floor"
FULL = "floor, full sync"
SERVICE = "parley"
DIRECT = "provider alone"
"""No server at all: what the machine and the load itself do to a paced stream."""

WHOLE = "parley, 50 messages"
"""Without `Prefer: return=minimal`: the answer holds up to fifty messages."""

SYNCHRONOUS = {BASELINE: "NORMAL", FULL: "FULL"}


@dataclass
class Contender:
    """A server, the store beside it, and how it is asked."""

    label: str
    server: Server
    store: Store
    url: str = ""
    """Of its database."""
    prefer: str = "return=minimal"
    rates: dict[bool, float] = field(default_factory=dict)
    """Turns a second that were seen, by whether they were streamed."""

    def request(self, conversation: str, *, stream: bool) -> bytes:
        document = {"message": "And what does that mean for the harbour?", "stream": stream}
        return request("POST", f"/conversations/{conversation}/messages", document, Prefer=self.prefer)

    def needed(self, stream: bool, length: int, clients: int, seconds: float) -> int:
        """Conversations for a load: none is asked twice at once, none grows far beyond its length."""
        turns = self.rates.get(stream, 0.0) * seconds * 1.5
        return max(2 * clients, math.ceil(turns / (1 + length // 40)))

    def saw(self, stream: bool, rate: float) -> None:
        self.rates[stream] = max(self.rates.get(stream, 0.0), rate)


class Direct(Contender):
    """The provider in a server's place."""

    def request(self, conversation: str, *, stream: bool) -> bytes:  # noqa: ARG002  it keeps none
        messages = [{"role": "user", "content": "And what does that mean for the harbour?"}]
        document = {"model": "bench", "stream": stream, "messages": messages}
        return request("POST", "/v1/chat/completions", document)


class House:
    """Where servers are started: a directory, the provider, and PostgreSQL if it is needed."""

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
        """A contender that is not started, on an empty database."""
        url = self.empty(database)
        rows = SqliteFile(url) if database == "sqlite" else PostgresServer(url)
        return self.on(url, label, rows, **settings)

    def direct(self) -> Contender:
        """The provider itself."""
        return Direct(DIRECT, self.provider.server, NoStore())

    def on(self, url: str, label: str, rows: Database, **settings: str) -> Contender:
        """The same on a database that is there."""
        if label == SERVICE:
            given = self._parley_settings(url) | {name.upper(): value for name, value in settings.items()}
            server = Server(PARLEY, given, self._directory)
            return Contender(label, server, ParleyStore(rows), url)
        server = Server(FLOOR, self._floor_settings(url, SYNCHRONOUS[label]), self._directory)
        return Contender(label, server, FloorStore(rows), url)

    def empty(self, database: str) -> str:
        """The URL of an empty database."""
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
        """Fresh servers, so that the memory of one group of loads is not that of the one before.

        The settings are Parley's, by their names in small letters.
        """
        contenders = [self.new(label, database, **settings) for label in labels]
        with stopping(contenders):
            started = await asyncio.gather(*(each.server.start() for each in contenders), return_exceptions=True)
            for failure in filter(lambda result: isinstance(result, BaseException), started):
                raise failure
            yield contenders


@contextlib.contextmanager
def stopping(contenders: Sequence[Contender]) -> Iterator[None]:
    """Stops the servers of these contenders in the end."""
    try:
        yield
    finally:
        for each in contenders:
            each.server.stop()


def labels(database: str, *, full: bool) -> list[str]:
    """Who takes part; the other floor is SQLite's alone."""
    return [BASELINE, FULL, SERVICE] if full and database == "sqlite" else [BASELINE, SERVICE]
