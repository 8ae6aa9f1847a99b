"""The stable codes of errors and the classes they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast, get_args

from app.errors import AppError, InternalError, Phase, ProviderTimeout


def error_of(code: str, detail: str) -> AppError:
    """Rebuild an error from its code and detail, as stored with a failed turn."""
    kind, _, phase = code.partition("provider-timeout-")
    if not kind and phase in get_args(Phase):
        return ProviderTimeout(cast("Phase", phase))
    error = CLASS_OF_CODE.get(code, InternalError)()
    error.detail = detail
    return error


def codes_of(error: type[AppError]) -> list[str]:
    """List the codes that errors of a class have."""
    if error is ProviderTimeout:
        return [f"provider-timeout-{phase}" for phase in get_args(Phase)]
    return [error.code]


def subclasses(cls: type[AppError]) -> Iterator[type[AppError]]:
    """Generate a class and all its subclasses."""
    yield cls
    for child in cls.__subclasses__():
        yield from subclasses(child)


CLASS_OF_CODE = {cls.code: cls for cls in reversed([*subclasses(AppError)]) if cls is not ProviderTimeout}
