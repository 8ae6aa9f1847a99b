"""TLS options for asyncpg from libpq's parameters (PostgreSQL documentation, "SSL Support")."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

STRICT_MODES = ("require", "verify-ca", "verify-full")
"""Modes that accept nothing but TLS; in the others asyncpg tries with and without it."""
SYSTEM = "system"
FILES = {
    "sslrootcert": "root.crt",
    "sslcert": "postgresql.crt",
    "sslkey": "postgresql.key",
    "sslcrl": "root.crl",
}
"""Parameters that name files, with libpq's default file names in `~/.postgresql`."""


def tls_options(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of `asyncpg.connect` for parameters as in `PostgresUrl.tls`; blocks while it reads files.

    Raises:
        ValueError: a file cannot be read or has another format, or there is no certificate to verify with.
    """
    files = {name: path for name in FILES if (path := file_path(name, parameters)) is not None}
    require_readable(files)
    mode = parameters.get("sslmode") or os.environ.get("PGSSLMODE")
    if mode in STRICT_MODES:
        try:
            return {"ssl": ssl_context(mode, parameters, files)}
        except ssl.SSLError as error:
            raise ValueError(
                f"a certificate, key or revocation list of DATABASE_URL cannot be used: {error}"
            ) from error
    lax = {name: value for name, value in parameters.items() if name not in {"sslcrldir", "sslrootcert", "sslcrl"}}
    return {"dsn": f"postgresql://?{urlencode(lax)}"} if lax else {}


def file_path(name: str, parameters: Mapping[str, str]) -> str | None:
    """Return a file's path from the URL, the environment, or libpq's default if it exists there; None for no file."""
    if path := parameters.get(name) or os.environ.get(f"PG{name.upper()}"):
        return path
    usual = Path(os.path.expanduser("~")) / ".postgresql" / FILES[name]  # noqa: PTH111  Path.home() fails without one
    return str(usual) if usual.is_file() else None


def require_readable(files: Mapping[str, str]) -> None:
    """Raise ValueError for a file that cannot be read: unlike a server, it is not worth waiting for."""
    for name, path in files.items():
        if (name, path) == ("sslrootcert", SYSTEM):
            continue
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise ValueError(f"the file of {name} cannot be read: {error.strerror}") from error


def ssl_context(mode: str, parameters: Mapping[str, str], files: Mapping[str, str]) -> ssl.SSLContext:
    """Build the context that verifies the server's certificate and holds the client's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    context.minimum_version = tls_version(parameters.get("ssl_min_protocol_version", "TLSv1.2"))
    if newest := parameters.get("ssl_max_protocol_version"):
        context.maximum_version = tls_version(newest)
    context.set_alpn_protocols(["postgresql"])
    roots = files.get("sslrootcert", SYSTEM)
    if roots != SYSTEM:  # libpq verifies with them in every mode
        context.load_verify_locations(cafile=roots)
    elif mode == "verify-full":
        context.load_default_certs()
    elif mode == "verify-ca":  # anyone can get a certificate that the system trusts
        raise ValueError("sslmode=verify-ca needs sslrootcert, the file of a CA certificate")
    else:
        context.verify_mode = ssl.CERT_NONE
    if "sslcrl" in files or "sslcrldir" in parameters:
        context.load_verify_locations(cafile=files.get("sslcrl"), capath=parameters.get("sslcrldir"))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if "sslcert" in files:
        context.load_cert_chain(files["sslcert"], files.get("sslkey"), lambda: parameters.get("sslpassword", ""))
    return context


def tls_version(name: str) -> ssl.TLSVersion:
    """Return a version of TLS by libpq's name for it, as `TLSv1.2`."""
    return ssl.TLSVersion[name.replace(".", "_")]
