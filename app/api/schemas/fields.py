"""The kinds of values that requests hold, with their limits."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.domain.text import unstorable

MAX_MESSAGE = 32_000
MAX_INTEGER = 2**31 - 1


def storable(value: str) -> str:
    """Text that both databases can store; PostgreSQL refuses NUL and lone surrogates."""
    if unstorable(value):
        raise PydanticCustomError("unstorable", "Text must not hold NUL characters or lone surrogates")
    return value


def not_blank(value: str) -> str:
    """Text with something else than white space in it."""
    if not value.strip():
        raise PydanticCustomError("blank", "Must not be blank")
    return value


def not_too_long(value: str) -> str:
    """A message within its limit, which has a code of its own."""
    if len(value) > MAX_MESSAGE:
        raise PydanticCustomError("message_too_long", "A message has at most 32,000 characters")
    return value


def not_dots(value: str) -> str:
    """A name that can stand in a path: clients take a segment of one or two dots out, however it is escaped."""
    if value in {".", ".."}:
        raise PydanticCustomError("dots", "Must not be . or .., which no path can name")
    return value


def decimal_text(value: object) -> object:
    """An integer user id as its decimal text: 1 and "1" are one user."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, AfterValidator(storable)]
MessageText = Annotated[
    str,
    AfterValidator(storable),
    AfterValidator(not_blank),
    AfterValidator(not_too_long),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_MESSAGE}),
]
UserId = Annotated[
    Text,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(not_blank),
    AfterValidator(not_dots),
    BeforeValidator(decimal_text, json_schema_input_type=str | int),
]
Name = Annotated[Text, StringConstraints(max_length=200)]
Title = Annotated[Text, StringConstraints(min_length=1, max_length=200), AfterValidator(not_blank)]
SystemPrompt = Annotated[Text, StringConstraints(max_length=16_000)]
ProviderName = Annotated[Text, StringConstraints(min_length=1, max_length=100)]
# Strict, since "0.5", true and 1.0 are other types in JSON than what is asked for.
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False, strict=True)]
MaxTokens = Annotated[int, Field(ge=1, le=MAX_INTEGER, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Metadata = Annotated[
    dict[
        Annotated[Text, StringConstraints(min_length=1, max_length=64)],
        Annotated[Text, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]
DocumentIds = Annotated[list[UUID], Field(max_length=100)]
Limit = Annotated[int, Field(ge=1, le=100)]


class Input(BaseModel):
    """What a caller sends: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class Output(BaseModel):
    """What is answered, for the OpenAPI document; `…_json` functions build it without validation."""

    model_config = ConfigDict(extra="forbid")


def rfc3339(moment: int | None) -> str | None:
    """A moment in milliseconds as `2026-11-21T09:30:00.250Z` (RFC 3339)."""
    if moment is None:
        return None
    seconds, milliseconds = divmod(moment, 1000)
    return f"{second(seconds)}.{milliseconds:03d}Z"


@functools.lru_cache(maxsize=1024)
def second(seconds: int) -> str:
    """A moment to the second; a page's messages share most of theirs."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


JsonObject = dict[str, Any]
