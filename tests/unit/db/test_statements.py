"""Every statement of the package, compiled for both databases."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Delete, Dialect, Executable, Insert, Select, TextClause, TextualSelect, Update
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import visitors

import app.db
from app.db.compiled import CompiledStatement
from app.db.models import Base
from app.db.postgres.database import DIALECT as POSTGRES
from app.db.sqlite.database import DIALECT as SQLITE

DIALECTS = {"sqlite": SQLITE, "postgresql": POSTGRES}
Case: TypeAlias = tuple[Executable, frozenset[str]]
"""A statement and the names of the dialects that it is for."""


def executables_in(value: Any, dialects: frozenset[str] = frozenset(DIALECTS)) -> Iterator[Case]:
    """Yield the statements of a module's attribute: one, or those in a sequence or a dict, as one by dialect."""
    if isinstance(value, Select | Insert | Update | Delete | TextualSelect | TextClause):
        yield value, dialects
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from executables_in(element, dialects & {key} if key in DIALECTS else dialects)
    elif isinstance(value, list | tuple):
        yield from (each for element in value for each in executables_in(element, dialects))


def statements() -> dict[str, Case]:
    """Return all statements in constants of `app.db`, each named by its first module and attribute."""
    found: dict[int, tuple[str, Case]] = {}
    for info in pkgutil.walk_packages(app.db.__path__, "app.db."):
        if ".migrations" in info.name:
            continue
        for name, value in vars(importlib.import_module(info.name)).items():
            for number, each in enumerate(executables_in(value)):
                found.setdefault(id(each[0]), (f"{info.name.removeprefix('app.db.')}.{name}[{number}]", each))
    return dict(found.values())


STATEMENTS = statements()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("statement", "dialects"), STATEMENTS.values(), ids=STATEMENTS)
def test_statement_compiles(statement: Executable, dialects: frozenset[str], dialect: str) -> None:
    """Each statement has SQL in both dialects, or in its own one, with named columns for its rows."""
    if dialect in dialects:
        assert CompiledStatement(statement, DIALECTS[dialect]).sql


@pytest.mark.parametrize(("statement", "_dialects"), STATEMENTS.values(), ids=STATEMENTS)
def test_returning_reads_no_outer_row(statement: Executable, _dialects: frozenset[str]) -> None:
    """No subquery in RETURNING names a column of the changed table: SQLite would compare the column with itself."""
    if not isinstance(statement, Insert | Update | Delete):
        return
    for column in statement.exported_columns:
        for element in visitors.iterate(column):
            if isinstance(element, Select):
                tables = {getattr(each, "table", None) for each in visitors.iterate(element)}
                assert statement.table not in tables


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_tables_and_indexes_have_ddl(dialect: Dialect) -> None:
    """Every table and every index of the models, partial ones too, can be written as DDL."""
    for table in Base.metadata.tables.values():
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            condition = index.dialect_options[dialect.name]["where"]
            assert (" WHERE " in str(CreateIndex(index).compile(dialect=dialect))) == (condition is not None)
