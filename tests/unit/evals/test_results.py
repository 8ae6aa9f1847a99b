"""Results of a run, their comparison with the next one, and the cache of vectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.rag.models.calibration import Calibration
from app.rag.models.embedder import Vector
from evals.measuring import sampled
from evals.results import Baseline, Line, Report, baselines, line_as_text
from evals.vectors import CachedEmbedder


class Counting:
    """An embedder that records the texts it embeds."""

    def __init__(self, name: str = "counting") -> None:
        self.name = name
        self.embedded: list[str] = []

    async def calibration(self) -> Calibration:
        return Calibration(related=1.0, unrelated=0.0)

    async def embed_query(self, text: str) -> Vector:
        return text.encode()

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        self.embedded += texts
        return [text.upper().encode() for text in texts]

    async def aclose(self) -> None:
        pass


def line(**scores: float) -> Line:
    measured = {query: {"nDCG@10": score, "MRR": 1.0} for query, score in scores.items()}
    return Line("things", "sqlite", "search", measured, [0.010, 0.020], {"documents": 3})


def test_line_shows_means_and_latency() -> None:
    """A line shows the mean of each measure, latency percentiles and notes."""
    expected = "things · sqlite · search n 2 nDCG@10 .750 MRR 1.000 p50 10.0 ms p95 20.0 ms documents 3"
    assert " ".join(line_as_text(line(a=0.5, b=1)).split()) == expected


def test_run_is_compared_with_the_latest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line is compared with the latest run that has the same line, by the first measure and shared queries."""
    for name, score in (("20260101T000000Z", 0.1), ("20260102T000000Z", 0.5)):
        report = Report([])
        report.add(line(a=score, b=score))
        report.write(tmp_path / f"{name}.json", {})
    capsys.readouterr()
    report = Report(baselines(tmp_path))
    report.add(line(a=0.75, b=0.75, c=0))
    assert "nDCG@10 +.250 [+.250, +.250]" in capsys.readouterr().out
    kept = json.loads(report.write(tmp_path, {"limit": None}).read_text())
    assert kept["lines"][0]["difference"]["against"] == "20260102T000000Z"
    assert kept["lines"][0]["queries"] == 3


def test_other_lines_are_not_compared() -> None:
    """Lines are compared only if set, database and form are the same."""
    earlier = {"set": "things", "database": "postgresql", "what": "search", "scores": {"a": {"nDCG@10": 1.0}}}
    assert line(a=1) not in Baseline([earlier])
    assert line(a=1) in Baseline([earlier | {"database": "sqlite"}])


def test_no_earlier_run(tmp_path: Path) -> None:
    """A missing folder of results gives no baselines."""
    assert baselines(tmp_path / "nowhere") == []


def test_sample_spans_the_sequence() -> None:
    """A sample is evenly spaced; a sequence shorter than the sample is taken whole."""
    assert sampled(range(9), 3) == [0, 3, 6]
    assert sampled(range(2), 3) == range(2)


async def test_vectors_are_computed_once(tmp_path: Path) -> None:
    """A cached vector is not computed again, not even by the next run, and the order of the texts is kept."""
    for expected in (["a", "b"], []):
        embedder = Counting()
        cached = CachedEmbedder(embedder, tmp_path / "cache" / "vectors.db")
        assert await cached.embed_passages(["a", "b", "a"]) == [b"A", b"B", b"A"]
        assert embedder.embedded == expected
        await cached.aclose()


async def test_vectors_are_cached_by_embedder(tmp_path: Path) -> None:
    """Vectors of another embedder are not used: its name is part of the key."""
    one, other = (CachedEmbedder(Counting(name), tmp_path / "vectors.db") for name in ("one", "other"))
    for each in (one, other):
        await each.embed_passages(["a"])
        assert (each.computed, each.cached) == (1, 0)
        await each.aclose()
