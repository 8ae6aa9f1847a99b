"""The kinds of values that settings have."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from app.http.outbound_guard import base_url_problem

Seconds = Annotated[float, Field(gt=0)]


def allowed_base_url(value: str) -> str:
    """A base URL at which a provider may be."""
    if (problem := base_url_problem(value)) is not None:
        raise ValueError(problem)
    return value


def from_json(value: str) -> object:
    """Parse JSON; the reason why it is none does not repeat it, since keys may be in it."""
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("is not valid JSON") from None


def fit_for_a_header(value: SecretStr) -> SecretStr:
    """A key without the newline that often comes along at a file's end."""
    key = value.get_secret_value().strip()
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise ValueError("has characters that a key cannot have")
    return SecretStr(key)


BaseUrl = Annotated[str, AfterValidator(allowed_base_url)]
Key = Annotated[SecretStr, AfterValidator(fit_for_a_header)]


class Provider(StrEnum):
    """The providers that are known by name; LLM_PROVIDERS adds others."""

    OPENAI = "openai"
    GROQ = "groq"
    LOCAL = "local"
    SCRIPTED = "scripted"


class LogLevel(StrEnum):
    """From what severity on events are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Pooler(StrEnum):
    """Ways in which a pooler before PostgreSQL gives its connections away."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"


class FurtherProvider(BaseModel):
    """A server that speaks OpenAI's API."""

    model_config = ConfigDict(extra="forbid")

    base_url: BaseUrl
    api_key: Key | None = None
    model: str = Field(min_length=1)
    context_window: int = Field(32_768, ge=256)
