"""What clients were told, in the form in which it is checked afterwards."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.api.talk import Event


@dataclass
class Reading:
    """What one reader has put together of a reply, across all of its connections."""

    conversation_id: str
    message_id: str
    text: str = ""
    end: dict[str, Any] | None = None
    """The message of the terminal event."""
    faults: list[str] = field(default_factory=list)
    """What the events themselves had wrong."""

    def take(self, event: Event) -> None:
        """Adds an event."""
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
    """A question that reached the provider, and for how long it was at it, in seconds of a monotonic clock."""

    question: str
    began: float
    ended: float = float("inf")


@dataclass
class Record:
    """Everything that was told."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """Conversation ids by question."""
    ended: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """Messages as they were told once terminal, by id."""
    keyed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The replies that were told for a key's question, by question."""
    readings: list[Reading] = field(default_factory=list)
    refusals: list[httpx2.Response] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    """Conversations whose deletion was asked for."""
    calls: list[Call] = field(default_factory=list)

    def see(self, message: dict[str, Any]) -> None:
        """Takes down a message that a client was told."""
        if message["role"] == "user":
            self.acknowledged[message["content"]] = message["conversation_id"]
        elif message["completed_at"] is not None:
            self.ended[message["message_id"]].append(message)

    @property
    def turns(self) -> int:
        """How many questions were acknowledged."""
        return len(self.acknowledged)
