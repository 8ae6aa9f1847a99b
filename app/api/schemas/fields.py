"""Types of request and response fields, with their limits."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app.domain.storable_text import unstorable

MAX_MESSAGE = 32_000
MAX_INTEGER = 2**31 - 1


def storable(value: str) -> str:
    """Validate that both databases can store a text: PostgreSQL rejects NUL and lone surrogates."""
    if unstorable(value):
        raise PydanticCustomError("unstorable", "Text must not contain NUL characters or lone surrogates")
    return value


def not_blank(value: str) -> str:
    """Validate that a text holds more than white space."""
    if not value.strip():
        raise PydanticCustomError("blank", "Must not be blank")
    return value


def not_too_long(value: str) -> str:
    """Validate a message's length; the error has a code of its own."""
    if len(value) > MAX_MESSAGE:
        raise PydanticCustomError("message_too_long", "A message has at most 32,000 characters; shorten it")
    return value


def integral(value: object) -> object:
    """Convert a float without a fraction to an integer, as JSON Schema does with 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def not_dots(value: str) -> str:
    """Validate that a name can stand in a path: clients remove segments of one or two dots, even escaped ones."""
    if value in {".", ".."}:
        raise PydanticCustomError("dots", "Must not be . or .., which cannot stand in a path")
    return value


def decimal_text(value: object) -> object:
    """Convert an integer user id to decimal text: 1 and "1" are one user."""
    value = integral(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def flag_of_text(value: object) -> object:
    """Convert `true` and `false` to a flag; other texts are no booleans of JSON Schema."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


# The schema repeats the validators: no NUL, and more than white space, which is spelled out as `str.strip` defines it
# because engines disagree about `\s`. JSON with a lone surrogate is not Unicode text at all.
NO_NUL = r"^[^\u0000]*$"
WHITE_SPACE = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_BLANK = rf"^[^\u0000]*[^\u0000{WHITE_SPACE}][^\u0000]*$"

STORABLE = Field(json_schema_extra={"pattern": NO_NUL})
WRITTEN = Field(json_schema_extra={"pattern": NOT_BLANK})
Name = Annotated[str, StringConstraints(max_length=200), AfterValidator(storable), STORABLE]
Title = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable), AfterValidator(not_blank), WRITTEN
]
MessageText = Annotated[
    str,
    AfterValidator(storable),
    AfterValidator(not_blank),
    AfterValidator(not_too_long),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_MESSAGE, "pattern": NOT_BLANK}),
]
SearchText = Annotated[
    str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(storable), AfterValidator(not_blank), WRITTEN
]
SystemPrompt = Annotated[str, StringConstraints(max_length=16_000), AfterValidator(storable), STORABLE]
ProviderName = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(storable), STORABLE]
UserIdText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(storable),
    AfterValidator(not_blank),
    AfterValidator(not_dots),
]
UserId = Annotated[
    UserIdText,
    Field(json_schema_extra={"pattern": NOT_BLANK, "not": {"enum": [".", ".."]}, "examples": ["ada"]}),
]
USER_ID_SCHEMA = TypeAdapter(UserId).json_schema()
BodyUserId = Annotated[
    UserIdText, BeforeValidator(decimal_text), WithJsonSchema({"anyOf": [USER_ID_SCHEMA, {"type": "integer"}]})
]
"""In JSON a user id may also be an integer."""
# Strict, since "0.5", true and 1.0 have other types in JSON.
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False, strict=True)]
MaxTokens = Annotated[int, Field(ge=1, le=MAX_INTEGER, strict=True), BeforeValidator(integral)]
Flag = Annotated[bool, Field(strict=True)]
QueryFlag = Annotated[Flag, BeforeValidator(flag_of_text)]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(storable)],
        Annotated[str, StringConstraints(max_length=512), AfterValidator(storable)],
    ],
    Field(max_length=16),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 16,
            "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": NO_NUL},
            "additionalProperties": {"type": "string", "maxLength": 512, "pattern": NO_NUL},
        }
    ),
]
DocumentIds = Annotated[list[UUID], Field(max_length=100)]
Limit = Annotated[int, Field(ge=1, le=100)]
BodyLimit = Annotated[int, Field(ge=1, le=100, strict=True), BeforeValidator(integral)]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
"""Id of a conversation, a message or a document in a response."""
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Sha256 = Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f]{64}$"})]


class Input(BaseModel):
    """Base of request models; unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")


class Output(BaseModel):
    """Base of response models, which only describe responses; `…_json` functions build them without validation."""

    model_config = ConfigDict(extra="forbid")


def rfc3339(moment: int | None) -> str | None:
    """Format milliseconds since the epoch as `2026-11-21T09:30:00.250Z` (RFC 3339)."""
    if moment is None:
        return None
    seconds, milliseconds = divmod(moment, 1000)
    return f"{format_seconds(seconds)}.{milliseconds:03d}Z"


@functools.lru_cache(maxsize=1024)
def format_seconds(seconds: int) -> str:
    """Format a moment without its fraction; cached, since the messages of a page share many seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


JsonObject = dict[str, Any]
