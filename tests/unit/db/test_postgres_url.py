"""URLs of PostgreSQL, compared with libpq's reading of them, and URLs that managed hosts give their users."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.db.postgres.url import KNOWN, PostgresUrl, parse
from app.settings import Settings
from tests.support import libpq

SAME_AS_LIBPQ = [
    "postgresql://",
    "postgres://db",
    "postgresql://db/",
    "postgresql://db:5433/name",
    "postgresql://user@db/name",
    "postgresql://user:secret@db:5433/name",
    "postgres://user:p%40ss%2Fw%3Ard%3F%23%25@db/name",
    "postgresql://us%40er:@db/na%20me",
    "postgresql://a:b:c@db/name",
    "postgresql://user@[::1]/name",
    "postgresql://user@[2001:db8::1]:5433/name",
    "postgresql://user@one,two/name",
    "postgresql://user@one:1,two:2,[::1]:3/name",
    "postgresql://user@one,two:2/name",
    "postgresql://%2Fvar%2Frun%2Fpostgresql/name",
    "postgresql://%2Fvar%2Frun:5433/name",
    "postgresql:///name?host=/var/run/postgresql",
    "postgresql:///name?host=/cloudsql/project:region:instance&user=me",
    "postgresql://%2Fcloudsql%2Fproject%3Aregion%3Ainstance/name",
    "postgresql:///name?host=one,two&port=1,2",
    "postgresql:///name?host=one,two&port=1",
    "postgresql:///name?host=one%2Ctwo&port=1%2C2",
    "postgresql://one:1/name?host=two&port=2",
    "postgresql://user:a@db/name?user=other&password=a+b%2Bc&dbname=another",
    "postgresql://db?dbname=name&application_name=",
    "postgresql://db/name?application_name=a%20b+c&application_name=last",
    "postgresql://db/name?fallback_application_name=worker",
    "postgresql://db/name?connect_timeout=7&target_session_attrs=primary&load_balance_hosts=random",
    "postgresql://db/name?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/me.crt&sslkey=/me.key&sslpassword=x",
    "postgresql://db/name?ssl=true",
]
REFUSED_AS_BY_LIBPQ = [
    "postgresql://db/name?unknown=1",
    "postgresql://db/name?sslmode",
    "postgresql://user@[::1/name",
    "postgresql://user@[::1]5432/name",
    "postgresql://db/na%00me",
]
REFUSED = {
    "postgresql://u:hunter2@db/name?sslmode=perhaps": "sslmode as one of disable, allow, prefer, require, verify-ca",
    "postgresql://u:hunter2@db/name?sslmod=require&b=1": "unknown parameters: b, sslmod",
    "postgresql://u:hunter2@db:port/name": "a port that is not a number",
    "postgresql://u:hunter2@db:70000/name": "a port that is not a number",
    "postgresql://u:hunter2@one,two/name?port=1,2,3": "2 hosts and 3 ports",
    "postgresql://u:hunter2@one,/name": "one of them without a host",
    "postgresql://u:hunter2/3@db/name": "%2F",
    "postgresql://u:1/hunter2@db/name": "%2F",
    "postgresql://u:1?hunter2=3@db/name": "%3F",
    "postgresql://db?password=hunter2&connect_timeout=soon": "whole seconds",
    "postgresql://db?password=hunter2&options=-c%20": "-c name=value",
    "postgresql://db?password=hunter2&options=-c%20x": "-c name=value",
    "postgresql://db?password=hunter2&options=x%5C": "backslash",
    "postgresql://u:%ff@db/name": "not UTF-8",
    "postgresql://u:hunter2@db?channel_binding=maybe": "channel_binding",
    "postgresql://u:hunter2@db?client_encoding=latin1": "client_encoding",
    "postgresql://u:hunter2@db?gssencmode=require": "gssencmode",
    "postgresql://u:hunter2@db?sslnegotiation=direct": "sslmode=require",
    "postgresql://u:hunter2@db?sslrootcert=system&sslmode=require": "verify-full",
    "postgresql://u:hunter2@db?require_auth=scram-sha-256": "require_auth",
    "postgresql://u:hunter2@db?pgbouncer=true": "DATABASE_POOLER=transaction",
    "postgresql://u:hunter2@db?hostaddr=10.0.0.1": "as the host",
    "postgresql://u:hunter2@db?schema=app": "search_path",
}
HANDED_OUT: dict[str, dict[str, Any]] = {
    "postgres://u:p@ep-a-pooler.eu.neon.tech/neondb?sslmode=require&channel_binding=require": {
        "tls": {"sslmode": "require"},
        "requires_channel_binding": True,
    },
    "postgresql://u:p@db/n?options=endpoint%3Dep-a&sslmode=require": {"startup_options": "endpoint=ep-a"},
    "postgresql://u:p@db/n?options=project%3Dx%20-c%20search_path%3Da%2Cb": {
        "startup_options": "project=x",
        "settings": {"search_path": "a,b"},
    },
    "postgresql://db/n?options=-c%20a%3D1%20-cb.c%3Dx%5C%20y%20--d-e%3D2": {
        "settings": {"a": "1", "b.c": "x y", "d_e": "2"}
    },
    "postgresql://db/n?options=-c+search_path%3Da+-c+TimeZone%3DEtc/GMT%2B5": {
        "settings": {"search_path": "a", "timezone": "Etc/GMT+5"}
    },
    "postgresql+asyncpg://db/n?ssl=verify-full": {"tls": {"sslmode": "verify-full"}},
    "postgresql://db/n?ssl=false": {"tls": {"sslmode": "disable"}},
    "postgresql://db/n?sslrootcert=system": {"tls": {"sslmode": "verify-full", "sslrootcert": "system"}},
    "postgresql://db/n?sslmode=require&sslcertmode=disable&sslcert=x&sslkey=y": {"tls": {"sslmode": "require"}},
    "postgresql://db/n?sslnegotiation=direct&sslmode=verify-full": {"direct_tls": True},
    "postgresql://db/n?connect_timeout=0": {"connect_seconds": None},
    "postgresql://db/n?connect_timeout=10&keepalives=1&keepalives_idle=30": {"connect_seconds": 10.0},
    "postgresql://user@/name?host=db1:5432&host=db2:5433": {"servers": (("db1", 5432), ("db2", 5433))},
    "postgresql://user@/name?host=db1%3A5432": {"servers": (("db1", 5432),)},
    "postgresql://u:p@ss@db/n": {"login": {"user": "u", "password": "p@ss", "database": "n"}},
    "postgresql://u:p#ss@db/n": {"login": {"user": "u", "password": "p#ss", "database": "n"}},
}


def test_libpq_parameters_are_known() -> None:
    """Each parameter of libpq is supported, ignored, or refused with a reason."""
    assert libpq.keywords() - KNOWN - {"authtype", "tty"} == set()


@pytest.mark.parametrize("url", SAME_AS_LIBPQ)
def test_url_is_parsed_like_libpq(url: str) -> None:
    """Hosts, login and parameters of a URL are those that libpq finds."""
    assert as_libpq(parse(url)) == as_compared(libpq.parsed(url))


@pytest.mark.parametrize("url", REFUSED_AS_BY_LIBPQ)
def test_invalid_url_is_refused(url: str) -> None:
    """A URL that libpq refuses or that cannot be parsed is refused."""
    assert libpq.parsed(url) is None
    with pytest.raises(ValueError, match=r"has|must"):
        parse(url)


@pytest.mark.parametrize("url", REFUSED)
def test_refusal_shows_no_secret(url: str) -> None:
    """A refusal is one line that names the problem and repeats nothing that may be a password."""
    with pytest.raises(ValidationError) as caught:
        Settings(database_url=url)
    said = caught.value.errors(include_input=False, include_url=False)[0]["msg"]
    assert REFUSED[url] in said
    assert "\n" not in said
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", HANDED_OUT)
def test_managed_host_urls(url: str) -> None:
    """Parameters in the URLs of managed hosts, and those of other drivers with the same meaning, are understood."""
    found = parse(url)
    assert {name: getattr(found, name) for name in HANDED_OUT[url]} == HANDED_OUT[url]


@pytest.mark.parametrize("blank", ["\n", " ", "\r\n", "\t"])
def test_white_space_around_a_url(blank: str) -> None:
    """White space around the URL is ignored; a blank URL counts as unset."""
    assert Settings(database_url=f"{blank}postgres://db/name{blank}").database_url == "postgres://db/name"
    assert Settings(database_url=blank).database_url is None


def test_password_is_not_shown() -> None:
    """The printed form of a parsed URL has no secret."""
    shown = repr(parse("postgresql://u:hunter2@db/name?sslpassword=hunter3"))
    assert "hunter" not in shown


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab1:/?#@[]%,=&+ \\-c."), max_size=24))
def test_any_url_is_parsed_or_refused(rest: str) -> None:
    """Any text after the scheme gives a parsed URL or a ValueError."""
    try:
        parse(f"postgresql://{rest}")
    except ValueError as error:
        assert type(error) is ValueError


def as_compared(found: dict[str, str] | None) -> dict[str, str]:
    """Return libpq's reading without the defaults that it adds."""
    assert found is not None
    if "host" in found and "port" in found and "," not in found["port"]:
        found["port"] = ",".join([found["port"]] * len(found["host"].split(",")))
    if not found.get("port", "").strip(","):
        found.pop("port", None)
    if "fallback_application_name" in found:
        found["application_name"] = found.pop("fallback_application_name")
    return found


def as_libpq(url: PostgresUrl) -> dict[str, str]:
    """Return a parsed URL under libpq's names."""
    servers = {
        "host": ",".join(server.host or "" for server in url.servers),
        "port": ",".join(str(server.port or "") for server in url.servers),
    }
    servers["port"] = servers["port"].strip(",") and servers["port"]
    others: dict[str, Any] = {
        **servers,
        "application_name": url.application_name,
        "connect_timeout": url.connect_seconds and str(int(url.connect_seconds)),
        "target_session_attrs": url.target_session_attrs,
        "load_balance_hosts": "random" if url.random_order else None,
        **url.tls,
        **{{"database": "dbname"}.get(name, name): value for name, value in url.login.items()},
    }
    return {name: value for name, value in others.items() if value}
