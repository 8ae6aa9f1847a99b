"""Parser of PostgreSQL's connection URIs as libpq reads them (PostgreSQL documentation, section 32.1), for asyncpg.

Each parameter of libpq is in one of the tables here: supported, ignored, or refused with a reason. Parameters of hosts
and other drivers are refused with the setting to use instead. Error messages repeat no values, and names only if they
look like names: in a malformed URL a password may be anywhere.
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
"""Parameters that asyncpg supports under the same name."""
TLS = ("sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir")
CHOICES = {
    "sslmode": SSL_MODES,
    "target_session_attrs": SESSION_ATTRIBUTES,
    "ssl_min_protocol_version": TLS_VERSIONS,
    "ssl_max_protocol_version": TLS_VERSIONS,
    "sslnegotiation": ("postgres", "direct"),
    "channel_binding": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    # Only one behaviour of the following is supported; their other values are refused.
    "client_encoding": ("auto", "UTF8", "UTF-8", "utf8", "utf-8", "unicode", "UNICODE"),
    "gssencmode": ("disable", "prefer"),
    "replication": FALSE,
    "requiressl": ("0", "1"),
    "sslcertmode": ("disable", "allow"),
    "sslsni": ("1",),
    "gssdelegation": ("0",),
    "min_protocol_version": ("3.0",),
}
IGNORED = (
    "keepalives",  # time limits of statements find dead connections
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslcompression",  # removed from OpenSSL
    "max_protocol_version",  # asyncpg speaks 3.0
)
OTHERS = (
    "host", "port", "dbname", "database", "connect_timeout", "application_name", "fallback_application_name", "options"
)  # fmt: skip
REFUSED = {
    "hostaddr": "use it as the host instead",
    "requirepeer": "it is not supported",
    "require_auth": "it is not supported",
    "sslkeylogfile": "it is not supported",
    "scram_client_key": "it is not supported",
    "scram_server_key": "it is not supported",
    "oauth_issuer": "logins by OAuth are not supported",
    "oauth_client_id": "logins by OAuth are not supported",
    "oauth_client_secret": "logins by OAuth are not supported",
    "oauth_scope": "logins by OAuth are not supported",
    # Parameters of other drivers.
    "pgbouncer": "set DATABASE_POOLER=transaction instead",
    "prepareThreshold": "set DATABASE_POOLER=transaction instead",
    "statement_cache_size": "set DATABASE_POOLER=transaction instead",
    "prepared_statement_cache_size": "set DATABASE_POOLER=transaction instead",
    "connection_limit": "set DATABASE_POOL_SIZE instead",
    "pool_timeout": "the pool waits 3 seconds for a connection",
    "schema": "write options=-c%20search_path%3D… instead",
    "currentSchema": "write options=-c%20search_path%3D… instead",
    "search_path": "write options=-c%20search_path%3D… instead",
    "statement_timeout": "write options=-c%20statement_timeout%3D… instead",
}
KNOWN = frozenset({*PASSED_ON, *TLS, *CHOICES, *IGNORED, *OTHERS, *REFUSED})

ENCODED = "in names and passwords write : / ? # @ as %3A %2F %3F %23 %40"


class Server(NamedTuple):
    """A host name, an IP address or a socket's directory, and a port; None for the default of each."""

    host: str | None
    port: int | None


@dataclass(frozen=True)
class PostgresUrl:
    """Contents of a URL, as asyncpg needs them."""

    servers: tuple[Server, ...]
    login: dict[str, str] = field(repr=False)
    """User, password, database and similar arguments of `asyncpg.connect`, by its names."""
    tls: dict[str, str] = field(repr=False)
    """`sslmode` and related parameters, by libpq's names."""
    direct_tls: bool
    target_session_attrs: str | None
    random_order: bool
    """True if each connection tries the servers in a random order."""
    connect_seconds: float | None
    """Time limit for connecting to one server; None for the service's own."""
    application_name: str | None
    startup_options: str
    """Rest of `options` without the settings, as `endpoint=…`, by which some proxies choose a server."""
    settings: dict[str, str]
    """Settings of a session, by name."""
    requires_channel_binding: bool
    """True if channel binding is required, which asyncpg does not support."""


def parse(url: str) -> PostgresUrl:
    """Parse a URL with one of the schemes of `SCHEME`.

    Raises:
        ValueError: it is malformed or has an unsupported parameter; the message ends a sentence that begins with the
            setting's name.
    """
    scheme = SCHEME.match(url)
    if scheme is None:
        raise ValueError("must begin with postgresql://")
    location, _, query = url[scheme.end() :].partition("?")
    authority, _, database = location.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    if not at and "@" in database:
        raise ValueError(f"has an @ after the first /; {ENCODED}")
    user, _, password = userinfo.partition(":")
    leading = {"dbname": decoded(database), "user": decoded(user), "password": decoded(password)}
    parameters = parse_parameters(query)
    require_supported(parameters, may_show_names=bool(at) or "@" not in query)
    merged = {name: value for name, value in leading.items() if value}
    merged |= {name: value for name, value in parameters.items() if value}
    options, settings = parse_options(merged.get("options", ""))
    login = {name: merged[name] for name in PASSED_ON if name in merged}
    if database_name := merged.get("dbname", merged.get("database")):
        login["database"] = database_name
    return PostgresUrl(
        servers=parse_servers(hosts, parameters.get("host"), parameters.get("port")),
        login=login,
        tls=parse_tls(merged),
        direct_tls=merged.get("sslnegotiation") == "direct",
        target_session_attrs=merged.get("target_session_attrs"),
        random_order=merged.get("load_balance_hosts") == "random",
        connect_seconds=parse_seconds(merged.get("connect_timeout", "")),
        application_name=merged.get("application_name", merged.get("fallback_application_name")),
        startup_options=options,
        settings=settings,
        requires_channel_binding=merged.get("channel_binding") == "require",
    )


