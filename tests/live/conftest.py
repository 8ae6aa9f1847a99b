from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.databases import SqliteTemplate


@pytest.fixture
def url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """An empty database, for what is the same on both kinds; each start of a process costs."""
    with sqlite_template.copy() as made:
        yield made
