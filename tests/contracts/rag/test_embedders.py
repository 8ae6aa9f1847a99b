"""Embedders and the reranker: the embedded model and servers with OpenAI's API."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import math
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.errors import EmbeddingFailed
from app.http.openai_client import openai_client
from app.rag.child_process import frame
from app.rag.models import e5_weights
from app.rag.models.calibration import calibrate, calibration_pairs
from app.rag.models.embedding_worker import TEXTS, VECTORS
from app.rag.models.local_embedder import VECTOR_BYTES, LocalEmbedder
from app.rag.models.minilm import MiniLm, model_path, verified
from app.rag.models.openai_embedder import BATCH_TEXTS, OpenAIEmbedder
from app.rag.models.remote_model import retry_delay
from app.rag.models.reranker import RemoteReranker
from tests.support.provider import Call, FakeProvider
from tests.support.replies import Response

KEY = "sk-very-secret"


def numbers(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def cosine(one: bytes, other: bytes) -> float:
    return sum(a * b for a, b in zip(numbers(one), numbers(other), strict=True))


@pytest.fixture(scope="module")
def model() -> MiniLm:
    return MiniLm()


def test_similar_sentences_are_near(model: MiniLm) -> None:
    """Vectors have 384 dimensions and length one, and are near for similar sentences."""
    eating, bread, baby = model.embed(
        ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    )
    assert len(numbers(eating)) == 384
    assert math.isclose(cosine(eating, eating), 1, abs_tol=1e-5)
    assert cosine(eating, bread) > 0.7
    assert cosine(eating, baby) < 0.1


def test_batch_changes_no_vector(model: MiniLm) -> None:
    """A text has the same vector alone and in a batch with longer ones, in the given order."""
    texts = ["short", "a much longer text " * 12, "", "in between, some words more"]
    for together, text in zip(model.embed(texts), texts, strict=True):
        assert cosine(together, model.embed([text])[0]) > 0.999


def test_other_weights_are_refused(tmp_path) -> None:
    """Only the released weights are loaded."""
    (tmp_path / "model.onnx").write_bytes(b"other")
    with pytest.raises(EmbeddingFailed):
        verified(tmp_path / "model.onnx")
    with pytest.raises(EmbeddingFailed):
        verified(None)
    assert verified(model_path())


@pytest.fixture
async def local() -> AsyncIterator[LocalEmbedder]:
    embedder = LocalEmbedder()
    yield embedder
    await embedder.aclose()


async def test_queries_match_passages(local: LocalEmbedder) -> None:
    """Both processes use the same model, and vectors keep the order of their passages."""
    passages = await local.embed_passages([f"passage number {n}" for n in range(40)])
    assert len(passages) == 40
    assert cosine(await local.embed_query("passage number 33"), passages[33]) > 0.999
    assert await local.embed_passages([]) == []


async def test_unknown_scripts_have_no_vector(local: LocalEmbedder) -> None:
    """Passages in scripts that the model does not know have vectors of zeros, and the others keep their places."""
    unknown, known, other = await local.embed_passages(["Где кошка?", "Where is the cat?", "猫はどこですか"])
    assert (set(numbers(unknown)), set(numbers(other))) == ({0.0}, {0.0})
    assert cosine(known, await local.embed_query("Where is the cat?")) > 0.999


async def test_calibration_of_this_release(local: LocalEmbedder, model: MiniLm) -> None:
    """The calibration in the package is what the model measures on the texts in the package."""
    stored, pairs = await local.calibration(), calibration_pairs()
    now = calibrate(model.embed([each.question for each in pairs]), model.embed([each.passage for each in pairs]))
    assert [stored.related, stored.unrelated] == pytest.approx([now.related, now.unrelated], abs=0.02)
    assert 0.4 < stored.bars.sentence < stored.bars.passage < 0.55


async def test_multilingual_model() -> None:
    """A question is nearest to its answer in another language, and both processes use the same model."""
    question, answer, other = "Where is the station?", "Вокзал находится рядом с рынком.", "猫が魚を食べています。"
    async with contextlib.aclosing(LocalEmbedder("multilingual")) as embedder:
        query = await embedder.embed_query(question)
        right, wrong = await embedder.embed_passages([answer, other])
        calibration = await embedder.calibration()
    assert embedder.name == "local:multilingual-e5-small-q4"
    assert cosine(query, right) > cosine(query, wrong) > 0
    assert all(map(calibration.knows, (question, answer, other)))
    assert math.isclose(cosine(query, query), 1, abs_tol=1e-5)


def test_other_multilingual_weights_are_refused(tmp_path) -> None:
    """Only the released weights of the multilingual model are loaded."""
    (tmp_path / e5_weights.FILE).write_bytes(b"other")
    for path in (tmp_path / e5_weights.FILE, None):
        with pytest.raises(EmbeddingFailed, match="the extra `multilingual`"):
            e5_weights.verified(path)


async def suspend_worker(local: LocalEmbedder) -> int:
    """Start the child process, suspend it before its next request, and return its id."""
    await local.embed_passages(["first"])
    assert local.process is not None
    os.kill(local.process.pid, signal.SIGSTOP)
    return local.process.pid


async def test_dead_process_is_replaced(local: LocalEmbedder) -> None:
    """The waiting call fails, the next one starts another process."""
    process_id = await suspend_worker(local)
    waiting = asyncio.create_task(local.embed_passages(["second"]))
    await asyncio.sleep(0)
    os.kill(process_id, signal.SIGKILL)
    with pytest.raises(EmbeddingFailed):
        await waiting
    assert len(await local.embed_passages(["again"])) == 1


async def test_cancelled_request_is_not_answered(local: LocalEmbedder) -> None:
    """The answer to a cancelled request is not taken for the next one's."""
    process_id = await suspend_worker(local)
    waiting = asyncio.create_task(local.embed_passages(["second"]))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGCONT)
    assert cosine((await local.embed_passages(["again"]))[0], await local.embed_query("again")) > 0.999


