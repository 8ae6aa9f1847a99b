"""What an operator can set: environment variables, and `.env` in the working directory."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from app.db.postgres import url as postgres_url
from app.llm.providers.local import BUNDLED_MODEL
from app.llm.providers.scripted import SCRIPTS
from app.rag.models.minilm import model_path
from app.setting_types import BaseUrl, FurtherProvider, Key, LogLevel, Pooler, Provider, Seconds, from_json

SQLITE_URL = re.compile(r"sqlite(\+\w+)?:///(?!:memory:).+")
PROVIDER_NAME = r"[a-z][a-z0-9_-]{0,39}"
NO_VECTORS = "none"
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
USUAL_PORTS = {"http": ":80", "https": ":443"}
"""Ports that browsers leave out of an origin."""
ROOT_PATH = re.compile(r"([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?")
LIKENESS = 0.8
"""From what ratio of equal characters on, 0 to 1, one name is taken for another with a slip in it."""


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
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [],
        description="Origins whose pages may call the service from browsers, as https://host or http://host:port, with "
        "commas between or as JSON; * is any.",
    )
    root_path: str = Field(
        "",
        description="The prefix under which a proxy publishes the service, as /parley; it may take it away from paths "
        "or leave it.",
    )
    data_dir: Path = Field(Path("data"), description="Where the SQLite database is kept.")
    database_url: str | None = Field(
        None, description="sqlite:///path or postgresql://…; by default parley.db in DATA_DIR."
    )
    database_pooler: Pooler = Field(
        Pooler.NONE,
        description="A pooler before PostgreSQL: none, session or transaction, which is one that gives each "
        "transaction another connection, as pgbouncer does in transaction mode.",
    )
    database_pool_size: int = Field(
        10, ge=1, le=100, description="Connections that a process holds to the database at most."
    )
    llm_providers: Annotated[dict[str, FurtherProvider], NoDecode] = Field(
        {},
        description='Further servers that speak OpenAI\'s API: {"name": {"base_url": "https://host/v1", "model": "…", '
        '"api_key": "…", "context_window": 32768}, …}; the last two may be left out.',
    )
    llm_provider: str | None = Field(
        None, description="openai, groq, local, scripted or a further one; by default the first with a key, else local."
    )
    llm_model: str | None = Field(
        None,
        description="The model of LLM_PROVIDER; by default its own: of a server at OPENAI_BASE_URL the first that it "
        "lists.",
    )
    llm_context_window: int | None = Field(
        None, ge=256, description="Tokens that LLM_MODEL takes, prompt and reply; by default what is known of it."
    )
    llm_fallbacks: str | None = Field(
        None,
        description="Who is asked when a provider fails, in order: provider or provider:model, with commas between.",
    )
    title_model: str | None = Field(
        None,
        description="model or provider:model that titles conversations after their first turn; by default none does.",
    )
    summaries: bool = Field(
        True, description="Whether models summarise, in the background, what no longer fits their context window."
    )
    user_daily_tokens: int | None = Field(
        None, ge=1, description="Tokens that a user may spend in a day (UTC), input and output; by default any number."
    )
    openai_api_key: Key | None = Field(None, description="The key for OpenAI, or what speaks like it.")
    openai_base_url: BaseUrl | None = Field(
        None, description="A server that speaks OpenAI's API, as https://host/v1; by default OpenAI's own."
    )
    groq_api_key: Key | None = Field(None, description="The key for Groq.")
    groq_base_url: BaseUrl | None = Field(
        None, description="Another address for Groq's API, without the path /openai/v1."
    )
    local_model_path: Path | None = Field(
        None, description="A GGUF file for the embedded model; by default SmolLM2-135M-Instruct."
    )
    local_model_threads: int = Field(1, ge=1, le=64, description="Threads of the embedded model.")
    local_model_turns: int = Field(2, ge=1, le=64, description="Turns that the embedded model answers at once.")
    max_document_bytes: int = Field(
        20_000_000, ge=1, description="How large a document may be; larger ones are refused while they arrive."
    )
    embedding_provider: str | None = Field(
        None,
        description="Whose vectors find what documents say: local, openai, a further one, or none (by words alone); "
        "by default local, where it is installed.",
    )
    embedding_model: str | None = Field(
        None, description="The model of EMBEDDING_PROVIDER; another one has all documents embedded anew."
    )
    rerank_model: str | None = Field(
        None,
        description="provider:model of one of LLM_PROVIDERS with a /rerank endpoint, which puts what was found in "
        "order; by default none does.",
    )
    max_turns_at_work: int = Field(1_024, ge=1, description="Turns that a process answers at once.")
    max_turns_waiting: int = Field(1_024, ge=0, description="Turns that may wait in a process; more are refused.")
    max_turns_waiting_per_user: int | None = Field(
        None,
        ge=1,
        description="Turns of one user that may wait in a process; by default MAX_TURNS_WAITING / 4, at least 1.",
    )
    max_output_characters: int = Field(
        500_000, ge=1, description="Characters of a reply, after which it is ended with finish_reason length."
    )
    connect_seconds: Seconds = Field(5, description="How long connecting to a provider may take.")
    first_token_seconds: Seconds = Field(60, description="How long a model may take to begin its reply.")
    first_token_reasoning_seconds: Seconds = Field(180, description="The same for reasoning models.")
    idle_seconds: Seconds = Field(30, description="How long a model may pause amid its reply.")
    turn_seconds: Seconds = Field(300, description="How long a turn may take from its start.")
    drain_seconds: Seconds = Field(
        25,
        description="How long running turns may finish after SIGTERM. Whatever kills the process has to wait some "
        "seconds longer: docker stop waits for 10, so give it --time 30.",
    )
    header_seconds: Seconds = Field(
        10,
        description="How long a client may take to send a request's headers, from the connection or their first byte.",
    )
    body_seconds: Seconds = Field(30, description="How long a client may pause amid a request's body.")
    keep_alive_seconds: Seconds = Field(75, description="How long a connection may stay open without a request.")
    max_connections: int | None = Field(
        None,
        ge=1,
        description="Connections of clients that a process has at once; further ones are refused. By default its limit "
        "of open files (ulimit -n) less 128.",
    )

    @field_validator("database_url", mode="before")
    @classmethod
    def _without_blanks(cls, value: object) -> object:
        return (value.strip() or None) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _of_a_known_kind(cls, value: str | None) -> str | None:
        if value is None or SQLITE_URL.fullmatch(value):
            return value
        if not postgres_url.SCHEME.match(value):
            raise ValueError("has to be sqlite:///path or postgresql://…")
        postgres_url.parse(value)
        return value

    @field_validator("root_path")
    @classmethod
    def _without_a_slash_at_its_end(cls, value: str) -> str:
        path = value.strip("/")
        if not ROOT_PATH.fullmatch(path):
            raise ValueError("has to be a path such as /parley, of letters, digits and - . _ ~")
        return f"/{path}" if path else ""

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _from_json_or_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return from_json(value)
        return [each.strip() for each in value.split(",") if each.strip()]

    @field_validator("cors_origins")
    @classmethod
    def _as_browsers_send_them(cls, value: list[str]) -> list[str]:
        origins = [each.lower() for each in value]
        for number, each in enumerate(origins, 1):
            if each != "*" and not ORIGIN.fullmatch(each):
                raise ValueError(
                    f"entry {number} is no origin: it has to be https://host or http://host:port, with no path"
                )
        return [each.removesuffix(USUAL_PORTS.get(each.partition(":")[0], "")) for each in origins]

    @field_validator("openai_base_url", "groq_base_url", mode="before")
    @classmethod
    def _unset_when_blank(cls, value: object) -> object:
        return (value.strip() or None) if isinstance(value, str) else value

    @field_validator("openai_api_key", "groq_api_key")
    @classmethod
    def _none_when_blank(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value and value.get_secret_value() else None

    @field_validator("llm_providers", mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return from_json(value)

    @field_validator("llm_providers")
    @classmethod
    def _with_names_of_their_own(cls, value: dict[str, FurtherProvider]) -> dict[str, FurtherProvider]:
        for name in value:
            if name in set(Provider) or not re.fullmatch(PROVIDER_NAME, name):
                raise ValueError(f"{name!r} is no name for a further provider")
        return value

    @field_validator("llm_provider")
    @classmethod
    def _known(cls, value: str | None, info: ValidationInfo) -> str | None:
        names = [*Provider, *info.data.get("llm_providers", {})]
        if value is not None and value not in names:
            raise ValueError(f"has to be one of {', '.join(names)}")
        return value

    @field_validator("embedding_provider")
    @classmethod
    def _gives_vectors(cls, value: str | None, info: ValidationInfo) -> str | None:
        names = [Provider.LOCAL, Provider.OPENAI, *info.data.get("llm_providers", {}), NO_VECTORS]
        if value is not None and value not in names:
            raise ValueError(f"has to be one of {', '.join(names)}")
        return value

    @field_validator("rerank_model")
    @classmethod
    def _of_a_further_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider, _, model = (value or "").partition(":")
        if value is not None and (provider not in info.data.get("llm_providers", {}) or not model):
            raise ValueError("has to be provider:model, with a provider of LLM_PROVIDERS")
        return value

    @field_validator("llm_provider", "embedding_provider", "log_level", "database_pooler", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _with_credentials(self) -> Settings:
        needed = {
            Provider.OPENAI: "OPENAI_API_KEY or OPENAI_BASE_URL",
            Provider.GROQ: "GROQ_API_KEY",
        }
        if self.llm_provider is not None and self.llm_provider not in self.providers:
            raise ValueError(f"LLM_PROVIDER is {self.llm_provider}: {needed[Provider(self.llm_provider)]} is needed")
        for provider, _ in self.fallbacks:
            if provider not in self.providers:
                raise ValueError(f"LLM_FALLBACKS names {provider!r}: there are {', '.join(self.providers)}")
        return self

    @model_validator(mode="after")
    def _with_models_that_are_there(self) -> Settings:
        local = self.local_model_path.stem if self.local_model_path else BUNDLED_MODEL
        there: dict[str, list[str]] = {Provider.LOCAL: [local], Provider.SCRIPTED: [*SCRIPTS]}
        for setting, provider, model in self._models_named():
            if model and model not in there.get(provider, [model]):
                raise ValueError(f"{setting} names {model!r}: {provider} has {', '.join(there[provider])}")
        return self

    def _models_named(self) -> Iterator[tuple[str, str, str | None]]:
        """Each model that a setting names, by the setting, and whose it is."""
        if self.effective_provider != Provider.LOCAL:  # which has the one of LOCAL_MODEL_PATH
            yield "LLM_MODEL", self.effective_provider, self.llm_model
        for provider, fallback in self.fallbacks:
            yield "LLM_FALLBACKS", provider, fallback
        if self.title_model:
            provider, _, model = self.title_model.partition(":")
            known = provider in self.providers
            yield "TITLE_MODEL", *((provider, model) if known else (self.effective_provider, self.title_model))

    @model_validator(mode="after")
    def _with_what_embeds(self) -> Settings:
        provider = self.embedding_provider
        if provider == Provider.LOCAL and model_path() is None:
            raise ValueError("EMBEDDING_PROVIDER is local: the extra `documents` is not installed")
        if provider == Provider.OPENAI and provider not in self.providers:
            raise ValueError("EMBEDDING_PROVIDER is openai: OPENAI_API_KEY or OPENAI_BASE_URL is needed")
        if provider in self.llm_providers and self.embedding_model is None:
            raise ValueError(f"EMBEDDING_PROVIDER is {provider}: EMBEDDING_MODEL is needed")
        return self

    @property
    def effective_embedding_provider(self) -> str | None:
        """Whose vectors are compared; None for nobody's."""
        if self.embedding_provider is None:
            return None if model_path() is None else Provider.LOCAL
        return None if self.embedding_provider == NO_VECTORS else self.embedding_provider

    @property
    def providers(self) -> list[str]:
        """Who can be asked: those with what they need, the embedded model, and the scripted one where it is named."""
        scripted = Provider.SCRIPTED in {self.llm_provider, *(provider for provider, _ in self.fallbacks)}
        there = {
            Provider.OPENAI: self.openai_api_key or self.openai_base_url,
            Provider.GROQ: self.groq_api_key,
            Provider.LOCAL: True,
            Provider.SCRIPTED: scripted,
        }
        return [*(str(name) for name, given in there.items() if given), *self.llm_providers]

    @property
    def base_urls(self) -> dict[str, str]:
        """The addresses that are set for providers, by the names of their settings."""
        further = {f"LLM_PROVIDERS.{name}": each.base_url for name, each in self.llm_providers.items()}
        own = {"OPENAI_BASE_URL": self.openai_base_url, "GROQ_BASE_URL": self.groq_base_url}
        return {name: url for name, url in own.items() if url} | further

    @property
    def fallbacks(self) -> list[tuple[str, str | None]]:
        """The fallbacks as provider and, where it is named, model."""
        named = [each.strip().partition(":") for each in (self.llm_fallbacks or "").split(",") if each.strip()]
        return [(provider.lower(), model or None) for provider, _, model in named]

    @property
    def effective_max_turns_waiting_per_user(self) -> int:
        """Number of turns of one user that may wait in a process."""
        return self.max_turns_waiting_per_user or max(1, self.max_turns_waiting // 4)

    @property
    def effective_database_url(self) -> str:
        """Where the database is."""
        return self.database_url or f"sqlite:///{self.data_dir / 'parley.db'}"

    @property
    def effective_provider(self) -> str:
        """Who answers when nobody is named."""
        if self.llm_provider is not None:
            return self.llm_provider
        if self.openai_api_key:
            return Provider.OPENAI
        if self.groq_api_key:
            return Provider.GROQ
        # A server that is named needs no key: Ollama, llama.cpp …
        return Provider.OPENAI if self.openai_base_url else Provider.LOCAL


def misspelt_settings() -> dict[str, str]:
    """Find names in `.env` that are almost a setting's; return the nearest setting by name.

    Other names may be other programs' settings in the same file.
    """
    known = [*Settings.model_fields]
    found = {
        name: difflib.get_close_matches(name, known, 1, LIKENESS) for name in DotEnvSettingsSource(Settings).env_vars
    }
    return {name.upper(): nearest[0].upper() for name, nearest in found.items() if nearest and nearest[0] != name}