def parse_parameters(query: str) -> dict[str, str]:
    """Return the parameters of the query by name; of a repeated parameter the last value, of `host` all of them."""
    parameters: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        name = decoded(name)
        if not equals:
            raise ValueError("has a parameter without a value: write name=value")
        if name == "ssl":  # as JDBC, Node and asyncpg have it
            name, value = "sslmode", {"true": "require", "false": "disable"}.get(value, value)
        if name == "options":  # form encoding of blanks; elsewhere a + is a plus sign
            value = re.sub(r"(?<=-c)\+|\+(?=-)", " ", value)
        elif name == "host" and "host" in parameters:
            value = f"{parameters['host']},{value}"
        parameters[name] = decoded(value)
    return parameters


def require_supported(parameters: dict[str, str], *, may_show_names: bool) -> None:
    """Raise ValueError for an unknown or unsupported parameter or value.

    `may_show_names` is False if a name may be part of a password that contains an unencoded `?`.
    """
    if unknown := sorted(parameters.keys() - KNOWN):
        if not may_show_names:
            raise ValueError(f"has an @ after the first ?; {ENCODED}")
        raise ValueError(f"has unknown parameters: {', '.join(map(safe_name, unknown))}")
    for name, value in parameters.items():
        if name in REFUSED:
            raise ValueError(f"has the parameter {name}: {REFUSED[name]}")
        if value and value not in CHOICES.get(name, (value,)):
            raise ValueError(f"must have {name} as one of {', '.join(CHOICES[name])}")


def parse_servers(authority: str, hosts: str | None, ports: str | None) -> tuple[Server, ...]:
    """Return the servers in order; the parameters `host` and `port` override the authority, as in libpq."""
    # In the authority encoded commas and colons belong to the host, as in a socket's name.
    servers = [parse_server(each) for each in hosts.split(",")] if hosts else []
    servers = servers or [parse_server(each, decoded) for each in authority.split(",")]
    if len(servers) > 1 and any(each.host is None for each in servers):
        raise ValueError("names several servers, one of them without a host: name a host for each")
    numbers = [parse_port(each) if each else None for each in (ports or "").split(",")]
    if len(numbers) not in {1, len(servers)}:
        raise ValueError(f"names {len(servers)} hosts and {len(numbers)} ports: name one port, or as many as hosts")
    numbers = numbers if len(numbers) == len(servers) else numbers * len(servers)
    return tuple(Server(host, port or own) for (host, own), port in zip(servers, numbers, strict=True))


def parse_server(text: str, decode: Callable[[str], str] = str) -> Server:
    """Parse a host with an optional port; an IPv6 address is in brackets. `decode` undoes percent-encoding."""
    if text.startswith("/") or (text.count(":") > 1 and "[" not in text):
        return Server(decode(text), None)
    address, closed, port = text[1:].partition("]") if text.startswith("[") else text.partition(":")
    if text.startswith("["):
        if not closed or not re.fullmatch(r"[0-9A-Fa-f:.]+(%\w+)?", decode(address)) or port[:1] not in {"", ":"}:
            raise ValueError("has an invalid IPv6 address: write it as [2001:db8::1]:5432")
        port = port[1:]
    return Server(decode(address) or None, parse_port(decode(port)) if port else None)


def parse_port(text: str) -> int:
    """Parse a port from 1 to 65535; the error message does not repeat it, since it may be part of a password."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65_536:
        raise ValueError(f"has a port that is not a number from 1 to 65535; {ENCODED}")
    return int(text)


def parse_tls(parameters: dict[str, str]) -> dict[str, str]:
    """Return the parameters of TLS by libpq's names, with the defaults that others imply."""
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


def parse_seconds(text: str) -> float | None:
    """Parse a time limit in seconds; None for libpq's "no limit", where the service has its own."""
    if not text:
        return None
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", text):
        raise ValueError("must have connect_timeout in whole seconds")
    return float(text) if int(text) > 0 else None


def parse_options(text: str) -> tuple[str, dict[str, str]]:
    """Return the server's command line options without those for settings, and the settings by name.

    The settings, `-c name=value` and `--name=value`, are taken out since poolers refuse options.
    """
    try:
        # The server splits options at white space that no backslash escapes; quotes have no meaning.
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
        name, equals, value = setting.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][\w.-]*", name):
            raise ValueError("has options in another form than -c name=value")
        settings[name.replace("-", "_").lower()] = value
    return " ".join(word.replace("\\", "\\\\").replace(" ", "\\ ") for word in rest), settings


def decoded(text: str) -> str:
    """Decode percent-encoding; a `+` stays a plus sign."""
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has percent-encoded bytes that are not UTF-8") from None
    if "\0" in plain:
        raise ValueError("has a zero byte in it")
    return plain


def safe_name(name: str) -> str:
    """Return a parameter's name for an error message, unless it may be part of a password."""
    return name if re.fullmatch(r"\w{1,40}", name) else "one that is no name"
