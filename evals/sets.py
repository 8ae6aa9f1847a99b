"""Sets of data, recognised by the files that are there, whatever their folders are called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from evals.data import FormatSet, PassageSet, RankedSet, SpanSet
from evals.reading import format_set, passage_set, ranked_set, span_set

EvalSet: TypeAlias = RankedSet | PassageSet | SpanSet | FormatSet
Reader: TypeAlias = Callable[[Path, str], EvalSet]

DEPTH = 3
"""How far down sets are looked for."""


def sets(root: Path) -> Iterator[tuple[Path, str, Reader | None]]:
    """Each folder that could be a set, its name, and what reads it; None where its files are of no known kind."""
    for folder in folders(root, DEPTH):
        name = folder.relative_to(root).as_posix() if folder != root else folder.name
        yield folder, name, reader_of(folder)


def folders(folder: Path, depth: int) -> Iterator[Path]:
    """The folder itself if it has lines of data, else those that have among the ones below."""
    if any(folder.glob("*.jsonl")):
        yield folder
    elif depth:
        for each in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield from folders(each, depth - 1)


def reader_of(folder: Path) -> Reader | None:
    """What reads a set with these files."""
    questions = [fields for path in sorted(folder.glob("*.jsonl")) if "question" in (fields := first(path))]
    asked = questions[0] if questions else first(folder / "questions.jsonl")
    if "spans" in asked:
        return span_set
    if "evidence" in asked:
        return format_set
    if "passage_id" in asked:
        return passage_set
    return ranked_set if (folder / "corpus.jsonl").exists() and (folder / "queries.jsonl").exists() else None


def first(path: Path) -> dict[str, Any]:
    """The first line of a file as an object; an empty one where the file is not there, or has none."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as lines:
        fields = json.loads(next((line for line in lines if line.strip()), "{}"))
    return fields if isinstance(fields, dict) else {}
