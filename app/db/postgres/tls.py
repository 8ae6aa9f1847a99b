"""TLS to PostgreSQL by libpq's parameters (PostgreSQL documentation, "SSL Support"), as asyncpg takes it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

STRICT = ("require", "verify-ca", "verify-full")
"""Modes that accept nothing but TLS; in the others asyncpg tries one way after the other."""
SYSTEM = "system"
FILES = {
    "sslrootcert": "root.crt",
    "sslcert": "postgresql.crt",
    "sslkey": "postgresql.key",
    "sslcrl": "root.crl",
}
"""Their names in `~/.postgresql`, where they are found when nothing else is said."""


def tls_options(given: Mapping[str, str]) -> dict[str, Any]:
    """The options of `asyncpg.connect` for parameters as in `PostgresUrl.tls`; blocks while it reads files.

    Raises:
        ValueError: a file cannot be read or is of another form, or there is none to verify with.
    """
    files = {name: path for name in FILES if (path := path_of(name, given)) is not None}
    require_readable(files)
    mode = given.get("sslmode") or os.environ.get("PGSSLMODE")
    if mode in STRICT:
        try:
            return {"ssl": context(mode, given, files)}
        except ssl.SSLError as error:
            raise ValueError(f"a certificate, key or list of DATABASE_URL cannot be used: {error}") from error
    lax = {name: value for name, value in given.items() if name not in {"sslcrldir", "sslrootcert", "sslcrl"}}
    return {"dsn": f"postgresql://?{urlencode(lax)}"} if lax else {}


def path_of(name: str, given: Mapping[str, str]) -> str | None:
    """The path of a file: of the URL, of the environment, or the usual one where it is there."""
    if path := given.get(name) or os.environ.get(f"PG{name.upper()}"):
        return path
    usual = Path(os.path.expanduser("~")) / ".postgresql" / FILES[name]  # noqa: PTH111  Path.home() fails without one
    return str(usual) if usual.is_file() else None


def require_readable(files: Mapping[str, str]) -> None:
    """Raise ValueError for a file that cannot be read: to wait for it, as for a server, would not help."""
    for name, path in files.items():
        if (name, path) == ("sslrootcert", SYSTEM):
            continue
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise ValueError(f"the file of {name} cannot be read: {error.strerror}") from error


def context(mode: str, given: Mapping[str, str], files: Mapping[str, str]) -> ssl.SSLContext:
    """Make the context that verifies the server's certificate and holds the client's own."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = mode == "verify-full"
    made.minimum_version = version(given.get("ssl_min_protocol_version", "TLSv1.2"))
    if newest := given.get("ssl_max_protocol_version"):
        made.maximum_version = version(newest)
    made.set_alpn_protocols(["postgresql"])
    roots = files.get("sslrootcert", SYSTEM)
    if roots != SYSTEM:  # verified with them in every mode, as libpq does
        made.load_verify_locations(cafile=roots)
    elif mode == "verify-full":
        made.load_default_certs()
    elif mode == "verify-ca":  # anybody has a certificate that the system trusts
        raise ValueError("sslmode=verify-ca needs sslrootcert, the file of a certificate")
    else:
        made.verify_mode = ssl.CERT_NONE
    if "sslcrl" in files or "sslcrldir" in given:
        made.load_verify_locations(cafile=files.get("sslcrl"), capath=given.get("sslcrldir"))
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if "sslcert" in files:
        made.load_cert_chain(files["sslcert"], files.get("sslkey"), lambda: given.get("sslpassword", ""))
    return made


def version(name: str) -> ssl.TLSVersion:
    """A version of TLS by libpq's name for it."""
    return ssl.TLSVersion[name.replace(".", "_")]
