"""Sets of data, recognised by their files, not by the names of their folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from evals.data import FormatSet, PassageSet, RankedSet, SpanSet
from evals.reading import format_set, passage_set, ranked_set, span_set

EvalSet: TypeAlias = RankedSet | PassageSet | SpanSet | FormatSet
Reader: TypeAlias = Callable[[Path, str], EvalSet]

BUNDLED = Path(__file__).parent
"""The folder of the sets that belong to this repository."""
DEPTH = 3
"""Depth to which folders are searched for sets."""


def sets(root: Path) -> Iterator[tuple[Path, str, Reader | None]]:
    """Yield each folder that may be a set, its name, and its reader; None if its files are of no known kind."""
    for folder in folders(root, DEPTH):
        yield folder, name_of(folder.resolve(), root.resolve()), reader_of(folder)


def name_of(folder: Path, root: Path) -> str:
    """Return the name of a set; a bundled one has the same however it is reached."""
    if folder.is_relative_to(BUNDLED):
        return folder.relative_to(BUNDLED).as_posix()
    return folder.relative_to(root).as_posix() if folder != root else folder.name


def folders(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folder itself if it has JSON lines, otherwise those below it that have."""
    if any(folder.glob("*.jsonl")):
        yield folder
    elif depth:
        for each in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield from folders(each, depth - 1)


def reader_of(folder: Path) -> Reader | None:
    """Return the reader of a set with these files."""
    questions = [line for path in sorted(folder.glob("*.jsonl")) if "question" in (line := first(path))]
    fields = questions[0] if questions else first(folder / "questions.jsonl")
    if "spans" in fields:
        return span_set
    if "evidence" in fields:
        return format_set
    if "passage_id" in fields:
        return passage_set
    return ranked_set if (folder / "corpus.jsonl").exists() and (folder / "queries.jsonl").exists() else None


def first(path: Path) -> dict[str, Any]:
    """Return the first line of a file as an object; an empty one without a file or a line."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as lines:
        fields = json.loads(next((line for line in lines if line.strip()), "{}"))
    return fields if isinstance(fields, dict) else {}
