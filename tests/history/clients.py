"""Clients that send, cancel, disconnect, resume and retry, one random action after the other."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Any

import httpx2

from tests.history.fleet import Fleet
from tests.history.record import Reading, Record
from tests.support.sse import live_events

RETRIES = 4
PAUSE_SECONDS = 0.3
PATIENCE_SECONDS = 30.0

numbers = itertools.count(1)


class Client:
    """One user with a few conversations."""

    def __init__(self, name: str, fleet: Fleet, record: Record, chance: random.Random) -> None:
        self._name = name
        self._fleet = fleet
        self._record = record
        self._chance = chance
        self._conversations: list[str] = []
        self._replies: list[tuple[str, str]] = []

    async def run(self, until: float) -> None:
        """Perform random actions until a time of the monotonic clock."""
        while time.monotonic() < until:
            actions = [
                self._create_conversation,
                self._send,
                self._send,
                self._send,
                self._stream,
                self._stream,
                self._stream,
            ]
            actions += [self._cancel, self._cancel, self._regenerate, self._read, self._follow, self._delete]
            await self._chance.choice(actions)()

    async def _request(self, method: str, path: str, *, tries: int = 1, **options: Any) -> httpx2.Response | None:
        """Send a request to any process, with retries while there is no response or a 5xx; None for no response."""
        for attempt in range(tries):
            response = await self._request_once(method, path, **options)
            if response is not None and response.status_code < 500:
                return response
            if attempt + 1 < tries:
                await asyncio.sleep(self._chance.uniform(0, PAUSE_SECONDS))
        return response

    async def _request_once(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        if not self._fleet.serving:
            await asyncio.sleep(PAUSE_SECONDS)
            return None
        client = self._chance.choice(self._fleet.serving).client
        try:
            response = await client.request(method, path, timeout=PATIENCE_SECONDS, **options)
        except (httpx2.TransportError, RuntimeError):  # it was killed; or its client was closed since
            return None
        if response.status_code >= 400:
            self._record.refusals.append(response)
        return response

    async def _create_conversation(self) -> None:
        response = await self._request("POST", "/conversations", json={"user_id": self._name})
        if response is not None and response.status_code == 201:
            self._conversations.append(response.json()["conversation_id"])

    def _question(self) -> tuple[str, str, dict[str, Any], dict[str, str]] | None:
        """Return a unique question with the path, body and headers to send it; None without a conversation."""
        if not self._conversations:
            return None
        question = f"Frage {next(numbers)} von {self._name}"
        keyed = self._chance.random() < 0.6
        on_busy = self._chance.choice(["queue", "queue", "queue", "reject", "interrupt"])
        path = f"/conversations/{self._chance.choice(self._conversations)}/messages"
        headers = {"Idempotency-Key": question} if keyed else {}
        return question, path, {"message": question, "on_busy": on_busy}, headers

    async def _send(self) -> None:
        turn = self._question()
        if turn is None:
            return
        question, path, body, headers = turn
        body["background"] = self._chance.random() < 0.3
        tries = RETRIES if headers else 1
        response = await self._request(
            "POST", path, tries=tries, json=body, headers=headers | {"Prefer": "return=minimal"}
        )
        if response is None or response.status_code not in {201, 202}:
            return
        self._record_turn(response.json()["messages"], question if headers else None)

    def _record_turn(self, messages: list[dict[str, Any]], keyed: str | None) -> None:
        for message in messages:
            self._record.add_message(message)
        reply = messages[-1]
        self._replies.append((reply["conversation_id"], reply["message_id"]))
        if keyed is not None:
            self._record.keyed[keyed].add(reply["message_id"])

    async def _stream(self) -> None:
        """Stream a turn, disconnect at some character, and resume at any process."""
        turn = self._question()
        if turn is None or not self._fleet.serving:
            return
        question, path, body, headers = turn
        client, leave_at = self._chance.choice(self._fleet.serving).client, self._chance.randrange(120)
        reading: Reading | None = None
        try:
            async with client.http.stream("POST", path, json=body | {"stream": True}, headers=headers) as response:
                if response.status_code != 200:
                    await response.aread()
                    self._record.refusals.append(response)
                    return
                async for event in live_events(response):
                    if event.name == "turn.started":
                        reply = event.data["assistant_message"]
                        self._record_turn([event.data["user_message"], reply], question if headers else None)
                        reading = Reading(reply["conversation_id"], reply["message_id"])
                        self._record.readings.append(reading)
                    elif reading is not None:
                        reading.take(event)
                        if len(reading.text) >= leave_at:
                            break
        except (httpx2.TransportError, RuntimeError, AssertionError):  # cut within an event
            pass
        if reading is not None:
            await self._resume(reading)

    async def _resume(self, reading: Reading) -> None:
        """Resume at any process until the terminal event."""
        conversation_id = reading.conversation_id
        path = f"/conversations/{conversation_id}/messages/{reading.message_id}/events"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while reading.end is None and time.monotonic() < deadline:
            if conversation_id in self._record.deleted:
                return
            if not self._fleet.serving:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            client = self._chance.choice(self._fleet.serving).client
            headers = {"Last-Event-ID": str(len(reading.text))}
            try:
                async with client.http.stream("GET", path, headers=headers, timeout=PATIENCE_SECONDS) as response:
                    if response.status_code == 200:
                        async for event in live_events(response):
                            reading.take(event)
            except (httpx2.TransportError, RuntimeError, AssertionError):
                await asyncio.sleep(self._chance.uniform(0, PAUSE_SECONDS))
        if reading.end is not None and conversation_id not in self._record.deleted:
            self._record.add_message(reading.end)

    async def _follow(self) -> None:
        """Read any earlier reply from its beginning."""
        if self._replies:
            conversation_id, message_id = self._chance.choice(self._replies)
            reading = Reading(conversation_id, message_id)
            self._record.readings.append(reading)
            await self._resume(reading)

    async def _cancel(self) -> None:
        if self._replies:
            conversation_id, message_id = self._replies[-1]
            response = await self._request("POST", f"/conversations/{conversation_id}/messages/{message_id}/cancel")
            if response is not None and response.status_code == 202:
                self._record.add_message(response.json())

    async def _regenerate(self) -> None:
        if self._replies:
            conversation_id, message_id = self._chance.choice(self._replies[-3:])
            path = f"/conversations/{conversation_id}/messages/{message_id}/regenerate"
            headers = {"Prefer": "return=minimal"}
            body = {"on_busy": self._chance.choice(["queue", "queue", "reject", "interrupt"])}
            response = await self._request("POST", path, json=body, headers=headers)
            if response is not None and response.status_code == 201:
                self._record_turn(response.json()["messages"], None)

    async def _read(self) -> None:
        if self._conversations:
            path = f"/conversations/{self._chance.choice(self._conversations)}/messages"
            response = await self._request("GET", path, params={"order": "desc", "limit": 20})
            if response is not None and response.status_code == 200:
                for message in response.json():
                    self._record.add_message(message)

    async def _delete(self) -> None:
        if len(self._conversations) > 2 and self._chance.random() < 0.3:
            conversation_id = self._conversations.pop(self._chance.randrange(len(self._conversations)))
            self._record.deleted.add(conversation_id)
            self._replies = [each for each in self._replies if each[0] != conversation_id]
            await self._request("DELETE", f"/conversations/{conversation_id}")
