"""Processes of a run: their start, end and use of CPU and memory."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.client import HOST, Connection, request

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 15.0
SAMPLE_SECONDS = 0.2
MEBIBYTE = 2**20
# No setting of this shell reaches a server: neither keys nor a .env, since it runs in an empty directory.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")

PROVIDER = [sys.executable, "-m", "benchmarks.provider", "--port", "{port}"]
PARLEY = [str(Path(sys.executable).with_name("parley")), "serve", "--host", HOST, "--port", "{port}"]
FLOOR = [
    *(sys.executable, "-m", "uvicorn", "benchmarks.floor:app", "--host", HOST, "--port", "{port}"),
    *("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"),
]


class ServerFailed(RuntimeError):
    """A server did not start or ended by itself; the message ends with the end of its log."""


class Server:
    """A process that listens on a free port."""

    def __init__(self, command: list[str], environment: dict[str, str], directory: Path) -> None:
        self.port = free_port()
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._environment = inherited | {"PYTHONPATH": str(ROOT)} | environment
        self._directory = directory
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, path: str = "/readyz") -> float:
        """Start the process and return the seconds until it answered on the path.

        Raises:
            ServerFailed: it ended, or has not answered within a minute.
        """
        begun = time.perf_counter()
        self._launch()
        while time.perf_counter() - begun < START_SECONDS and self._process.poll() is None:
            if await self._answers(path):
                return time.perf_counter() - begun
            await asyncio.sleep(0.005)
        self.stop()
        raise ServerFailed(f"{self._name} did not start:\n{self._log_end()}")

    def must_run(self) -> None:
        """Check that the process runs.

        Raises:
            ServerFailed: it has ended.
        """
        status = self._process.poll()
        if status is not None:
            raise ServerFailed(f"{self._name} ended with status {status} while it was measured:\n{self._log_end()}")

    def _launch(self) -> None:
        self._log = (self._directory / f"{self.port}.log").open("ab")
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops the others
        )

    async def _answers(self, path: str) -> bool:
        connection = Connection(self.port)
        try:
            return (await connection.send(request("GET", path), 2)).status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End the process, by SIGKILL if it takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._log.close()

    @property
    def _name(self) -> str:
        return Path(self._command[0]).name

    def _log_end(self) -> str:
        text = (self._directory / f"{self.port}.log").read_text(errors="replace")
        return text[-2000:]


def free_port() -> int:
    """Return a free port below the ephemeral ones, which thousands of connections use here."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)):
                return port


class Provider:
    """The process of the fake provider, and its settings."""

    def __init__(self, directory: Path) -> None:
        self.server = Server(PROVIDER, {}, directory)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server.port}/v1"

    async def set(self, tokens: int, interval: float = 0.0) -> None:
        """Set the length of replies in tokens and the seconds between two tokens."""
        await self._send(request("PUT", "/knobs", {"tokens": tokens, "interval": interval}))

    async def take_tally(self) -> bytes:
        """Return and reset the counts of requests, as JSON."""
        return await self._send(request("GET", "/tally"))

    async def _send(self, data: bytes) -> bytes:
        connection = Connection(self.server.port)
        try:
            return (await connection.send(data)).body
        finally:
            connection.close()


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and its children, including ended ones."""
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its children in MiB."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / MEBIBYTE


def tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@dataclass
class Watch:
    """Measures CPU and memory of processes within its block."""

    pids: dict[str, int]
    """Process ids by role: `server` and others."""
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds of CPU by role; `load` is this process."""
    memory_before_mb: float = 0.0
    memory_peak_mb: float = 0.0

    async def __aenter__(self) -> Watch:
        # A collection in this process would look like a late server.
        gc.collect()
        gc.disable()
        self.memory_before_mb = self.memory_peak_mb = resident_mb(self.pids["server"])
        self._sampler = asyncio.create_task(self._sample())
        self._before = self._read()
        self._begun = time.perf_counter()
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.seconds = time.perf_counter() - self._begun
        self.cpu = {role: after - self._before[role] for role, after in self._read().items()}
        self._sampler.cancel()
        self._sample_memory()
        gc.enable()

    def _read(self) -> dict[str, float]:
        used = {role: cpu_seconds(pid) for role, pid in self.pids.items()}
        return used | {"load": sum(psutil.Process().cpu_times()[:2])}

    async def _sample(self) -> None:
        while True:
            self._sample_memory()
            await asyncio.sleep(SAMPLE_SECONDS)

    def _sample_memory(self) -> None:
        self.memory_peak_mb = max(self.memory_peak_mb, resident_mb(self.pids["server"]))
