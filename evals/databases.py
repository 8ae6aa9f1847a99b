"""An empty database for each set, so that the documents of one do not affect another."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.postgres import PostgresCluster

DATABASES = ("sqlite", "postgresql")


class Databases:
    """Creates empty databases."""

    def __init__(self, directory: Path, cluster: PostgresCluster | None) -> None:
        self._directory = directory
        self._cluster = cluster
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def create(self, kind: str) -> Iterator[str]:
        """Create an empty database of a kind and give its URL; drop it at the end."""
        name = f"evals_{next(self._numbers)}"
        if self._cluster is None or kind == "sqlite":
            yield f"sqlite:///{self._directory / name}.db"
            return
        self._cluster.create_database(name)
        yield self._cluster.url(name)
        self._cluster.drop_database(name)


@contextlib.contextmanager
def databases(kinds: Sequence[str]) -> Iterator[Databases]:
    """Start the servers that these kinds need; remove everything at the end."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-evals-")))
        cluster = stack.enter_context(PostgresCluster.start()) if "postgresql" in kinds else None
        yield Databases(directory, cluster)
