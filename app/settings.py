"""What an operator can set: environment variables, and `.env` in the working directory."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DATABASE_URL = re.compile(r"sqlite(\+\w+)?:///(?!:memory:).+|postgres(ql)?(\+\w+)?://.+")
Seconds = Annotated[float, Field(gt=0)]


class Provider(StrEnum):
    """The providers that a deployment may answer with."""

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


class Settings(BaseSettings):
    """Every setting with its default; its description is its line in `.env.example`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,  # keys are among it
    )

    host: str = Field("127.0.0.1", description="The address to serve on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to serve on; 0 takes a free one.")
    web_concurrency: int = Field(1, ge=1, le=64, description="How many processes serve.")
    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error.")
    data_dir: Path = Field(Path("data"), description="Where the SQLite database is kept.")
    database_url: str | None = Field(
        None, description="sqlite:///path or postgresql://…; by default parley.db in DATA_DIR."
    )
    database_pool_size: int = Field(
        10, ge=1, le=100, description="Connections that a process holds to the database at most."
    )
    llm_provider: Provider | None = Field(
        None, description="openai, groq, local or scripted; by default the first with a key, else local."
    )
    llm_model: str | None = Field(None, description="The model of LLM_PROVIDER; each has a default.")
    openai_api_key: SecretStr | None = Field(None, description="The key for OpenAI, or what speaks like it.")
    openai_base_url: str | None = Field(
        None, description="A server that speaks OpenAI's API, as https://host/v1; by default OpenAI's own."
    )
    groq_api_key: SecretStr | None = Field(None, description="The key for Groq.")
    groq_base_url: str | None = Field(None, description="Another address for Groq's API, without a path.")
    local_model_path: Path | None = Field(
        None, description="A GGUF file for the embedded model; by default SmolLM2-135M-Instruct."
    )
    local_model_threads: int = Field(1, ge=1, le=64, description="Threads of the embedded model.")
    local_model_turns: int = Field(2, ge=1, le=64, description="Turns that the embedded model answers at once.")
    max_turns_at_work: int = Field(1_024, ge=1, description="Turns that a process answers at once.")
    max_turns_waiting: int = Field(1_024, ge=0, description="Turns that may wait in a process; more are refused.")
    first_token_seconds: Seconds = Field(60, description="How long a model may take to begin its reply.")
    first_token_reasoning_seconds: Seconds = Field(180, description="The same for reasoning models.")
    idle_seconds: Seconds = Field(30, description="How long a model may pause amid its reply.")
    turn_seconds: Seconds = Field(300, description="How long a turn may take from its start.")
    drain_seconds: Seconds = Field(25, description="How long running turns may finish after SIGTERM.")

    @field_validator("database_url")
    @classmethod
    def _of_a_known_kind(cls, value: str | None) -> str | None:
        if value is not None and not DATABASE_URL.fullmatch(value):
            raise ValueError("has to be sqlite:///path or postgresql://…")
        return value

    @field_validator("openai_api_key", "groq_api_key")
    @classmethod
    def _fit_for_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        key = value.get_secret_value().strip() if value else ""  # a file's last newline often comes along
        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise ValueError("has characters that a key cannot have")
        return SecretStr(key) if key else None

    @field_validator("llm_provider", "log_level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _with_credentials(self) -> Settings:
        if self.llm_provider is Provider.OPENAI and not (self.openai_api_key or self.openai_base_url):
            raise ValueError("LLM_PROVIDER is openai: OPENAI_API_KEY or OPENAI_BASE_URL is needed")
        if self.llm_provider is Provider.GROQ and not self.groq_api_key:
            raise ValueError("LLM_PROVIDER is groq: GROQ_API_KEY is needed")
        return self

    @property
    def effective_database_url(self) -> str:
        """Where the database is."""
        return self.database_url or f"sqlite:///{self.data_dir / 'parley.db'}"

    @property
    def effective_provider(self) -> Provider:
        """Who answers when nobody is named."""
        if self.llm_provider is not None:
            return self.llm_provider
        if self.openai_api_key:
            return Provider.OPENAI
        if self.groq_api_key:
            return Provider.GROQ
        # A server that is named needs no key: Ollama, llama.cpp …
        return Provider.OPENAI if self.openai_base_url else Provider.LOCAL
