"""Observed answers of providers as bytes (`tests/contracts/llm/answers.json`), and builders of similar ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.replies import Part, Raw

FILE = Path(__file__).parents[1] / "contracts" / "llm" / "answers.json"
HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n{}\r\n"
DONE = "data: [DONE]\n\n"


def given() -> dict[str, Raw]:
    """Return the answers of the file by name."""
    return {case["name"]: Raw(case["sent"]) for case in json.loads(FILE.read_text())}


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> str:
    """Build an event with one choice; a string is the content of its delta."""
    said = {"content": delta} if isinstance(delta, str) else delta or {}
    return event({"id": "c", "choices": [{"index": 0, "delta": said, "finish_reason": finish, **more}]})


def choice(**members: Any) -> str:
    """Build an event whose choice has only these members."""
    return event({"id": "c", "choices": [{"index": 0, **members}]})


def event(payload: Any) -> str:
    """Build an event with a payload, as JSON unless it is a string."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return f"data: {text}\n\n"


def usage(**counts: Any) -> str:
    """Build an event with usage alone."""
    return event({"id": "c", "choices": [], "usage": counts})


def stream(*parts: str | bytes | float, head: str = "") -> Raw:
    """Build a stream of events and pauses, with further header lines."""
    return Raw([HEAD.format(head), *parts])


def document(body: Any, status: int = 200, kind: str = "application/json") -> Raw:
    """Build an answer with a body and its length; anything but a string becomes JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(text.encode())}\r\n"
    return Raw([f"{head}connection: close\r\n\r\n".encode() + text.encode()])


def byte_wise(answer: Raw) -> Raw:
    """Return the same answer with its body byte by byte."""
    sent: list[Part | str] = []
    for place, part in enumerate(answer.sent):
        data = part.encode("latin-1") if isinstance(part, str) else part
        if not isinstance(data, bytes):
            sent.append(data)
            continue
        head, mark, body = data.partition(b"\r\n\r\n") if place == 0 else (b"", b"", data)
        sent += [head + mark, *(body[n : n + 1] for n in range(len(body)))]
    return Raw([part for part in sent if part != b""])  # type: ignore[misc]  # neither events nor cuts
