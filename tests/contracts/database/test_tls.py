"""Each `sslmode` against servers with and without TLS."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from app.db.connect import connect
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from tests.support.certificates import Authority, Pair, server_context
from tests.support.postgres import PostgresCluster
from tests.support.postgres_tls import PostgresTls
from tests.support.sql import run_sql


class Files(NamedTuple):
    """Certificates of a trusted and an untrusted authority."""

    authority: Authority
    other: Authority
    server: Pair
    """For 127.0.0.1."""
    elsewhere: Pair
    """For another name."""
    client: Pair


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory)
    server, elsewhere = authority.pair("localhost", "127.0.0.1"), authority.pair("elsewhere.example")
    client = authority.pair("postgres", password=b"hunter2")
    return Files(authority, Authority(directory, "other"), server, elsewhere, client)


@pytest.fixture(scope="module", autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home directory without `.postgresql`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home := tmp_path_factory.mktemp("home")))
        yield home


class TlsServer(NamedTuple):
    """A proxy with TLS before the cluster."""

    front: PostgresTls

    async def reason(self, query: str, host: str = "127.0.0.1") -> DatabaseUnavailable | None:
        """Return the error for a URL with these parameters; None if it connects."""
        database = connect(f"postgresql://postgres@{host}:{self.front.port}/postgres?{query}", pool_size=1)
        try:
            await database.read(one)
        except DatabaseUnavailable as error:
            return error
        finally:
            await database.close()
        return None

    async def encrypted(self, query: str, host: str = "127.0.0.1") -> bool:
        """Return whether the connection of a URL with these parameters is encrypted."""
        assert await self.reason(query, host) is None
        return self.front.encrypted[-1]

    async def check_refused(self, query: str, reason: str) -> None:
        """Check that a URL fails with one line that has this text, and that no retry would help."""
        error = await self.reason(query)
        assert error is not None
        assert reason in str(error.reason)
        assert "\n" not in str(error.reason)
        assert not error.transient


def one() -> Transaction[int]:
    return int((yield from run_sql("SELECT 1"))[0][0])


@contextlib.asynccontextmanager
async def serving(
    cluster: PostgresCluster, context: ssl.SSLContext | None, *, plain: bool = True, direct: bool = False
) -> AsyncIterator[TlsServer]:
    async with PostgresTls(cluster.port, context, plain=plain, direct=direct) as front:
        yield TlsServer(front)


async def test_server_without_tls(cluster: PostgresCluster, files: Files) -> None:
    """Modes that allow plain text connect; the others are refused at once."""
    async with serving(cluster, None) as server:
        for mode in ("disable", "allow", "prefer"):
            assert not await server.encrypted(f"sslmode={mode}")
        assert not await server.encrypted("")
        for mode in ("require", "verify-ca", "verify-full"):
            await server.check_refused(
                f"sslmode={mode}&sslrootcert={files.authority.certificate}", "rejected SSL upgrade"
            )


async def test_server_with_optional_tls(cluster: PostgresCluster, files: Files) -> None:
    """TLS is used where it is preferred, and left out where it is only allowed."""
    async with serving(cluster, server_context(files.server)) as server:
        assert not await server.encrypted("sslmode=disable")
        assert not await server.encrypted("sslmode=allow")
        assert await server.encrypted("sslmode=prefer")
        assert await server.encrypted("")
        assert await server.encrypted("sslmode=require")
        assert await server.encrypted("ssl=true")
        assert await server.encrypted("sslmode=require&channel_binding=require")
        for mode in ("verify-ca", "verify-full"):
            assert await server.encrypted(f"sslmode={mode}&sslrootcert={files.authority.certificate}")


async def test_server_that_requires_tls(cluster: PostgresCluster, files: Files) -> None:
    """Where plain text is refused `allow` tries again with TLS, and `disable` does not."""
    async with serving(cluster, server_context(files.server), plain=False) as server:
        assert await server.encrypted("sslmode=allow")
        await server.check_refused("sslmode=disable", "no encryption (28000)")


async def test_certificate_for_other_name(cluster: PostgresCluster, files: Files) -> None:
    """Only `verify-full` compares the name."""
    async with serving(cluster, server_context(files.elsewhere)) as server:
        roots = f"sslrootcert={files.authority.certificate}"
        assert await server.encrypted(f"sslmode=verify-ca&{roots}")
        await server.check_refused(f"sslmode=verify-full&{roots}", "IP address mismatch")


async def test_untrusted_certificate(cluster: PostgresCluster, files: Files) -> None:
    """It is refused by all modes that verify, also by `require` with a file of trusted authorities."""
    async with serving(cluster, server_context(files.server)) as server:
        roots = f"sslrootcert={files.other.certificate}"
        for query in (f"sslmode=require&{roots}", f"sslmode=verify-ca&{roots}", f"sslmode=verify-full&{roots}"):
            await server.check_refused(query, "certificate verify failed")
        await server.check_refused("sslmode=verify-full", "certificate verify failed")
        await server.check_refused("sslrootcert=system", "certificate verify failed")
        await server.check_refused("sslmode=verify-ca", "sslrootcert")


async def test_root_certificate_of_home_directory(cluster: PostgresCluster, files: Files, empty_home: Path) -> None:
    """`~/.postgresql/root.crt` is the default for `sslrootcert`, as with libpq."""
    usual = empty_home / ".postgresql" / "root.crt"
    usual.parent.mkdir()
    async with serving(cluster, server_context(files.server)) as server:
        usual.write_bytes(files.authority.certificate.read_bytes())
        assert await server.encrypted("sslmode=verify-ca")
        usual.write_bytes(files.other.certificate.read_bytes())
        await server.check_refused("sslmode=require", "certificate verify failed")
    usual.unlink()


async def test_unreadable_file_is_named(cluster: PostgresCluster, files: Files, tmp_path: Path) -> None:
    """The error names the parameter and the reason, and is not retried."""
    (nonsense := tmp_path / "nonsense").write_text("nonsense")
    async with serving(cluster, server_context(files.server)) as server:
        for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
            for mode in ("prefer", "verify-full"):
                await server.check_refused(
                    f"sslmode={mode}&{name}={tmp_path}/missing", f"the file of {name} cannot be read: No such file"
                )
        await server.check_refused(f"sslmode=require&sslrootcert={nonsense}", "cannot be used")
        await server.check_refused(f"sslmode=require&sslcert={nonsense}", "cannot be used")


async def test_revoked_certificate(cluster: PostgresCluster, files: Files) -> None:
    """A certificate on the list of `sslcrl` is refused."""
    async with serving(cluster, server_context(files.server)) as server:
        query = f"sslmode=verify-full&sslrootcert={files.authority.certificate}&sslcrl="
        assert await server.encrypted(query + str(files.authority.revocations(files.elsewhere.certificate)))
        await server.check_refused(query + str(files.authority.revocations(files.server.certificate)), "revoked")


async def test_client_certificate(cluster: PostgresCluster, files: Files) -> None:
    """It is sent in every mode with TLS, and `sslpassword` decrypts its key."""
    context = server_context(files.server, clients=files.authority.certificate)
    own = f"sslcert={files.client.certificate}&sslkey={files.client.key}&sslpassword="
    async with serving(cluster, context, plain=False) as server:
        for mode in ("prefer", "require", "allow"):
            assert await server.encrypted(f"sslmode={mode}&{own}hunter2")
        assert await server.reason("sslmode=require") is not None
        error = await server.reason(f"sslmode=require&{own}hunter3")
        assert error is not None
        assert "hunter" not in str(error.reason)


async def test_tls_version_bounds(cluster: PostgresCluster, files: Files) -> None:
    """A server without a version within the bounds is refused."""
    context = server_context(files.server)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(cluster, context) as server:
        assert await server.encrypted("sslmode=require&ssl_max_protocol_version=TLSv1.2")
        assert await server.reason("sslmode=require&ssl_min_protocol_version=TLSv1.3") is not None


async def test_direct_tls_negotiation(cluster: PostgresCluster, files: Files) -> None:
    """`sslnegotiation=direct` connects to a server that begins with TLS."""
    async with serving(cluster, server_context(files.server), direct=True) as server:
        query = f"sslmode=verify-full&sslrootcert={files.authority.certificate}&sslnegotiation=direct"
        assert await server.encrypted(query)
