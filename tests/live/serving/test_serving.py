"""Sockets, open files, the first log lines and the health check of `parley serve`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from app import NAME
from tests.support.files import file_names
from tests.support.parley_client import conversation_path, document_path
from tests.support.process import PARLEY, POLL_SECONDS, SERVE, UVICORN, Parley, parley_command, parley_process
from tests.support.wire import connection

OPEN_FILES = (200, 300)
"""A soft and a hard limit."""
CANNOT_LISTEN = 3
HEALTHCHECK = (sys.executable, "-m", "app.healthcheck")


def few_open_files() -> None:
    """Limit the current process to few open files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, OPEN_FILES)


def ready_lines(parley: Parley) -> list[str]:
    """Return the log lines that report the start."""
    return [line["event"] for line in parley.log if line["event"].startswith(NAME)]


async def wait_for_ready_line(parley: Parley) -> str:
    """Wait for the log line that reports the start."""
    async with asyncio.timeout(20):
        while not (found := ready_lines(parley)):  # noqa: ASYNC110  a log of another process sets no event
            await asyncio.sleep(POLL_SECONDS)
    return found[0]


async def test_silent_connections_expire(tmp_path: Path, url: str) -> None:
    """More silent connections than open files time out; the soft limit of open files is raised to the hard one."""
    settings: dict[str, Any] = {"database_url": url, "llm_provider": "scripted", "header_seconds": 2}
    async with parley_process(tmp_path, account={"preexec_fn": few_open_files}, **settings) as parley:
        process = psutil.Process(parley.process.pid)
        assert process.rlimit(psutil.RLIMIT_NOFILE) == (OPEN_FILES[1], OPEN_FILES[1])
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(OPEN_FILES[1] + 50):
                await stack.enter_async_context(connection(parley.url))
            async with asyncio.timeout(20):
                while not await parley.answers("/livez"):  # noqa: ASYNC110  only polling works
                    await asyncio.sleep(POLL_SECONDS)
        events = [line["event"] for line in parley.log]
        assert not any("accept" in event for event in events)
        assert any("MAX_CONNECTIONS" in event for event in events)


@pytest.mark.parametrize("workers", [1, 2])
async def test_start_logs_what_serves(tmp_path: Path, workers: int) -> None:
    """One log line has address, database, provider, embedder and documents, and no secret."""
    settings: dict[str, Any] = {"openai_api_key": "sk-secret", "llm_model": "gpt-test", "embedding_provider": "none"}
    async with parley_process(tmp_path, web_concurrency=workers, **settings) as parley:
        line = await wait_for_ready_line(parley)
        await parley.client.get("/livez")
    for part in (parley.url, "database sqlite data/parley.db", "openai gpt-test", "embedder none", "documents on"):
        assert part in line
    assert len(ready_lines(parley)) == 1
    assert "sk-secret" not in "\n".join(parley.lines)


@pytest.mark.parametrize("workers", [1, 2])
async def test_taken_port_leaves_no_database(tmp_path: Path, workers: int) -> None:
    """If the port is taken one line says so, no database is made and nothing claims to serve."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ended = await parley_command(tmp_path, "serve", port=port, web_concurrency=workers, llm_provider="scripted")
    assert ended.returncode == CANNOT_LISTEN
    assert (
        ended.stderr
        == f"parley: Cannot serve on 127.0.0.1, port {port}: Address already in use. Set another HOST or PORT.\n"
    )
    assert file_names(tmp_path) == []


async def test_invalid_host_is_named(tmp_path: Path) -> None:
    """An address of another machine and an unknown name end the start with a line that names them."""
    for host in ("192.0.2.1", "nowhere.invalid"):
        ended = await parley_command(tmp_path, "serve", host=host, llm_provider="scripted")
        assert ended.returncode == CANNOT_LISTEN
        assert ended.stderr.startswith(f"parley: Cannot serve on {host}, port 8000: ")


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="NO IPv6 ON THIS MACHINE")
@pytest.mark.parametrize("workers", [1, 2])
async def test_ipv6_wildcard_serves_ipv4(tmp_path: Path, workers: int) -> None:
    """HOST=:: is reached by IPv6 and IPv4, also by the container's health check."""
    async with parley_process(tmp_path, llm_provider="scripted", host="::", web_concurrency=workers) as parley:
        port = parley.url.rpartition(":")[2]
        for address in ("[::1]", "127.0.0.1"):
            assert (await parley.client.get(f"http://{address}:{port}/livez")).status_code == 200
        checked = await parley_command(tmp_path, command=HEALTHCHECK, host="::", port=port)
        assert checked.returncode == 0


