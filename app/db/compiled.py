"""SQLAlchemy statements compiled once for a dialect, then executed on the driver at the cost of text SQL."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import BindParameter, ColumnElement, Dialect, Executable, Float, literal_column, null
from sqlalchemy.sql import visitors

FLOAT8 = 701
"""PostgreSQL's type number of double precision, by which SQLAlchemy chooses asyncpg's converter of floats."""

MANY_ROWS = 10
"""Number of rows from which on converting whole columns takes less time than converting each row."""

Convert = Callable[[Any], Any]


class CompiledStatement:
    """A statement in one dialect's SQL, with the converters of its parameters and of its columns.

    Constants of the statement become part of the SQL, so that the planner can match them with partial indexes. Its
    parameters are those that a caller names: each `bindparam`, and in an INSERT without values each column.
    """

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled = compile_inlined(statement, dialect)
        self.sql: str = compiled.string
        parameters = [(name, compiled.binds[name]) for name in compiled.positiontup or ()]
        converters = {name: each.type.dialect_impl(dialect).bind_processor(dialect) for name, each in parameters}
        # What the compiler adds, as SQLite's OFFSET 0, and values of the SET clause: their type is their column's.
        self._constants = {
            name: converters[name](each.value) if converters[name] else each.value
            for name, each in parameters
            if not each.required
        }
        self._names = frozenset(converters) - self._constants.keys()
        self._values_of = values_getter([name for name, _ in parameters])
        self._writers = [
            (position, write)
            for position, (name, _) in enumerate(parameters)
            if name in self._names and (write := converters[name]) is not None
        ]
        columns = getattr(statement, "exported_columns", {})
        self._row = row_class(list(columns.keys())) if len(columns) else None
        readers = ((position, reader_of(column.type, dialect)) for position, column in enumerate(columns))
        self._readers = [(position, reader) for position, reader in readers if reader is not None]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values of the parameters, given by name, as the driver takes them: by position.

        Raises:
            TypeError, KeyError: the names are not those of the parameters.
        """
        if len(values) != len(self._names):
            raise TypeError(f"the statement has the parameters {sorted(self._names)}, not {sorted(values)}")
        arguments = list(self._values_of({**self._constants, **values} if self._constants else values))
        for position, write in self._writers:
            arguments[position] = write(arguments[position])
        return arguments

    def rows(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the driver's rows as named tuples of Python's types; without named columns as they are."""
        if self._row is None:
            return list(rows)
        if not self._readers:
            return list(map(self._row, rows))
        if len(rows) < MANY_ROWS:
            return [self._row(self._converted(row)) for row in rows]
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for position, reader in self._readers:
            columns[position] = map(reader, columns[position])
        return list(map(self._row, zip(*columns, strict=True)))

    def _converted(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for position, reader in self._readers:
            values[position] = reader(values[position])
        return values


@functools.lru_cache(maxsize=1_024)
def compile_statement(statement: Executable, dialect: Dialect) -> CompiledStatement:
    """Compile a statement, once: statements are module constants, and equal only to themselves."""
    return CompiledStatement(statement, dialect)


def expression_sql(expression: ColumnElement[Any], dialect: Dialect) -> str:
    """Write an expression without parameters, with the constants that it has in a compiled statement."""
    return str(compile_inlined(expression, dialect))


def compile_inlined(element: Any, dialect: Dialect) -> Any:
    """Compile a statement or an expression with its constants as pieces of SQL."""
    return visitors.replacement_traverse(element, {}, functools.partial(inline, dialect)).compile(dialect=dialect)


def row_class(names: Sequence[str]) -> Convert:
    """Return the function that makes a named tuple of the values of these columns."""
    row: Any = namedtuple("Row", names)  # type: ignore[misc]  # mypy knows only constant names
    return functools.partial(tuple.__new__, row)


def values_getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Return the function that gets the values of these names from a mapping, in this order."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: [values[name] for name in names]


def reader_of(column_type: Any, dialect: Dialect) -> Convert | None:
    """Return the function that converts a driver's value to Python's type; None if it is of that type already."""
    number = FLOAT8 if isinstance(column_type, Float) else None
    reader: Convert | None = column_type.dialect_impl(dialect).result_processor(dialect, number)
    return reader


def inline(dialect: Dialect, element: Any, **_options: object) -> Any:
    """Return a constant of a statement as a piece of SQL; None for anything else, and for one of unknown type."""
    if not isinstance(element, BindParameter) or element.required:
        return None
    if element.value is None:
        return null()
    write = element.type.dialect_impl(dialect).literal_processor(dialect)
    if write is None:
        return None
    if element.expanding:
        return literal_column(f"({', '.join(write(each) for each in element.value)})")
    return literal_column(write(element.value), element.type)


def dump_json(value: Any) -> str:
    """Serialise a value of a JSON column; data classes become objects."""
    return orjson.dumps(value).decode()
