"""SQL text for tests: damage, catalogues, and what no statement of the application does."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import text

from app.db.transaction import Row, Transaction, execute

PLACEHOLDER = re.compile(r"\$(\d+)")


def run_sql(statement: str, *values: object) -> Transaction[list[Row]]:
    """Run a statement with `$1`, `$2` … for its values, and return its rows in the driver's types."""
    given: dict[str, Any] = {f"v{number}": value for number, value in enumerate(values, 1)}
    return (yield from execute(text(PLACEHOLDER.sub(r":v\1", statement)), **given))
