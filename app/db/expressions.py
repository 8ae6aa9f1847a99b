"""Expressions of statements for both databases: parameters, the database's clock, lists of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    FromClause,
    FunctionElement,
    Join,
    Select,
    Table,
    Text,
    bindparam,
    column,
    inspect,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import TableValuedAlias

from app.db.models import Base, Json


def parameter(column: InstrumentedAttribute[Any], name: str | None = None) -> BindParameter[Any]:
    """Return a parameter of a column's type, with the attribute's name if it has no other.

    A bare `bindparam` takes the type of the column that it is compared with or assigned to; anywhere else, as within
    `coalesce`, it has none, and PostgreSQL and JSON need one.
    """
    return bindparam(name or column.key, type_=column.type)


def columns_of(table: type[Base]) -> list[InstrumentedAttribute[Any]]:
    """Return all columns of a mapped class (or alias), for rows whose fields have the attributes' names."""
    return [getattr(table, each.key) for each in inspect(table).mapper.column_attrs]


def insert_into(table: type[Base], *names: str, **constants: Any) -> Insert:
    """Return an INSERT with a parameter for each of these attributes; without names, for all that are no constants.

    PostgreSQL's ON CONFLICT and RETURNING are SQLite's too.
    """
    given = names or tuple(each.key for each in columns_of(table) if each.key not in constants)
    return insert_values(table, {name: parameter(getattr(table, name)) for name in given} | constants)


def insert_values(table: type[Base], *rows: Mapping[str, Any]) -> Insert:
    """Return an INSERT of rows given by the attributes' names; the values of several rows have to be expressions."""
    columns = inspect(table).columns
    named = [{columns[name].name: value for name, value in row.items()} for row in rows]
    # Into the table and not the mapped class: a session would take the parameters of the latter for rows to insert.
    return insert(cast(Table, table.__table__)).values(named[0] if len(named) == 1 else named)


def insert_rows_of(table: type[Base], query: Select[Any]) -> Insert:
    """Return an INSERT of the rows of a query, whose columns have the names of the table's attributes."""
    columns = inspect(table).columns
    names = [columns[name].name for name, _column in query.selected_columns.items()]
    return insert(cast(Table, table.__table__)).from_select(names, query, include_defaults=False)


class DatabaseClock(FunctionElement[int]):
    """The database's clock in milliseconds, of which leases consist.

    On SQLite all processes are on one host and share its monotonic clock, which no setting of the wall clock moves; it
    restarts with the host. On PostgreSQL it is the server's, during the statement and not at the transaction's start.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(DatabaseClock, "sqlite")
def sqlite_clock(_element: DatabaseClock, _compiler: SQLCompiler, **_options: Any) -> str:
    """Call the function that `app.db.sqlite` registers with each connection."""
    return "monotonic_ms()"


@compiles(DatabaseClock, "postgresql")
def postgres_clock(_element: DatabaseClock, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


NOW = DatabaseClock()


class JsonElements(FunctionElement[Any]):
    """The elements of a JSON array as rows with the column `value`, of type JSON."""

    inherit_cache = True


class JsonTexts(JsonElements):
    """The elements of a JSON array of texts or numbers as rows with the column `value`, of type text."""

    inherit_cache = True


@compiles(JsonElements, "sqlite")
def sqlite_elements(element: JsonElements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(JsonElements, "postgresql")
def postgres_elements(element: JsonElements, compiler: SQLCompiler, **options: Any) -> str:
    return f"jsonb_array_elements({compiler.process(element.clauses, **options)})"


@compiles(JsonTexts, "postgresql")
def postgres_texts(element: JsonTexts, compiler: SQLCompiler, **options: Any) -> str:
    return f"jsonb_array_elements_text({compiler.process(element.clauses, **options)})"


def elements(name: str) -> TableValuedAlias:
    """Return the elements of the list parameter of this name, each a list of its own, as a table.

    Its column is `c.value`; `c.value[0].as_string()` is an element's first element.
    """
    return JsonElements(bindparam(name, type_=Json)).table_valued(column("value", Json))


def element_texts(name: str) -> TableValuedAlias:
    """Return the elements of the list parameter of this name, each a text or a number, as a table.

    Its column is `c.value`, of type text.
    """
    return JsonTexts(bindparam(name, type_=Json)).table_valued(column("value", Text))


def is_among(attribute: InstrumentedAttribute[Any], name: str) -> ColumnElement[bool]:
    """Build the condition that a column's value is in the list parameter of this name; one parameter for any length."""
    return attribute.in_(select(sql_cast(element_texts(name).c.value, attribute.type)))


class OrderedJoin(Join):
    """A join that SQLite, which has no statistics here, runs from left to right; PostgreSQL chooses the order."""

    inherit_cache = True


@compiles(OrderedJoin, "sqlite")
def sqlite_ordered_join(join: OrderedJoin, compiler: SQLCompiler, **options: Any) -> str:
    """Write CROSS JOIN, which differs from JOIN only in that its order is kept."""
    options["asfrom"] = True
    left, right = (compiler.process(each, **options) for each in (join.left, join.right))
    condition = compiler.process(cast(ColumnElement[bool], join.onclause))
    return f"{left} CROSS JOIN {right} ON {condition}"


def join_in_order(left: FromClause, *others: tuple[type[Base], ColumnElement[bool]]) -> FromClause:
    """Join a table with others, each with its condition, in this order."""
    for table, condition in others:
        left = OrderedJoin(left, inspect(table).selectable, condition)
    return left
