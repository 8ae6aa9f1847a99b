"""PostgreSQL's connection URIs, as libpq reads them (PostgreSQL documentation, section 32.1), for asyncpg.

Each parameter of libpq is in one of the tables here: taken, without effect, or refused with a reason. What hosts and
other drivers add to their URLs is refused with what to write instead. No message repeats a value but those of a few
names: a password may be anywhere in an URL that is put together wrongly.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

SCHEME = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
TRUE, FALSE = ("1", "true", "on", "yes"), ("0", "false", "off", "no")

PASSED_ON = ("user", "password", "passfile", "service", "servicefile", "krbsrvname", "gsslib")
"""Parameters that asyncpg takes by the same name."""
TLS = ("sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir")
CHOICES = {
    "sslmode": SSL_MODES,
    "target_session_attrs": SESSION_ATTRIBUTES,
    "ssl_min_protocol_version": TLS_VERSIONS,
    "ssl_max_protocol_version": TLS_VERSIONS,
    "sslnegotiation": ("postgres", "direct"),
    "channel_binding": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    # Those below have one way to be obeyed here; their other values are refused.
    "client_encoding": ("auto", "UTF8", "UTF-8", "utf8", "utf-8", "unicode", "UNICODE"),
    "gssencmode": ("disable", "prefer"),
    "replication": FALSE,
    "requiressl": ("0", "1"),
    "sslcertmode": ("disable", "allow"),
    "sslsni": ("1",),
    "gssdelegation": ("0",),
    "min_protocol_version": ("3.0",),
}
WITHOUT_EFFECT = (
    "keepalives",  # statements have time limits of their own, by which dead connections are found
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslcompression",  # OpenSSL does not compress any more
    "max_protocol_version",  # asyncpg speaks 3.0
)
OTHERS = (
    "host", "port", "dbname", "database", "connect_timeout", "application_name", "fallback_application_name", "options"
)  # fmt: skip
REFUSED = {
    "hostaddr": "write the address as the host",
    "requirepeer": "it is not supported",
    "require_auth": "it is not supported",
    "sslkeylogfile": "it is not supported",
    "scram_client_key": "it is not supported",
    "scram_server_key": "it is not supported",
    "oauth_issuer": "logins by OAuth are not supported",
    "oauth_client_id": "logins by OAuth are not supported",
    "oauth_client_secret": "logins by OAuth are not supported",
    "oauth_scope": "logins by OAuth are not supported",
    # Of other drivers.
    "pgbouncer": "set DATABASE_POOLER=transaction instead",
    "prepareThreshold": "set DATABASE_POOLER=transaction instead",
    "statement_cache_size": "set DATABASE_POOLER=transaction instead",
    "prepared_statement_cache_size": "set DATABASE_POOLER=transaction instead",
    "connection_limit": "set DATABASE_POOL_SIZE instead",
    "pool_timeout": "connections of the pool are waited for 3 seconds",
    "schema": "write options=-c%20search_path%3D… instead",
    "currentSchema": "write options=-c%20search_path%3D… instead",
    "search_path": "write options=-c%20search_path%3D… instead",
    "statement_timeout": "write options=-c%20statement_timeout%3D… instead",
}
KNOWN = frozenset({*PASSED_ON, *TLS, *CHOICES, *WITHOUT_EFFECT, *OTHERS, *REFUSED})

ENCODED = "in names and passwords : / ? # @ are written %3A %2F %3F %23 %40"


class Server(NamedTuple):
    """A host name, an address or the directory of a socket, and a port; None for the default of each."""

    host: str | None
    port: int | None


@dataclass(frozen=True)
class PostgresUrl:
    """Contents of a URL, in asyncpg's terms."""

    servers: tuple[Server, ...]
    login: dict[str, str] = field(repr=False)
    """User, password, database and the like, by the names of `asyncpg.connect`."""
    tls: dict[str, str] = field(repr=False)
    """`sslmode` and what goes with it, by libpq's names."""
    direct_tls: bool
    target_session_attrs: str | None
    shuffled: bool
    """True if each connection begins with another server."""
    connect_seconds: float | None
    application_name: str | None
    startup_options: str
    """Those of `options` that are no settings, as `endpoint=…`, with which some proxies choose a server."""
    settings: dict[str, str]
    """Settings of a session, by name."""
    binds_channel: bool
    """True if channel binding is demanded, which asyncpg does not do."""


