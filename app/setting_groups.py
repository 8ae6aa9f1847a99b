"""Groups of settings: the server, the database, limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

from app.db.postgres import url as postgres_url
from app.setting_types import LogLevel, LowerCase, Pooler, Seconds, Trimmed, parse_json

SQLITE_URL = re.compile(r"sqlite(\+\w+)?:///(?!:memory:).+")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
"""Ports that browsers leave out of an origin."""
ROOT_PATH = re.compile(r"([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?")


class ServerSettings(BaseModel):
    """The HTTP server."""

    host: str = Field("127.0.0.1", description="Address to serve on; a container needs 0.0.0.0, all addresses.")
    port: int = Field(8000, ge=0, le=65535, description="Port to serve on; 0 selects a free one.")
    web_concurrency: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of serving processes. Raise it when one CPU core is not enough; the limits of a process "
        "apply to each.",
    )
    log_level: Annotated[LogLevel, LowerCase] = Field(
        LogLevel.INFO, description="Minimum level of logged events: debug, info, warning or error."
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [],
        description="Origins whose web pages may call the service from browsers: https://host or http://host:port, "
        "comma-separated or as JSON; * allows all; default: none.",
    )
    root_path: str = Field(
        "",
        description="Path prefix under which a reverse proxy publishes the service, such as /parley; the proxy may "
        "remove it from paths or not.",
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _parse_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return parse_json(value)
        return [each.strip() for each in value.split(",") if each.strip()]

    @field_validator("cors_origins")
    @classmethod
    def _normalise_origins(cls, value: list[str]) -> list[str]:
        """Write origins as browsers send them: in lower case, without the scheme's default port."""
        origins = [each.lower() for each in value]
        for number, each in enumerate(origins, 1):
            if each != "*" and not ORIGIN.fullmatch(each):
                raise ValueError(
                    f"entry {number} is not an origin: it must be https://host or http://host:port, without a path"
                )
        return [each.removesuffix(DEFAULT_PORTS.get(each.partition(":")[0], "")) for each in origins]

    @field_validator("root_path")
    @classmethod
    def _normalise_root_path(cls, value: str) -> str:
        path = value.strip("/")
        if not ROOT_PATH.fullmatch(path):
            raise ValueError("must be a path such as /parley, of letters, digits and - . _ ~")
        return f"/{path}" if path else ""


class DatabaseSettings(BaseModel):
    """The database."""

    data_dir: Path = Field(Path("data"), description="Directory of the SQLite database if DATABASE_URL is not set.")
    database_url: Annotated[str | None, Trimmed] = Field(
        None,
        description="Database: postgresql://user@host/name or sqlite:///path; default: parley.db in DATA_DIR. Set "
        "PostgreSQL to serve from several hosts.",
    )
    database_pooler: Annotated[Pooler, LowerCase] = Field(
        Pooler.NONE,
        description="Pooler between the service and PostgreSQL: none, session, or transaction, where each "
        "transaction may get another connection, as with pgbouncer in transaction mode.",
    )
    database_pool_size: int = Field(
        10,
        ge=1,
        le=100,
        description="Maximum database connections of a process. PostgreSQL's max_connections must allow for those of "
        "all processes.",
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str | None) -> str | None:
        if value is None or SQLITE_URL.fullmatch(value):
            return value
        if not postgres_url.SCHEME.match(value):
            raise ValueError("must begin with sqlite:/// and a path, or with postgresql://")
        postgres_url.parse(value)
        return value

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'parley.db'}"


class LimitSettings(BaseModel):
    """Limits of turns and connections, and timeouts in seconds."""

    max_turns_at_work: int = Field(
        1_024, ge=1, description="Turns that a process runs at the same time; further ones are queued."
    )
    max_turns_waiting: int = Field(
        1_024, ge=0, description="Turns that a process queues; further ones are refused with 503 overloaded."
    )
    max_turns_waiting_per_user: int | None = Field(
        None,
        ge=1,
        description="Turns of one user that a process queues; further ones are refused with 429 rate-limited; "
        "default: a quarter of MAX_TURNS_WAITING, at least 1.",
    )
    max_output_characters: int = Field(
        500_000, ge=1, description="Maximum characters of a reply; a longer one ends there with finish_reason length."
    )
    connect_seconds: Seconds = Field(5, description="Timeout in seconds for connecting to a provider.")
    first_token_seconds: Seconds = Field(
        60, description="Timeout in seconds for the first token of a reply. Raise it for slow models and long prompts."
    )
    first_token_reasoning_seconds: Seconds = Field(
        180, description="Timeout in seconds for the first token of a reasoning model's reply."
    )
    idle_seconds: Seconds = Field(30, description="Timeout in seconds between two tokens of a reply.")
    turn_seconds: Seconds = Field(
        300, description="Timeout in seconds for a turn, from its start; time in the queue does not count."
    )
    drain_seconds: Seconds = Field(
        25,
        description="Seconds that running turns have to finish after SIGTERM. The supervisor must wait at least 5 "
        "seconds longer before it kills the process; docker stop waits for 10 in all, so give it "
        "--time 30.",
    )
    header_seconds: Seconds = Field(
        10,
        description="Timeout in seconds for a request's headers, from the start of the connection or from their "
        "first byte.",
    )
    body_seconds: Seconds = Field(
        30,
        description="Timeout in seconds between two parts of a request's body. Raise it for clients with slow uploads.",
    )
    keep_alive_seconds: Seconds = Field(
        75,
        description="Seconds that a connection without a request stays open. Behind a proxy, set more than the "
        "proxy's own.",
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description="Maximum client connections of a process; further ones are refused with 503 overloaded; default: "
        "the limit of open files (ulimit -n) minus 128.",
    )

    @property
    def effective_max_turns_waiting_per_user(self) -> int:
        return self.max_turns_waiting_per_user or max(1, self.max_turns_waiting // 4)
