"""Calibration of an embedding model: how near its vectors are for texts that belong together, and for others.

Models differ: all-MiniLM-L6-v2 gives unrelated texts cosines about 0, multilingual-e5-small about 0.75. Everything that
depends on the height of a cosine is derived from two numbers, measured on the same small set of questions and passages,
so that another model needs no other code.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from app.domain.scripts import script_of
from app.domain.similarity import SimilarityBars
from app.rag.lazy_numpy import numpy
from app.rag.models.embedder import Vector

TEXTS = Path(__file__).with_name("calibration_texts.json")
MEASURED = Path(__file__).with_name("calibration.json")
"""The calibrations of the embedded models, written by `python -m evals.calibrate`."""
BAR_PLACES = SimilarityBars(passage=0.93, sentence=0.73, sentence_named=0.58, sentence_sure=1.14, unnamed=0.42)
"""Places of the bars between unrelated (0) and related texts (1).

Chosen with all-MiniLM-L6-v2 (decision 12). On SQuAD 2.0, among the sentences of the three nearest passages, 2 of 60
answered questions stay below the bars for sentences, and 78 of 80 on other subjects; no bar for passages separates
them as well, since a passage has several subjects.
"""


class Pair(NamedTuple):
    """A question with the passage that answers it."""

    question: str
    passage: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """The cosines of a model, and the scripts that it knows."""

    related: float
    """Median cosine of a question and the passage that answers it."""
    unrelated: float
    """Mean cosine of a question and any other passage."""
    scripts: frozenset[str] | None = None
    """Scripts in which its vectors were measured to find passages, named as by `script_of`; None if it knows all."""
    reliable: bool = False
    """True if it was measured to find passages in all languages of these scripts about equally well."""

    @property
    def contrast(self) -> float:
        """The distance of related texts from unrelated ones."""
        return self.related - self.unrelated

    @property
    def bars(self) -> SimilarityBars:
        """The least cosines of evidence."""
        return SimilarityBars(*(self.unrelated + place * self.contrast for place in BAR_PLACES))

    def knows(self, text: str) -> bool:
        """Return whether the model knows the script of a text; it may embed one without letters."""
        return self.scripts is None or (script := script_of(text)) is None or script in self.scripts


@functools.cache
def measured_calibrations() -> Mapping[str, Calibration]:
    """Return the calibrations of the embedded models, by the embedder's name."""
    return {
        name: Calibration(fields["related"], fields["unrelated"], frozenset(fields["scripts"]), fields["reliable"])
        for name, fields in json.loads(MEASURED.read_text("utf-8")).items()
    }


@functools.cache
def calibration_pairs() -> Sequence[Pair]:
    """Return the questions and passages that models are calibrated with."""
    pairs: Sequence[Mapping[str, Any]] = json.loads(TEXTS.read_text("utf-8"))
    return [Pair(each["question"], each["passage"]) for each in pairs]


def calibrate(
    questions: Sequence[Vector], passages: Sequence[Vector], scripts: frozenset[str] | None = None
) -> Calibration:
    """Measure a model by its vectors of the questions and the passages of `calibration_pairs`."""
    np = numpy()
    question_rows, passage_rows = (
        np.stack([np.frombuffer(each, "<f4") for each in vectors]) for vectors in (questions, passages)
    )
    cosines = question_rows @ passage_rows.T
    right = np.eye(len(cosines), dtype=bool)
    return Calibration(float(np.median(cosines[right])), float(cosines[~right].mean()), scripts)