def parse(url: str) -> PostgresUrl:
    """Read a URL that begins as `SCHEME` has it.

    Raises:
        ValueError: it cannot be read, or asks for what is not supported; the message ends a sentence that begins with
            the setting's name.
    """
    scheme = SCHEME.match(url)
    if scheme is None:
        raise ValueError("has to be postgresql://…")
    place, _, query = url[scheme.end() :].partition("?")
    authority, _, database = place.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    if not at and "@" in database:
        raise ValueError(f"has an @ behind the first /; {ENCODED}")
    user, _, password = userinfo.partition(":")
    given = {"dbname": decoded(database), "user": decoded(user), "password": decoded(password)}
    given = {name: value for name, value in given.items() if value}
    parameters = read_parameters(query)
    refuse_unknown(parameters, named=bool(at) or "@" not in query)
    merged = given | {name: value for name, value in parameters.items() if value}
    options, settings = read_options(merged.get("options", ""))
    login = {name: merged[name] for name in PASSED_ON if name in merged}
    if named := merged.get("dbname", merged.get("database")):
        login["database"] = named
    return PostgresUrl(
        servers=read_servers(hosts, parameters.get("host"), parameters.get("port")),
        login=login,
        tls=read_tls(merged),
        direct_tls=merged.get("sslnegotiation") == "direct",
        target_session_attrs=merged.get("target_session_attrs"),
        shuffled=merged.get("load_balance_hosts") == "random",
        connect_seconds=read_seconds(merged.get("connect_timeout", "")),
        application_name=merged.get("application_name", merged.get("fallback_application_name")),
        startup_options=options,
        settings=settings,
        binds_channel=merged.get("channel_binding") == "require",
    )


def read_parameters(query: str) -> dict[str, str]:
    """Read the parameters behind the `?`; of a parameter that is repeated the last, of hosts all."""
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, given, value = pair.partition("=")
        name = decoded(name)
        if not given:
            raise ValueError("has a parameter without a value")
        if name == "ssl":  # JDBC's, Node's and asyncpg's
            name, value = "sslmode", {"true": "require", "false": "disable"}.get(value, value)
        if name == "options":  # as encoders of forms write blanks; elsewhere + is itself
            value = re.sub(r"(?<=-c)\+|\+(?=-)", " ", value)
        elif name == "host" and "host" in found:
            value = f"{found['host']},{value}"
        found[name] = decoded(value)
    return found


def refuse_unknown(parameters: dict[str, str], *, named: bool) -> None:
    """Raise ValueError for a parameter, or a value of one, that is not known or cannot be obeyed.

    `named` is False where it may be part of a password in which a `?` stands as itself.
    """
    if unknown := sorted(parameters.keys() - KNOWN):
        if not named:
            raise ValueError(f"has an @ behind the first ?; {ENCODED}")
        raise ValueError(f"has parameters that are not known: {', '.join(map(printable, unknown))}")
    for name, value in parameters.items():
        if name in REFUSED:
            raise ValueError(f"has the parameter {name}: {REFUSED[name]}")
        if value and value not in CHOICES.get(name, (value,)):
            raise ValueError(f"has to have {name} as one of {', '.join(CHOICES[name])}")


def read_servers(authority: str, listed: str | None, ports: str | None) -> tuple[Server, ...]:
    """The servers in order; the parameters `host` and `port` win over what stands before the path, as in libpq."""
    # Before the path commas and colons that are encoded are the host's own, as in the name of a socket.
    places = [read_place(each) for each in listed.split(",")] if listed else []
    places = places or [read_place(each, decoded) for each in authority.split(",")]
    if len(places) > 1 and any(place.host is None for place in places):
        raise ValueError("names several servers, one of them without a host")
    numbers = [read_port(each) if each else None for each in (ports or "").split(",")]
    if len(numbers) not in {1, len(places)}:
        raise ValueError(f"names {len(places)} hosts and {len(numbers)} ports")
    numbers = numbers if len(numbers) == len(places) else numbers * len(places)
    return tuple(Server(host, port or own) for (host, own), port in zip(places, numbers, strict=True))


