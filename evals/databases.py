"""An empty database for each set, so that none is measured among the words of another."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.postgres import PostgresCluster

DATABASES = ("sqlite", "postgresql")


class Databases:
    """Where empty databases come from."""

    def __init__(self, directory: Path, cluster: PostgresCluster | None) -> None:
        self._directory = directory
        self._cluster = cluster
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def one(self, kind: str) -> Iterator[str]:
        """An empty database of this kind, as a URL."""
        name = f"evals_{next(self._numbers)}"
        if self._cluster is None or kind == "sqlite":
            yield f"sqlite:///{self._directory / name}.db"
            return
        self._cluster.create_database(name)
        yield self._cluster.url(name)
        self._cluster.drop_database(name)


@contextlib.contextmanager
def databases(kinds: Sequence[str]) -> Iterator[Databases]:
    """Starts what these kinds need; leaving removes it all."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-evals-")))
        cluster = stack.enter_context(PostgresCluster.start()) if "postgresql" in kinds else None
        yield Databases(directory, cluster)
