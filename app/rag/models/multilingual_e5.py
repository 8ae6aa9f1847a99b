"""multilingual-e5-small (Wang et al., 2024) in NumPy, with the tokenizer of XLM-RoBERTa."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.rag.lazy_numpy import numpy
from app.rag.models.e5_weights import Vocabulary, Weights, decoded, verified, weights_path
from app.rag.models.embedder import Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD_MARK = "\u2581"


class MultilingualE5:
    """The model in memory; blocks while it loads and while it embeds."""

    def __init__(self) -> None:
        self._weights = Weights(verified(weights_path()))
        self._tokenizer = build_tokenizer(self._weights.vocabulary)
        self._words = self._weights.blocks("emb.word").reshape(self._weights.shape.words, -1)
        names = ("emb.pos", "emb.type", "emb.ln.w", "emb.ln.b")
        positions, types, *self._first_norm = (self._weights.numbers(each) for each in names)
        width = self._weights.shape.width
        self._places = positions.reshape(-1, width) + types[:width]  # each text is of the first of two types
        self._layers = [Layer(self._weights, f"l{each}") for each in range(self._weights.shape.layers)]

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return the texts' vectors, in order; the texts begin with the prefix of queries or of passages."""
        return [self._embed(each) for each in texts]

    def _embed(self, text: str) -> Vector:
        np, shape, vocabulary = numpy(), self._weights.shape, self._weights.vocabulary
        normal = " ".join(part for part in text.translate(vocabulary.replacements).split(" ") if part)
        pieces = self._tokenizer.encode(normal, add_special_tokens=False).ids[: shape.positions - 2]
        ids = [vocabulary.begin, *pieces, vocabulary.end]
        hidden = decoded(self._words[ids]).reshape(len(ids), -1) + self._places[: len(ids)]
        hidden = normalised(hidden, self._first_norm, shape.epsilon)
        for each in self._layers:
            hidden = each.run(hidden)
        pooled = hidden.mean(axis=0)
        vector: bytes = (pooled / np.linalg.norm(pooled)).astype("<f4").tobytes()
        return vector


class Layer:
    """A layer of the encoder: attention and a feed-forward network, each with a residual and a norm."""

    def __init__(self, weights: Weights, name: str) -> None:
        np, width, inner = numpy(), weights.shape.width, weights.shape.inner_width
        self._shape = weights.shape
        heads = [(weights.matrix(f"{name}.{each}.w", width), weights.numbers(f"{name}.{each}.b")) for each in "qkv"]
        self._attend = np.concatenate([matrix for matrix, _ in heads]), np.concatenate([bias for _, bias in heads])
        self._output = weights.matrix(f"{name}.ao.w", width), weights.numbers(f"{name}.ao.b")
        self._widen = weights.matrix(f"{name}.fi.w", width), weights.numbers(f"{name}.fi.b")
        self._narrow = weights.matrix(f"{name}.fo.w", inner), weights.numbers(f"{name}.fo.b")
        self._norm, self._last_norm = (
            (weights.numbers(f"{name}.{each}.w"), weights.numbers(f"{name}.{each}.b")) for each in ("aln", "oln")
        )

    def run(self, hidden: NDArray[Any]) -> NDArray[Any]:
        """Return the next hidden states of one text's tokens."""
        epsilon = self._shape.epsilon
        hidden = normalised(hidden + linear(self._attention(hidden), *self._output), self._norm, epsilon)
        wide = gelu(linear(hidden, *self._widen))
        return normalised(hidden + linear(wide, *self._narrow), self._last_norm, epsilon)

    def _attention(self, hidden: NDArray[Any]) -> NDArray[Any]:
        np, heads = numpy(), self._shape.heads
        query, key, value = linear(hidden, *self._attend).reshape(len(hidden), 3, heads, -1).transpose(1, 2, 0, 3)
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1]))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        outputs: NDArray[Any] = (scores @ value).transpose(1, 0, 2).reshape(len(hidden), -1)
        return outputs


def linear(hidden: NDArray[Any], matrix: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
    outputs: NDArray[Any] = hidden @ matrix.T + bias
    return outputs


def normalised(hidden: NDArray[Any], norm: Sequence[NDArray[Any]], epsilon: float) -> NDArray[Any]:
    """Return hidden states with mean 0 and deviation 1, then scaled and shifted by a norm's two vectors."""
    np = numpy()
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + epsilon)
    scaled: NDArray[Any] = centred / deviation * norm[0] + norm[1]
    return scaled


def gelu(values: NDArray[Any]) -> NDArray[Any]:
    """Return x times the normal distribution function of x, approximated with tanh (Hendrycks, 2016)."""
    np = numpy()
    inner = values * (1 + np.float32(0.044715) * values * values)
    outputs: NDArray[Any] = np.float32(0.5) * values * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * inner))
    return outputs


def build_tokenizer(vocabulary: Vocabulary) -> Any:
    """Build the Unigram tokenizer (Kudo, 2018)."""
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace

    built = Tokenizer(Unigram([*vocabulary.pieces], vocabulary.unknown, byte_fallback=False))
    built.pre_tokenizer = Metaspace(WORD_MARK, "always", split=False)
    return built