def read_place(text: str, decode: Callable[[str], str] = str) -> Server:
    """A host, with its port where it has one: an address of IPv6 stands in brackets."""
    if text.startswith("/") or (text.count(":") > 1 and "[" not in text):
        return Server(decode(text), None)
    address, closed, port = text[1:].partition("]") if text.startswith("[") else text.partition(":")
    if text.startswith("["):
        if not closed or not re.fullmatch(r"[0-9A-Fa-f:.]+(%\w+)?", decode(address)) or port[:1] not in {"", ":"}:
            raise ValueError("has an IPv6 address that cannot be read: it is written [2001:db8::1]:5432")
        port = port[1:]
    return Server(decode(address) or None, read_port(decode(port)) if port else None)


def read_port(text: str) -> int:
    """A port; the message does not repeat it, since it may be part of a password."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65_536:
        raise ValueError(f"has a port that is no number from 1 to 65535; {ENCODED}")
    return int(text)


def read_tls(parameters: dict[str, str]) -> dict[str, str]:
    """Read whether and how the connection is encrypted, by libpq's names."""
    names = (*TLS, "sslmode", "ssl_min_protocol_version", "ssl_max_protocol_version")
    found = {name: parameters[name] for name in names if name in parameters}
    if parameters.get("requiressl") == "1":
        found.setdefault("sslmode", "require")
    if parameters.get("sslcertmode") == "disable":
        found = {name: value for name, value in found.items() if name not in {"sslcert", "sslkey", "sslpassword"}}
    if found.get("sslrootcert") == "system" and found.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError("has sslrootcert=system, which needs sslmode=verify-full")
    if parameters.get("sslnegotiation") == "direct" and found.get("sslmode") not in SSL_MODES[3:]:
        raise ValueError("has sslnegotiation=direct, which needs sslmode=require or a stricter one")
    return found


def read_seconds(text: str) -> float | None:
    """A time limit in seconds; None for libpq's "no limit", which is the service's own here."""
    if not text:
        return None
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", text):
        raise ValueError("has to have connect_timeout as a number of whole seconds")
    return float(text) if int(text) > 0 else None


def read_options(text: str) -> tuple[str, dict[str, str]]:
    """The server's command line options: those that are no settings, and the settings by name.

    The settings, `-c name=value` and `--name=value`, are taken out since poolers refuse options.
    """
    try:
        # As the server splits them: at white space, which a backslash keeps. Quotes are nothing special.
        splitter = shlex.shlex(text, posix=True)
        splitter.whitespace_split, splitter.quotes, splitter.commenters = True, "", ""
        words = list(splitter)
    except ValueError:
        raise ValueError("has options that end with a backslash") from None
    rest, settings = [], {}
    while words:
        word = words.pop(0)
        if word == "-c":
            setting = words.pop(0) if words else ""
        elif word.startswith(("-c", "--")):
            setting = word[2:]
        else:
            rest.append(word)
            continue
        name, given, value = setting.partition("=")
        if not given or not re.fullmatch(r"[A-Za-z_][\w.-]*", name):
            raise ValueError("has options that are not written -c name=value")
        settings[name.replace("-", "_").lower()] = value
    return " ".join(word.replace("\\", "\\\\").replace(" ", "\\ ") for word in rest), settings


def decoded(text: str) -> str:
    """Decode percent-encoding; a `+` is itself."""
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has percent-encoded bytes that are not UTF-8") from None
    if "\0" in plain:
        raise ValueError("has a zero byte in it")
    return plain


def printable(name: str) -> str:
    """A parameter's name in a message; one that is none is not shown, since a password may have come to stand there."""
    return name if re.fullmatch(r"\w{1,40}", name) else "one that is no name"