async def test_health_check_uses_the_host(tmp_path: Path) -> None:
    """The container's health check calls the host that is served, and uses no proxy."""
    async with parley_process(tmp_path, llm_provider="scripted", host="127.0.0.2") as parley:
        port = parley.url.rpartition(":")[2]
        for host, status in (("127.0.0.2", 0), ("127.0.0.1", 1)):
            checked = await parley_command(
                tmp_path, command=HEALTHCHECK, host=host, port=port, http_proxy="http://127.0.0.1:1"
            )
            assert checked.returncode == status


async def test_turns_and_documents_log_their_end(tmp_path: Path) -> None:
    """The end of each turn and document and each request is logged, and no line holds text of users."""
    async with parley_process(tmp_path, llm_provider="scripted", embedding_provider="none") as parley:
        made = await parley.client.create_conversation(message="My secret")
        failed = await parley.client.post_message(made, "My secret", model="fail")
        document = await parley.client.upload(b"My secret")
        await parley.client.get_events(f"{document_path(document)}/events")
        parley.terminate()
        await parley.wait(20)
    turns = [line for line in parley.log if line["event"] == "turn ended"]
    assert [(each["status"], each["provider"], each["model"], each["code"]) for each in turns] == [
        ("completed", "scripted", "echo", None),
        ("failed", "scripted", "fail", failed.json()["code"]),
    ]
    assert turns[0]["message_id"] == made["messages"][1]["message_id"]
    assert turns[0]["ms"] >= 0 and turns[0]["output_tokens"] > 0
    [line] = [line for line in parley.log if line["event"] == "document ended"]
    expected = {"document_id": document["document_id"], "status": "ready", "chunks": 1, "code": None}
    assert expected.items() <= line.items() and line["ms"] >= 0
    answered = [(line["method"], line["path"], line["status"]) for line in parley.log if line["event"] == "answered"]
    assert answered[0] == ("POST", "/conversations", 201)
    assert len(answered) == 4
    assert "secret" not in "\n".join(parley.lines)


@pytest.mark.parametrize("command", [SERVE, (*UVICORN, "app.main:app", "--port", "0", "--root-path", "/a/parley")])
async def test_prefix_is_in_location(tmp_path: Path, command: tuple[str, ...]) -> None:
    """With ROOT_PATH, or uvicorn's --root-path, `Location` has the prefix that the client uses."""
    given: dict[str, Any] = {"root_path": "a/parley/"} if command == SERVE else {}
    async with parley_process(tmp_path, command, llm_provider="scripted", **given) as parley:
        created = await parley.client.post("/conversations", json={"user_id": "ada"})
        assert created.headers["location"] == f"/a/parley{conversation_path(created.json())}"


async def test_ctrl_c_during_the_start(tmp_path: Path) -> None:
    """A signal while the start waits for the database ends it without a traceback."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"postgresql://parley@127.0.0.1:{silent.getsockname()[1]}/parley"
        process = await asyncio.create_subprocess_exec(
            *(*PARLEY, "serve", "--port", "0"),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
            stderr=asyncio.subprocess.PIPE,
        )
        accepted, _ = await asyncio.to_thread(silent.accept)
        process.send_signal(signal.SIGINT)
        _, stderr = await process.communicate()
        accepted.close()
    assert process.returncode == -signal.SIGINT  # which a shell calls 130
    assert b"Traceback" not in stderr
