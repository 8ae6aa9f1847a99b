"""Observed answers of providers as bytes (`tests/contracts/llm/answers.json`), and builders of such answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.replies import Part, Raw

FILE = Path(__file__).parents[1] / "contracts" / "llm" / "answers.json"
HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n{}\r\n"
DONE = "data: [DONE]\n\n"


def given() -> dict[str, Raw]:
    """The answers of the file, by name."""
    return {case["name"]: Raw(case["sent"]) for case in json.loads(FILE.read_text())}


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> str:
    """An event with one choice; a text is the content of its delta."""
    said = {"content": delta} if isinstance(delta, str) else delta or {}
    return event({"id": "c", "choices": [{"index": 0, "delta": said, "finish_reason": finish, **more}]})


def choice(**members: Any) -> str:
    """An event whose choice has these members alone."""
    return event({"id": "c", "choices": [{"index": 0, **members}]})


def event(payload: Any) -> str:
    """An event with a payload, as JSON unless it is a text."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return f"data: {text}\n\n"


def usage(**counts: Any) -> str:
    """An event with usage alone."""
    return event({"id": "c", "choices": [], "usage": counts})


def stream(*parts: str | bytes | float, head: str = "") -> Raw:
    """A stream of events and pauses, with more header lines."""
    return Raw([HEAD.format(head), *parts])


def document(body: Any, status: int = 200, kind: str = "application/json") -> Raw:
    """An answer with a body and its length; what is no text becomes JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(text.encode())}\r\n"
    return Raw([f"{head}connection: close\r\n\r\n".encode() + text.encode()])


def byte_wise(answer: Raw) -> Raw:
    """The same answer, whose body comes byte by byte."""
    sent: list[Part | str] = []
    for place, part in enumerate(answer.sent):
        data = part.encode("latin-1") if isinstance(part, str) else part
        if not isinstance(data, bytes):
            sent.append(data)
            continue
        head, mark, body = data.partition(b"\r\n\r\n") if place == 0 else (b"", b"", data)
        sent += [head + mark, *(body[n : n + 1] for n in range(len(body)))]
    return Raw([part for part in sent if part != b""])  # type: ignore[misc]  # neither events nor cuts
