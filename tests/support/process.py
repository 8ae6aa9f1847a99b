"""Parley as an operator runs it: a process with only its settings in the environment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from tests.support.documented import checked_client
from tests.support.forked import ForkedProcess
from tests.support.parley_client import ParleyClient

PARLEY = (str(Path(sys.executable).with_name("parley")),)
UVICORN = (sys.executable, "-m", "uvicorn")
SERVE = (*PARLEY, "serve", "--port", "0")
"""The installed command, for tests of the start itself; others are served by forks."""

GONE = {0, -signal.SIGTERM}
"""Exit statuses of a terminated process: of its own, or of the signal after everything is closed."""

START_SECONDS = 120.0
"""Far more than a start takes on an idle machine."""
COMMAND_SECONDS = 120.0
READY_SECONDS = 60.0
"""Far more than a process needs to be ready after an outage on an idle machine."""
POLL_SECONDS = 0.02

ADDRESS = re.compile(r"Uvicorn running on (http://[\w.:\[\]]+)")

# Waits for the end of its input, which comes with the end of the test run however that ends.
GUARD = 'read -r _; kill -KILL "-$1"'


Running = TypeVar("Running", bound="subprocess.Popen[str] | ForkedProcess")


class DidNotStart(RuntimeError):
    """The process ended or took too long before it served; the message has its log."""


class Parley:
    """A serving process with its log and a client."""

    def __init__(self, process: subprocess.Popen[str] | ForkedProcess) -> None:
        self.process = process
        self.lines: list[str] = []
        """Lines of standard error."""
        self.started_at = time.monotonic()
        self.url = ""
        self.client = ParleyClient(checked_client())
        self._address: Future[str] = Future()
        self._ended: Future[int] = Future()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log lines as parsed JSON."""
        return [json.loads(line) for line in self.lines]

    async def serving(self) -> None:
        """Wait until the process listens and is ready.

        Raises:
            DidNotStart: the process ended, or two minutes did.
        """
        self.url = await asyncio.to_thread(self._address_in_time)
        self.client.http.base_url = httpx2.URL(self.url)
        while not await self.answers("/readyz"):
            if self.process.poll() is not None or time.monotonic() > self.started_at + START_SECONDS:
                raise self._did_not_start()
            await asyncio.sleep(POLL_SECONDS)

    async def answers(self, path: str) -> bool:
        """Return whether a path is served now; False also if the process does not listen."""
        try:
            return (await self.client.get(path)).status_code == 200
        except httpx2.TransportError:
            return False

    async def wait_until_ready(self) -> None:
        """Poll readiness until it succeeds, as a load balancer does."""
        async with asyncio.timeout(READY_SECONDS):
            while not await self.answers("/readyz"):  # noqa: ASYNC110  only polling works
                await asyncio.sleep(POLL_SECONDS)

    def terminate(self) -> None:
        """Send SIGTERM to the process, as a supervisor does."""
        self.process.send_signal(signal.SIGTERM)

    def terminate_group(self) -> None:
        """Send SIGTERM to the process and its workers, as a terminal does."""
        os.killpg(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and its workers; a second call does nothing."""
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def wait(self, seconds: float) -> int:
        """Wait until the process and all of its workers have ended, and return the exit status.

        Raises:
            TimeoutError: they have not within so many seconds.
        """
        return await asyncio.to_thread(self._ended.result, seconds)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self._take(line.rstrip("\n"))
        self._ended.set_result(self.process.wait())
        if not self._address.done():
            self._address.set_exception(self._did_not_start())

    def _take(self, line: str) -> None:
        self.lines.append(line)
        if not self._address.done() and (found := ADDRESS.search(line)):
            self._address.set_result(found[1])

    def _address_in_time(self) -> str:
        try:
            return self._address.result(START_SECONDS)
        except TimeoutError:
            raise self._did_not_start() from None

    def _did_not_start(self) -> DidNotStart:
        tail = "\n".join(self.lines[-20:])
        return DidNotStart(f"{self.process.args!r}, exit status {self.process.poll()}, logged:\n{tail}")


@contextlib.asynccontextmanager
async def parley_process(
    directory: Path,
    command: Sequence[str] | None = None,
    *,
    account: Mapping[str, Any] | None = None,
    **settings: object,
) -> AsyncIterator[Parley]:
    """Start a serving process in a directory, and kill what is left of it at the end.

    Without a `command` it is a fork that runs `parley serve`. `settings` are named as in `Settings`; `account` holds
    the options of `subprocess.Popen` for another user.
    """
    if command is None and account is None:
        started: subprocess.Popen[str] | ForkedProcess = ForkedProcess(
            SERVE[1:], directory, environment(directory, settings)
        )
    else:
        started = launched(directory, command or SERVE, settings, account or {})
    with guarded(started) as process:
        parley = Parley(process)
        try:
            await parley.serving()
            yield parley
        finally:
            parley.kill()
            await parley.wait(COMMAND_SECONDS)
            await parley.client.http.aclose()


def launched(
    directory: Path, command: Sequence[str], settings: Mapping[str, object], account: Mapping[str, Any]
) -> subprocess.Popen[str]:
    """Start the process in a process group of its own, with its workers."""
    return subprocess.Popen(
        command,
        cwd=directory,
        env=environment(directory, settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **account,
    )


async def parley_command(
    directory: Path, *arguments: str, command: Sequence[str] | None = None, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command of Parley, without a `command` in a fork; return its exit status and both outputs."""
    if command is None:
        return await asyncio.to_thread(run_fork, arguments, directory, environment(directory, settings))
    return await asyncio.to_thread(
        subprocess.run,
        (*command, *arguments),
        cwd=directory,
        env=environment(directory, settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def run_fork(
    arguments: Sequence[str], directory: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command of Parley in a fork, as `subprocess.run` does."""
    with (
        tempfile.TemporaryFile("w+") as output,
        guarded(ForkedProcess(arguments, directory, variables, output.fileno())) as process,
    ):
        assert process.stderr is not None
        with process.stderr as lines:
            errors = lines.read()
        status = process.wait(COMMAND_SECONDS)
        output.seek(0)
        return subprocess.CompletedProcess(arguments, status, output.read(), errors)


def environment(home: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """Return the environment of a process: the settings, and the variables that every process needs."""
    given = {name.upper(): str(value) for name, value in settings.items()}
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), **given}


@contextlib.contextmanager
def guarded(process: Running) -> Iterator[Running]:
    """Kill a process and its workers even if the test run is killed."""
    guard = subprocess.Popen(
        ["sh", "-c", GUARD, "sh", str(process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        guard.kill()  # before it could kill somebody who has been given the same number since
        guard.communicate()
