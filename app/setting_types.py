"""Types of settings' values."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from app.http.outbound_guard import base_url_problem

Seconds = Annotated[float, Field(gt=0)]


def checked_base_url(value: str) -> str:
    """Return a provider's base URL, if it may be one.

    Raises:
        ValueError: it is no URL, or one that no provider can have.
    """
    if (problem := base_url_problem(value)) is not None:
        raise ValueError(problem)
    return value


def checked_key(value: SecretStr) -> SecretStr:
    """Return a key without surrounding blanks, such as the newline at a file's end.

    Raises:
        ValueError: it has characters that an HTTP header cannot have.
    """
    key = value.get_secret_value().strip()
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise ValueError("contains characters that a key cannot have: only printable ASCII without spaces is allowed")
    return SecretStr(key)


def blank_to_none(value: object) -> object:
    """Strip a text; None for a blank one."""
    return (value.strip() or None) if isinstance(value, str) else value


def empty_to_none(value: SecretStr | None) -> SecretStr | None:
    return value if value and value.get_secret_value() else None


def parse_json(value: str) -> object:
    """Parse JSON.

    Raises:
        ValueError: it is not JSON; the message does not repeat it, since keys may be in it.
    """
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("is not valid JSON") from None


def lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def one_of(value: str | None, names: list[str]) -> str | None:
    """Return an optional name, if it is one of these.

    Raises:
        ValueError: it is another.
    """
    if value is not None and value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return value


Trimmed = BeforeValidator(blank_to_none)
LowerCase = BeforeValidator(lowered)
BaseUrl = Annotated[str, AfterValidator(checked_base_url)]
OptionalBaseUrl = Annotated[BaseUrl | None, Trimmed]
Key = Annotated[SecretStr, AfterValidator(checked_key)]
OptionalKey = Annotated[Key | None, AfterValidator(empty_to_none)]


class LogLevel(StrEnum):
    """Minimum severities of logged events."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Pooler(StrEnum):
    """Modes of a connection pooler in front of PostgreSQL."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"
