"""A provider that answers at once: chat completions in OpenAI's format with a checkable text, and embeddings.

It is set over HTTP, `PUT /knobs {"tokens": 64, "interval": 0.05}`, so that all compared servers use the same one;
`GET /tally` returns and resets the counts of its requests.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import functools
import gc
import math
import random
import struct
import zlib
from dataclasses import asdict, dataclass

import httptools
import orjson
import uvloop

WORDS = ("amber", "Brücke", "cedar", "delta", "ember", "façade", "grove", "harbour", "islet", "日本", "kelp")
COMPLETION = {"id": "chatcmpl-bench", "created": 1_750_000_000, "model": "bench"}
JSON_HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def token(number: int) -> str:
    """Return a token with its number, so that a lost, doubled or misplaced one is noticed."""
    word = f"{WORDS[number % len(WORDS)]}-{number}"
    return f" {word}" if number else word


@functools.cache
def reply_text(tokens: int) -> str:
    return "".join(map(token, range(tokens)))


def usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 100, "completion_tokens": tokens, "total_tokens": 100 + tokens}


@functools.cache
def whole_reply(tokens: int) -> bytes:
    message = {"role": "assistant", "content": reply_text(tokens)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return orjson.dumps({**COMPLETION, "object": "chat.completion", "choices": [choice], "usage": usage(tokens)})


@functools.cache
def streamed_reply(tokens: int, with_usage: bool) -> tuple[bytes, ...]:
    """Return an HTTP chunk for each token; the last one includes the end."""
    events = [delta_event({"content": token(number)}) for number in range(tokens)]
    events[0] = delta_event({"role": "assistant", "content": ""}) + events[0]
    events[-1] += delta_event({}, "stop")
    if with_usage:
        events[-1] += event({**COMPLETION, "object": CHUNK, "choices": [], "usage": usage(tokens)})
    events[-1] += b"data: [DONE]\n\n"
    chunks = [b"%x\r\n%b\r\n" % (len(each), each) for each in events]
    return (*chunks[:-1], chunks[-1] + LAST_CHUNK)


CHUNK = "chat.completion.chunk"


def delta_event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return event({**COMPLETION, "object": CHUNK, "choices": [choice]})


def event(data: dict[str, object]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(data)


DIMENSION = 384
VECTORS = 256


@functools.cache
def vectors() -> list[list[float]]:
    """Return vectors of length one; a text gets one by its checksum."""
    chance = random.Random(DIMENSION)
    drawn = ([chance.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(VECTORS))
    return [normalised(each) for each in drawn]


def normalised(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector]


def embeddings(texts: list[str], encoding: str) -> bytes:
    """Return the answer to a request for embeddings, as numbers or as base64."""
    found = (vectors()[zlib.crc32(each.encode()) % VECTORS] for each in texts)
    encoded = [packed(each) if encoding == "base64" else each for each in found]
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(encoded)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return orjson.dumps({"object": "list", "model": "bench", "data": data, "usage": usage})


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


@dataclass
class Knobs:
    """Settings of replies."""

    tokens: int = 64
    interval: float = 0.0
    """Seconds between two tokens; with 0 the whole reply goes out in one write."""


@dataclass
class Tally:
    """Counts of requests."""

    completions: int = 0
    messages: int = 0


class Provider:
    """State shared by all connections."""

    def __init__(self) -> None:
        self.knobs = Knobs()
        self.tally = Tally()

    def take_tally(self) -> Tally:
        taken, self.tally = self.tally, Tally()
        return taken


class Connection(asyncio.Protocol):
    """A connection of a client that sends one request at a time."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport) -> None:
        self._transport = transport

    def connection_lost(self, exc) -> None:  # noqa: ARG002  asyncio's shape
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url, self._body = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        match self._parser.get_method(), self._url:
            case b"POST", b"/v1/chat/completions":
                self._complete(orjson.loads(body))
            case b"POST", b"/v1/embeddings":
                self._embed(orjson.loads(body))
            case b"PUT", b"/knobs":
                self._provider.knobs = Knobs(**orjson.loads(body))
                self._answer(200, b"{}")
            case b"GET", b"/tally":
                self._answer(200, orjson.dumps(asdict(self._provider.take_tally())))
            case _:
                self._answer(404, b'{"error": {"message": "no such route"}}')

    def _answer(self, status: int, body: bytes) -> None:
        self._transport.write(JSON_HEAD % (status, len(body)) + body)

    def _embed(self, request: dict) -> None:
        texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
        self._answer(200, embeddings(texts, request.get("encoding_format", "float")))

    def _complete(self, request: dict) -> None:
        knobs, tally = self._provider.knobs, self._provider.tally
        tally.completions += 1
        tally.messages += len(request["messages"])
        if not request.get("stream"):
            self._answer(200, whole_reply(knobs.tokens))
            return
        with_usage = bool((request.get("stream_options") or {}).get("include_usage"))
        chunks = streamed_reply(knobs.tokens, with_usage)
        if knobs.interval:
            self._transport.write(STREAM_HEAD)
            self._send(chunks, 0, self._loop.time(), knobs.interval)
        else:
            self._transport.write(STREAM_HEAD + b"".join(chunks))

    def _send(self, chunks: tuple[bytes, ...], number: int, due: float, interval: float) -> None:
        """Send a chunk and schedule the next one from its due time, so that lateness does not add up."""
        self._transport.write(chunks[number])
        if number + 1 < len(chunks):
            due += interval
            self._timer = self._loop.call_at(due, self._send, chunks, number + 1, due, interval)


async def serve(port: int) -> None:
    gc.disable()  # a collection would look like a late server, and a run leaves little garbage
    provider = Provider()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(provider), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    uvloop.run(serve(arguments.parse_args().port))