@pytest.mark.parametrize(
    "answer",
    [
        b"v\xff\xff\xff\xff",
        frame(VECTORS, b"x" * (VECTOR_BYTES - 1)),
        frame(VECTORS, b"x" * 2 * VECTOR_BYTES),
        frame(TEXTS, b"x" * VECTOR_BYTES),
        frame(VECTORS, b"x" * VECTOR_BYTES)[:-1],
        b"",
    ],
    ids=["endless", "short", "long", "another-kind", "cut", "none"],
)
async def test_invalid_answer_ends_process(answer: bytes) -> None:
    """An answer that is not one vector per text is refused, and the process is killed."""
    script = f"import sys; sys.stdin.buffer.read(5); sys.stdout.buffer.write({answer!r})"
    async with contextlib.aclosing(LocalEmbedder(command=[sys.executable, "-c", script])) as embedder:
        for _ in range(2):
            with pytest.raises(EmbeddingFailed):
                await embedder.embed_passages(["text"])
            assert embedder.process is None


async def test_idle_process_ends() -> None:
    """After its idle time the process ends; it is started again when needed."""
    embedder = LocalEmbedder(idle_seconds=0)
    await embedder.embed_passages(["first"])
    process = embedder.process
    assert process is not None
    assert await process.wait() == 0
    assert len(await embedder.embed_passages(["second"])) == 1
    await embedder.aclose()


def vectors_for(call: Call) -> Response:
    """Return a vector of three numbers per text: its index, its length and one."""
    data = [
        {"object": "embedding", "index": place, "embedding": [place, len(text), 1]}
        for place, text in enumerate(call.body["input"])
    ]
    return Response(200, json.dumps({"object": "list", "data": data[::-1], "model": call.body["model"]}).encode())


@pytest.fixture
async def endpoint(provider: FakeProvider) -> FakeProvider:
    provider.further_paths = {"/v1/embeddings", "/v1/rerank"}
    provider.default = vectors_for
    return provider


@pytest.fixture
async def openai(endpoint: FakeProvider) -> AsyncIterator[OpenAIEmbedder]:
    embedder = OpenAIEmbedder("openai", "small", functools.partial(openai_client, KEY, endpoint.openai_base_url, 5))
    yield embedder
    await embedder.aclose()


async def test_batches_keep_order(openai: OpenAIEmbedder, endpoint: FakeProvider) -> None:
    """Vectors are normalised, in the order of their texts whatever the order of the answer."""
    vectors = await openai.embed_passages([str(n) for n in range(BATCH_TEXTS + 1)])
    assert [len(call.body["input"]) for call in endpoint.calls] == [BATCH_TEXTS, 1]
    assert openai.name == "openai:small"
    assert numbers(vectors[2]) == pytest.approx([2 / 6**0.5, 1 / 6**0.5, 1 / 6**0.5])
    assert endpoint.calls[0].headers["authorization"] == f"Bearer {KEY}"


