"""Responses and calls of a history, recorded for the check after it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support.sse import Event


@dataclass
class Reading:
    """The text that one reader has joined from all of its connections."""

    conversation_id: str
    message_id: str
    text: str = ""
    end: dict[str, Any] | None = None
    """The message of the terminal event."""
    faults: list[str] = field(default_factory=list)
    """Errors in the events themselves."""

    def take(self, event: Event) -> None:
        """Add an event."""
        if self.end is not None:
            self.faults.append(f"{event.name} after the end")
        if event.name == "message.delta":
            self.text += event.data["delta"]
            if event.id != len(self.text):
                self.faults.append(f"id {event.id} with {len(self.text)} characters")
        elif event.name.startswith("message."):
            self.end = event.data["message"]
            if event.id != f"{len(self.end['content'])}-end":
                self.faults.append(f"id {event.id} at the end of {len(self.end['content'])} characters")


@dataclass
class Call:
    """A call of the provider, from `began` to `ended` in seconds of the monotonic clock."""

    question: str
    began: float
    ended: float = float("inf")
    prompt: Sequence[str] = ()
    """All messages of the prompt, the question at its end."""


@dataclass
class Record:
    """All responses of the service and all calls of the provider."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """Conversation ids by question."""
    ended: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """Finished messages as they were returned, by id."""
    keyed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Ids of the replies that were returned for a question under a key, by question."""
    readings: list[Reading] = field(default_factory=list)
    refusals: list[httpx2.Response] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    """Conversations whose deletion was requested."""
    calls: list[Call] = field(default_factory=list)

    def add_message(self, message: dict[str, Any]) -> None:
        """Record a message that a client got."""
        if message["role"] == "user":
            self.acknowledged[message["content"]] = message["conversation_id"]
        elif message["completed_at"] is not None:
            self.ended[message["message_id"]].append(message)

    @property
    def turns(self) -> int:
        """Number of acknowledged questions."""
        return len(self.acknowledged)
