from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.databases import SqliteTemplate


@pytest.fixture
def url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """Give an empty SQLite database, for behaviour that is the same on both kinds."""
    with sqlite_template.copy() as made:
        yield made
