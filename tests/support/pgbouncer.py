"""Debian's pgbouncer before the tests' PostgreSQL, with few settings of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import NOBODY, PostgresCluster, free_port

PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
READY_SECONDS = 30.0
STOP_SECONDS = 10.0


@contextmanager
def pgbouncer(cluster: PostgresCluster, mode: str) -> Iterator[int]:
    """Give the port of a pooler that uses another server connection for each session, transaction or statement.

    Where the program is missing the test is skipped; where CI is set it fails.
    """
    program = shutil.which("pgbouncer", path=PATH)
    if program is None:
        missing = "pgbouncer is not installed: nothing is tested behind a pooler (apt-get install pgbouncer)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with tempfile.TemporaryDirectory(prefix="parley-pgbouncer-") as directory:
        home = Path(directory)
        home.chmod(0o755)
        port = free_port()
        (home / "users").write_text('"postgres" ""\n"known" "hunter2"\n')
        (home / "users.hba").write_text("host all postgres 0.0.0.0/0 trust\nhost all all 0.0.0.0/0 md5\n")
        (home / "pgbouncer.ini").write_text(configuration(cluster.port, port, mode, home / "users"))
        account: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "-q", str(home / "pgbouncer.ini")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **account,
            )
        try:
            await_port(port, process, home / "log")
            yield port
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def configuration(server: int, port: int, mode: str, users: Path) -> str:
    """Return the configuration; each transaction gets the server connection that was idle longest."""
    return f"""
[databases]
* = host=127.0.0.1 port={server} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = hba
auth_file = {users}
auth_hba_file = {users}.hba
pool_mode = {mode}
server_round_robin = 1
default_pool_size = 20
max_client_conn = 500
"""


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the pooler listens."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"pgbouncer does not listen on port {port}: {log.read_text()}")
