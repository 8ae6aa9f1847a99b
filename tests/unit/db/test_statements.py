"""Every statement of the package, compiled for both databases."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Delete, Dialect, Executable, Insert, Select, TextClause, TextualSelect, Update
from sqlalchemy.sql import visitors

import app.db
from app.db.compiled import CompiledStatement
from app.db.postgres.database import DIALECT as POSTGRES
from app.db.sqlite.database import DIALECT as SQLITE

DIALECTS = {"sqlite": SQLITE, "postgresql": POSTGRES}


def executables_in(value: Any) -> Iterator[Executable]:
    """Yield the statements of a module's attribute: one, or those in a dict or a sequence."""
    if isinstance(value, Select | Insert | Update | Delete | TextualSelect | TextClause):
        yield value
    elif isinstance(value, dict):
        yield from (each for element in value.values() for each in executables_in(element))
    elif isinstance(value, list | tuple):
        yield from (each for element in value for each in executables_in(element))


def statements() -> dict[str, Executable]:
    """Return all statements in constants of `app.db`, each named by its first module and attribute."""
    found: dict[int, tuple[str, Executable]] = {}
    for info in pkgutil.walk_packages(app.db.__path__, "app.db."):
        if ".migrations" in info.name:
            continue
        for name, value in vars(importlib.import_module(info.name)).items():
            for number, each in enumerate(executables_in(value)):
                found.setdefault(id(each), (f"{info.name.removeprefix('app.db.')}.{name}[{number}]", each))
    return dict(found.values())


STATEMENTS = statements()


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_statement_compiles(statement: Executable, dialect: Dialect) -> None:
    """Each statement has SQL in both dialects, with named columns for its rows."""
    compiled = CompiledStatement(statement, dialect)
    assert compiled.sql


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_returning_reads_no_outer_row(statement: Executable) -> None:
    """No subquery in RETURNING names a column of the changed table: SQLite would compare the column with itself."""
    if not isinstance(statement, Insert | Update | Delete):
        return
    for column in statement.exported_columns:
        for element in visitors.iterate(column):
            if isinstance(element, Select):
                tables = {getattr(each, "table", None) for each in visitors.iterate(element)}
                assert statement.table not in tables