async def test_remote_model_is_calibrated_once(openai: OpenAIEmbedder, endpoint: FakeProvider) -> None:
    """The first use measures the model in two requests; it knows all scripts."""
    first, second = await asyncio.gather(openai.calibration(), openai.calibration())
    assert first is second
    assert [len(call.body["input"]) for call in endpoint.calls] == [len(calibration_pairs())] * 2
    assert first.knows("Где кошка?")


async def test_slow_calibration_delays_no_search(endpoint: FakeProvider) -> None:
    """Callers wait as for a query, and the requests of the first one go on for all."""
    answered = asyncio.Event()
    endpoint.default = lambda call: replace(vectors_for(call), before_headers=answered)
    client = functools.partial(openai_client, KEY, endpoint.openai_base_url, 5)
    async with contextlib.aclosing(OpenAIEmbedder("openai", "small", client, query_seconds=0.0)) as openai:
        for _ in range(3):
            with pytest.raises(EmbeddingFailed):
                await openai.calibration()
        await endpoint.wait_calls(1)
        answered.set()
        await (await endpoint.wait_calls(2)).finished.wait()
    assert len(endpoint.calls) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Response(401, json.dumps({"error": {"message": f"Incorrect API key {KEY}"}}).encode()),
        Response(429, b"{}"),
        Response(500, b"oops"),
        Response(302, b"", {"Location": "http://169.254.169.254/"}),
        Response(200, b"<html>"),
        Response(200, b'{"data": []}'),
        Response(200, b'{"data": [{"index": 0, "embedding": [0, 0, 0]}]}'),
        Response(200, b'{"data": [{"index": 0, "embedding": ["a", null]}]}'),
        Response(200, b'{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1, 2]}]}'),
        Response(200, b"null"),
    ],
)
async def test_unusable_answer_is_error(openai: OpenAIEmbedder, endpoint: FakeProvider, answer: Response) -> None:
    """A query is sent once, and the error has none of the server's words."""
    endpoint.answer(answer)
    with pytest.raises(EmbeddingFailed) as caught:
        await openai.embed_query("text")
    assert len(endpoint.calls) == 1
    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_transient_refusal_is_retried(endpoint: FakeProvider) -> None:
    """Passages are sent again after 429 and 5xx, when the server says; not after other refusals."""
    waits: list[tuple[int, float | None]] = []

    def noted(attempt: int, requested: float | None) -> float:
        waits.append((attempt, requested))
        return 0

    endpoint.answer(Response(429, b"{}", {"Retry-After": "7"}), Response(503, b"{}"))
    client = functools.partial(openai_client, KEY, endpoint.openai_base_url, 5)
    async with contextlib.aclosing(OpenAIEmbedder("openai", "small", client, noted)) as openai:
        assert len(await openai.embed_passages(["text"])) == 1
        assert waits == [(1, 7.0), (2, None)]
        endpoint.answer(Response(400, b"{}"))
        with pytest.raises(EmbeddingFailed):
            await openai.embed_passages(["text"])
    assert len(endpoint.calls) == 4


def test_retry_pauses_are_bounded() -> None:
    """Pauses grow; a server that requests an hour gets a minute."""
    assert retry_delay(1, None) <= 1 < 8 <= retry_delay(5, None) <= 16
    assert retry_delay(1, 3_600) <= 61


async def test_other_dimension_is_refused(openai: OpenAIEmbedder, endpoint: FakeProvider) -> None:
    """All vectors of an embedder have the dimension of its first."""
    await openai.embed_query("text")
    endpoint.answer(Response(200, b'{"data": [{"index": 0, "embedding": [1, 2]}]}'))
    with pytest.raises(EmbeddingFailed):
        await openai.embed_query("text")


async def test_reranker_scores(endpoint: FakeProvider) -> None:
    """Scores are in the order of the passages; an answer that lacks one is refused."""
    reranker = RemoteReranker("judge", functools.partial(openai_client, KEY, endpoint.openai_base_url, 5))
    scores = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    endpoint.answer(*(Response(200, json.dumps({"results": each}).encode()) for each in (scores, scores[:1])))
    assert await reranker.scores("query", ["one", "two"]) == [0.1, 0.9]
    assert endpoint.calls[0].path.endswith("/rerank")
    assert endpoint.calls[0].body == {"model": "judge", "query": "query", "documents": ["one", "two"], "top_n": 2}
    with pytest.raises(EmbeddingFailed):
        await reranker.scores("query", ["one", "two"])
    await reranker.aclose()
